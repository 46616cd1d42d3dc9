"""What the assets make and record, materialized once on a small universe."""

import base64
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
import pytest
from pyarrow import parquet

from smallcaps_assets.defs.checks.texts import EMPTY_WINDOWS, KPI_CHECKS
from smallcaps_assets.defs.partitions import tape_key
from smallcaps_assets.domain.tables import (
    EVENTS,
    MANIFEST,
    SESSIONS,
    WAVES,
)
from smallcaps_assets.domain.tape.kpis import ledger_problems
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.symbol_paths import symbol_name
from smallcaps_assets.lake.universe import UNIVERSE
from smallcaps_assets.pipeline.sketches import INLINE_CHARACTERS
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests.assets.platform import (
    CORE_TAPES,
    SYMBOLS_OF_MARKET,
    Platform,
    Sites,
    failure,
    metadata_of,
    records_of,
)
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.other_tools import TOOLS, rows_by_symbol

BEGAN = datetime.now(UTC)
PICTURES = {"days", "clock", "scores"}


@pytest.fixture(scope="module")
def platform(sites: Sites) -> Iterator[Platform]:
    """Everything materialized once; tests may only read it."""
    for made in sites.opened():
        made.everything()
        made.first_requests = [path for path, _ in made.gate.requests]
        yield made


def test_every_table_is_at_its_path(platform: Platform) -> None:
    lake = platform.lake
    assert pl.read_parquet_schema(lake.universe) == UNIVERSE
    assert pl.read_parquet_schema(lake.master) == EVENTS
    assert pl.read_parquet_schema(lake.ledger("core")) == LEDGER
    assert [path.name for path in sorted((lake.root / "bars" / "minute").iterdir())] == [
        symbol_name(symbol) for symbol in SYMBOLS_OF_MARKET
    ]
    assert [path.name for path in sorted(lake.shards.iterdir())] == [
        f"{symbol_name(symbol)}.parquet" for symbol in SYMBOLS_OF_MARKET
    ]
    for profile in PROFILES:
        assert ManifestStore.in_lake(lake, profile).load().schema == MANIFEST
    assert not list(lake.root.rglob("*.part"))
    # Thanksgiving is not a session
    assert len(BarsStore(lake).covered("AVLO")) == 5


def counted(files: Iterable[Path]) -> dict[str, int]:
    """The rows of each symbol of files in folders `symbol=X`, from their footers."""
    rows = Counter[str]()
    for file in files:
        rows[unquote(file.parent.name.removeprefix("symbol="))] += parquet.read_metadata(file).num_rows
    return {symbol: count for symbol, count in rows.items() if count}


@pytest.mark.parametrize("tool", TOOLS)
def test_other_tools_read_every_table(tool: str, platform: Platform) -> None:
    """Tables of many files by folder, the others by file."""
    lake = platform.lake
    folders = [lake.minute_bars, *(lake.tape("core", kind) for kind in TAPE_KINDS)]
    for folder in folders:
        expected = counted(folder.rglob("*.parquet"))
        assert expected
        assert rows_by_symbol(tool, folder) == expected, folder
    assert rows_by_symbol(tool, lake.shards) == {
        symbol: rows for symbol in SYMBOLS_OF_MARKET if (rows := ShardStore(lake).read(symbol).height)
    }
    one_file = [path for path in lake.root.rglob("*.parquet") if not path.parent.name.startswith("symbol=")]
    one_file = [path for path in one_file if path.parent != lake.shards]
    of_symbols = [path for path in one_file if "symbol" in pl.read_parquet_schema(path)]
    assert {lake.master, lake.ledger("core"), lake.universe} < set(of_symbols)
    for path in of_symbols:
        assert sum(rows_by_symbol(tool, path).values()) == parquet.read_metadata(path).num_rows, path


