"""A folder whose name Polars would take for a pattern holds a lake as any other does."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.files import read_master
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_changed, publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import spans_of
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, manifest_of, quotes_at, trades_at
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.scenarios import new_york
from smallcaps_assets_tests.unit.commands.detect.lively_home import LIVELY, SYMBOLS

MANIFEST = manifest_of(event("2025-11-05 10:00", event_id="a", symbol="AAA"), before=1, after=2)


def lively_bars(folder: Path) -> Path:
    """A CSV file of lively bars."""
    file = folder / "bars [x].csv"
    moment = pl.col("timestamp").dt.epoch("ns")
    LIVELY.select(
        moment.alias("window_start"), "open", "high", "low", "close", "volume", "transactions", ticker="symbol"
    ).write_csv(file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lake [1]", "lake [a-z"])
def test_a_lake_below_such_a_folder_is_imported_detected_frozen_captured_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    home = tmp_path / name
    shutil.copytree(REPOSITORY / "config", home / "config")
    for file in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / file, home / file)
    for variable in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(variable, "put back at the end")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home))
    lake = Lake(home / "lake")
    assert main(["import", "bars", str(lively_bars(home)), "--lake", str(lake.root)]) == 0
    assert BarsStore(lake).symbols() == sorted(SYMBOLS)
    universe = pl.DataFrame({"symbol": SYMBOLS})
    UniverseStore(lake).replace(universe.match_to_schema(UNIVERSE, missing_columns="insert"), {})
    settings = load_settings()
    reference, shards = UniverseStore(lake).reference(), ShardStore(lake)
    detector = Detector(BarsStore(lake), shards, settings.detection, settings.sessions, reference)
    assert not [problem for outcome in detector.run(SYMBOLS) for problem in outcome.problems]
    events = build_master(shards.scan().collect(), settings.cooldown)
    assert events.height
    publish_frame(lake.master, events, below=lake.root)
    assert not publish_changed(lake.master, events, below=lake.root)
    assert read_master(lake.master).equals(events)
    out = home / "events.parquet"
    assert main(["detect", "--lake", str(lake.root), "--out", str(out)]) == 0
    assert pl.read_parquet(out, glob=False)["event_id"].to_list() == events["event_id"].to_list()
    manifests = ManifestStore.in_lake(lake, "core")
    now = datetime(2025, 11, 6, tzinfo=UTC)
    manifests.freeze(Selection(MANIFEST, [], {}), config_hash="a", master_sha256="b", now=now)
    tape = TapeStore(lake, "core", settings.profiles["core"])
    at = new_york("2025-11-05 10:00").astimezone(UTC)
    for kind, rows in (("trades", trades_at(at)), ("quotes", quotes_at(at))):
        (span,) = spans_of(tape.missing_spans(kind, tape.backlog(kind, windows()).windows))  # type: ignore[arg-type]
        certificate = {"requests": 1, "pages": 1, "retries": 0, "throttled": 0, "received": 1, "request_ids": ["r"]}
        tape.publish(kind, span, rows.select(*tape.schema(kind)), certificate)  # type: ignore[arg-type]
    assert tape.trades("a").height == tape.quotes("a").height == 1
    ledger = build_ledger(MANIFEST, tape, str(manifests.current_id()))
    publish_frame(lake.ledger("core"), ledger, below=lake.root)
    assert ledger["state"].to_list() == ["complete"]
    capsys.readouterr()
    main(["verify", "--lake", str(lake.root), "--profile", "core"])
    printed = capsys.readouterr()
    assert "cannot be read" not in printed.out + printed.err


def windows() -> pl.DataFrame:
    from smallcaps_assets.domain.tape.windows import event_windows  # noqa: PLC0415

    return event_windows(MANIFEST)