def test_core_is_part_of_plus_and_plus_of_premium_below_their_limits(platform: Platform) -> None:
    rows = [ManifestStore.in_lake(platform.lake, profile).load().height for profile in PROFILES]
    assert 0 < rows[0] <= rows[1] <= rows[2]


def test_the_api_key_is_in_no_file_and_no_event(platform: Platform) -> None:
    for name, (_, content) in files_below(platform.root).items():
        assert b"a-key-of-tests" not in content, name
    for run in platform.instance.get_runs():
        assert "a-key-of-tests" not in json.dumps(run.run_config)
        for event in platform.instance.all_logs(run.run_id):
            assert "a-key-of-tests" not in str(event)


def test_every_partition_is_recorded(platform: Platform) -> None:
    for name in ("minute_bars", "event_shards"):
        assert platform.materialized(dg.AssetKey(name)) == set(SYMBOLS_OF_MARKET)
    expected = {str(tape_key(symbol, wave)) for symbol in SYMBOLS_OF_MARKET for wave in WAVES}
    for key in CORE_TAPES:
        assert platform.materialized(key) == expected


def test_the_universe_makes_the_partitions(platform: Platform) -> None:
    assert list(platform.instance.get_dynamic_partitions("symbols")) == SYMBOLS_OF_MARKET
    (metadata,) = metadata_of(platform.stages["universe"], "universe").values()
    assert metadata["dagster/row_count"].value == 4
    assert metadata["symbols_active"].value == 4


def test_each_partition_records_figures(platform: Platform) -> None:
    bars = metadata_of(platform.stages["bars"], "minute_bars")
    assert set(bars) == set(SYMBOLS_OF_MARKET)
    store = BarsStore(platform.lake)
    for symbol, metadata in bars.items():
        assert metadata["rows"].value == store.read(str(symbol)).height > 1000
        assert metadata["sessions_fetched"].value == 5
        # November and December
        assert metadata["requests"].value == 2
    shards = metadata_of(platform.stages["shards"], "event_shards")
    master = pl.read_parquet(platform.lake.master)
    assert sum(metadata["events"].value for metadata in shards.values()) == master.height
    assert len({metadata["rows"].value for metadata in bars.values()}) > 1


def test_tape_partitions_record_what_was_fetched(platform: Platform) -> None:
    manifest = ManifestStore.in_lake(platform.lake, "core").load()
    for kind in ("trades", "quotes"):
        windows = 0
        for wave in WAVES:
            found = metadata_of(platform.stages[wave], "core", f"tape_{kind}")
            assert set(found) == {str(tape_key(symbol, wave)) for symbol in SYMBOLS_OF_MARKET}
            for key, metadata in found.items():
                symbol = str(key).split("|")[0]
                mine = manifest.filter(symbol=symbol, session=wave).height
                assert metadata["windows"].value == mine, key
                assert (metadata["spans_fetched"].value > 0) == (mine > 0)
                windows += mine
        assert windows == manifest.height


def test_master_is_checked_and_described(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["tables"], "master_events").values()
    master = pl.read_parquet(platform.lake.master)
    assert metadata["dagster/row_count"].value == master.height > 10
    counted = master.group_by("event_type", "session").len().rows()
    shown = {(row["event"], session): row[session] for row in records_of(metadata["by_type"]) for session in SESSIONS}
    assert {key: rows for key, rows in shown.items() if rows} == {
        (name.replace("_", " "), session): rows for name, session, rows in counted
    }
    assert {row["event"]: row["all"] for row in records_of(metadata["by_type"])} == {
        name.replace("_", " "): rows for name, rows in master.group_by("event_type").len().iter_rows()
    }
    assert metadata["median_score"].value == float(f"{master['score'].median():.4g}")
    assert metadata["up_pct"].value == float(f"{100 * master.filter(direction='up').height / master.height:.4g}")
    first = master.row(0, named=True)
    assert records_of(metadata["first_rows"])[0] == {
        "symbol": first["symbol"],
        "New York": f"{first['timestamp'].astimezone(ZoneInfo('America/New_York')):%Y-%m-%d %H:%M}",
        "event": first["event_type"].replace("_", " "),
        "score": float(f"{first['score']:.4g}"),
    }
    # random rows and statistics of every column would be another megabyte of the event log each time; columns are part
    # of the definition
    assert not metadata.keys() & {"table", "stats", "dagster/column_schema"}
    checks = {check.check_name: check for check in platform.stages["tables"].get_asset_check_evaluations()}
    assert {check.asset_key.path[-1] for check in checks.values()} == {"master_events", "manifest"}
    assert all(check.passed for check in checks.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_manifest_shows_its_funnel(platform: Platform, profile: str) -> None:
    (metadata,) = metadata_of(platform.stages["tables"], profile, "manifest").values()
    sidecar = ManifestStore.in_lake(platform.lake, profile).sidecar()
    assert metadata["manifest_id"].value == sidecar["manifest_id"]
    assert metadata["dagster/row_count"].value == sidecar["rows"]
    steps = {row["step"]: row["events"] for row in records_of(metadata["funnel"])}
    assert steps == {step["step"].replace("_", " "): step["rows"] for step in sidecar["funnel"]}
    assert len(steps) == 8
    assert sum(row["events"] for row in records_of(metadata["by_bucket"])) == sidecar["rows"]


def test_the_ledger_certifies_every_event(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["ledger"], "core", "capture_ledger").values()
    ledger = pl.read_parquet(platform.lake.ledger("core"))
    store = ManifestStore.in_lake(platform.lake, "core")
    assert ledger["event_id"].to_list() == store.load()["event_id"].to_list()
    assert set(ledger["state"]) == {"complete"}
    windows = {row["state"]: row for row in records_of(metadata["windows"])}
    assert windows["windows"]["all"] == windows["complete"]["all"] == ledger.height
    tape_mb = ledger["bytes"].sum() / 1e6
    assert 0.1 < tape_mb < 10
    assert (windows["tape, MB"]["all"], metadata["tape_mb"].value) == (round(tape_mb, 2), float(f"{tape_mb:.4g}"))
    assert ledger_problems(ledger, "core", store.sidecar()["manifest_id"]) == []
    for kind in ("trades", "quotes"):
        certain = ledger.select(pl.col(f"^{kind}_(pages|requests|received)$"), pl.col(f"{kind}_request_ids").list.len())
        assert certain.select(pl.all_horizontal(pl.all() > 0).all()).item()
        assert ledger[f"{kind}_fetched_at"].is_between(BEGAN, datetime.now(UTC)).all()
    assert set(ledger["package_version"].explode()) == {version("smallcaps-assets")}
    assert set(ledger["config_hash"].explode()) == {store.sidecar()["config_hash"]}


def test_the_report_has_a_verdict(platform: Platform) -> None:
    (metadata,) = metadata_of(platform.stages["ledger"], "core", "capture_report").values()
    assert next(iter(metadata)) == "verdict"
    assert metadata["verdict"].value == "**GO: every figure meets its target**"
    assert metadata["go"].value is True
    figures = [(row["figure"], row["target"], row["all"]) for row in records_of(metadata["kpis"])]
    assert [row[:2] for row in figures] == [
        ("success %", "≥ 95"),
        ("MB per event, p90", "< 40"),
        ("retries %", "< 2"),
        ("429s %", "< 0.5"),
        ("session drift, pp", "±2, ±1"),
        # not judged before the research tables are made
        ("minutes as in bars %", "≥ 95"),
    ]
    assert (figures[0][2], figures[-1][2]) == ("100", "-")
    speed = {row["figure"]: row["all"] for row in records_of(metadata["speed"])}
    assert (speed["requests per window"], speed["hours left"]) == ("2", "0")
    tapes = [path for path in platform.first_requests if path.startswith(("/v3/trades", "/v3/quotes"))]
    assert metadata["requests"].value == len(tapes) > 0
    checks = {check.check_name: check.passed for check in platform.stages["ledger"].get_asset_check_evaluations()}
    assert checks == dict.fromkeys((*KPI_CHECKS, EMPTY_WINDOWS), True)
    assert pl.read_parquet(platform.lake.ledger("core").with_name("report.parquet")).schema == KPIS


def test_one_run_requests_trades_before_quotes(platform: Platform) -> None:
    tapes = [path.split("/")[2] for path in platform.first_requests if path.startswith("/v3/")]
    waves = [kind for kind, _ in groupby(tape for tape in tapes if tape in ("trades", "quotes"))]
    assert waves == ["trades", "quotes"] * (len(waves) // 2)


def test_metadata_fits_a_screen_and_figures_are_short(platform: Platform) -> None:
    for stage, *path in (
        ("universe", "universe"),
        ("tables", "master_events"),
        ("tables", "core", "manifest"),
        ("ledger", "core", "capture_ledger"),
        ("ledger", "core", "capture_report"),
    ):
        (metadata,) = metadata_of(platform.stages[stage], *path).values()
        plotted = [name for name, value in metadata.items() if isinstance(value.value, int | float)]
        assert len(plotted) <= 14, path
        for name, value in metadata.items():
            if isinstance(value, dg.FloatMetadataValue):
                assert value.value == float(f"{value.value:.4g}"), (path, name)
            if isinstance(value, dg.TableMetadataValue):
                assert pixels(value) <= 360, (path, name)


def pixels(shown: dg.TableMetadataValue) -> float:
    """The least width of a table in the web UI: its longest words, and headers, which do not wrap."""
    width = 0.0
    for column in shown.schema.columns:
        cells = ["" if row.data[column.name] is None else f"{row.data[column.name]:}" for row in shown.records]
        longest = max((len(word) for cell in cells for word in re.split(r"[ -]", cell)), default=0)
        width += 16 + max(8.4 * longest, 7.2 * len(column.name))
    return width


def test_pictures_are_recorded_with_the_figures(platform: Platform) -> None:
    for path, names in ((["master_events"], PICTURES), (["core", "manifest"], {*PICTURES, "funnel"})):
        (metadata,) = metadata_of(platform.stages["tables"], *path).values()
        found = {str(name): value for name, value in metadata.items() if str(name).startswith("picture/")}
        assert set(found) == {f"picture/{name}" for name in names}
        # one is small enough to be shown without a click
        assert len(str(metadata["clock"].value)) < INLINE_CHARACTERS
        order = list(metadata)
        assert order.index("clock") < min(order.index(name) for name in found)
        for value in found.values():
            assert isinstance(value, dg.MarkdownMetadataValue)
            image = re.fullmatch(r"!\[[^]]+\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", str(value.value))
            assert image
            assert base64.b64decode(image[1]).startswith(b"\x89PNG")
            assert len(image[1]) < 16_000


def test_a_second_materialization_requests_nothing_and_changes_no_byte(platform: Platform) -> None:
    before = {name: content for name, (_, content) in files_below(platform.root).items()}
    platform.gate.requests.clear()
    Platform(platform.gate, platform.root, platform.instance, platform.overrides).everything()
    assert platform.gate.requests == []
    assert {name: content for name, (_, content) in files_below(platform.root).items()} == before


def test_a_ledger_of_another_profile_is_rejected_by_the_report(platform: Platform, fresh: Platform) -> None:
    shutil.copytree(platform.root, fresh.root)
    fresh.lake.ledger("plus").parent.mkdir()
    shutil.copy(fresh.lake.ledger("core"), fresh.lake.ledger("plus"))
    result = fresh.run(["plus", "capture_report"], fails=True)
    for words in ("is of profile core, not of plus", "Materialize plus/capture_ledger"):
        assert words in failure(result)
