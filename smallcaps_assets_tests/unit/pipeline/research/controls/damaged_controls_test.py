"""A damaged control manifest: it is named, and nothing of the events stops."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.defs.assets.tape import TapeConfig, TapeStep, make_ledger, make_report
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.controls import MANIFEST_OF_CONTROLS, ControlStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.research import open_lake
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.small_lake import EVENTS, fill_small_lake, fresh_clone

EVENT: Final = str(EVENTS[0]["event_id"])
CONTROL: Final = "AVLO_control_20251125_150000_0123abcd"
REMEDY: Final = "Materialize core/control_manifest, which sets it aside in the quarantine"


@pytest.fixture(scope="module")
def whole_home(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Path:
    """A clone whose lake has a control of one event, which is not captured yet, and the ledgers of both."""
    folder = fresh_clone(tmp_path_factory.mktemp("home"))
    lake = Lake(folder / "lake")
    fill_small_lake(lake, small_market)
    current = ManifestStore.in_lake(lake, "core").current()
    row = current.rows.filter(event_id=EVENT).with_columns(
        pl.col("timestamp").dt.offset_by("-1d"),
        control_id=pl.lit(CONTROL),
        control_of="event_id",
        event_type=pl.lit("control"),
        date=pl.lit("2025-11-25"),
    )
    controls = row.match_to_schema(CONTROL_MANIFEST, extra_columns="ignore", integer_cast="upcast")
    ControlStore(lake, "core").publish(controls, {MANIFEST_OF_CONTROLS: current.sidecar["manifest_id"]})
    _, figures = make_ledger("core", settings(), LakeResource(root=str(lake.root)))
    assert figures["controls"] == "1 window: 1 missing; 0.00 MB"
    return folder


@pytest.fixture
def lake(whole_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A copy of that lake, whose clone is the working directory."""
    home = tmp_path / "home"
    shutil.copytree(whole_home, home)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home))
    monkeypatch.chdir(home)
    return Lake(home / "lake")


def settings() -> SettingsResource:
    return SettingsResource(document=default_settings().model_dump_json())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def of_another_kind(path: Path) -> None:
    pl.DataFrame({"other": [1]}).write_parquet(path)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES: Final = (cut, of_another_kind, become_folder)


def outcome(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code, printed = main(command), capsys.readouterr()
    return code, " ".join(f"{printed.out} {printed.err}".split())


@pytest.mark.parametrize("damage", [cut, become_folder])
def test_commands_name_it_and_go_on(
    damage: Callable[[Path], object], lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ControlStore(lake, "core").path
    damage(path)
    for command in ("status", "plan"):
        code, printed = outcome([command], capsys)
        assert (command, code) == (command, 1)
        assert f"controls: unknown, and not captured: {path}" in printed
        assert "profile core: 2 events of 2 symbols" in printed
    assert "GO" in printed or "next: nothing is left to fetch" in printed
    code, printed = outcome(["plan", "--json"], capsys)
    assert str(path) in json.loads(printed)["damaged"][0]
    code, printed = outcome(["audit", "--sample", "1", "--sample-seed", "1"], capsys)
    assert (code, str(path) in printed) == (1, True)
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    assert "research/core/control_manifest.parquet: " in printed
    expected = "remedy: mend the manifest that cannot be used, as it says; then materialize core/capture_ledger again"
    assert expected in printed


@pytest.mark.parametrize("damage", DAMAGES)
def test_tape_of_events_is_read_and_that_of_controls_names_it(damage: Callable[[Path], object], lake: Lake) -> None:
    opened, path = open_lake(lake.root), ControlStore(lake, "core").path
    with pytest.raises(InputError, match="not in the lake yet"):
        opened.trades([CONTROL])
    expected = opened.trades([EVENT]).collect()
    damage(path)
    assert opened.trades([EVENT]).collect().equals(expected)
    assert opened.quotes([EVENT]).collect().height > 0
    with pytest.raises(LakeError) as raised:
        opened.trades([EVENT, CONTROL])
    assert str(path) in str(raised.value)
    # an event that does not exist is reported as such, also where files are damaged
    with pytest.raises(InputError, match="not in the current manifest of profile core: AVLO_flush_x"):
        opened.trades(["AVLO_flush_x"])
    tape = TapeStore(lake, "core", default_settings().profiles["core"])
    damaged = list[LakeError]()
    assert tape.captured(damaged)["event_id"].to_list() == [str(event["event_id"]) for event in EVENTS]
    assert [str(error.facts["file"]) for error in damaged] == [str(path)]


def test_capture_and_ledger_of_events_go_on(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    store, resource = ControlStore(lake, "core"), LakeResource(root=str(lake.root))
    certified = store.ledger_path.read_bytes()
    cut(store.path)
    with dg.instance_for_test() as instance:
        context, market_data = dg.build_op_context(instance=instance), MarketDataResource(settings=settings())
        step = TapeStep("core", context, settings(), resource, market_data)
        (outcome_of_pair,) = step.outcomes("trades", [("AVLO", "RTH")], TapeConfig())
    assert not outcome_of_pair.problems
    assert f"controls: unknown, and not captured: {store.path}" in capsys.readouterr().err
    ledger, figures = make_ledger("core", settings(), resource)
    assert ledger["state"].to_list() == ["complete", "complete"]
    assert str(figures["damaged"]).startswith(f"controls: unknown, and not captured: {store.path}")
    # what was certified of controls stays until they are known again
    assert store.ledger_path.read_bytes() == certified


def test_the_remedy_is_the_asset_that_sets_it_aside(lake: Lake) -> None:
    store = ControlStore(lake, "core")
    cut(store.path)
    found = store.find(ManifestStore.in_lake(lake, "core").current())
    assert found.rows.is_empty()
    assert REMEDY in str(found.problem)


def test_a_missing_manifest_of_controls_is_named_beside_their_ledger(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ControlStore(lake, "core")
    store.path.unlink()
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    name = "tape/core/control_ledger.parquet: certifies controls whose manifest is missing"
    assert f"{name}; expected research/core/control_manifest.parquet, found nothing" in printed
    remedy = (
        "materialize core/control_manifest, unless there shall be no controls; then materialize core/capture_ledger"
    )
    assert f"remedy: {remedy} again" in printed
    # who removed it on purpose makes the ledger, and all is well
    make_ledger("core", settings(), LakeResource(root=str(lake.root)))
    assert not store.ledger_path.exists()
    assert "certifies controls" not in outcome(["verify"], capsys)[1]


def test_a_missing_ledger_of_controls_is_named_once_a_report_counts_them(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    resource, store = LakeResource(root=str(lake.root)), ControlStore(lake, "core")
    ledger, _ = make_ledger("core", settings(), resource)
    publish_frame(lake.ledger("core"), ledger, below=lake.root)
    certified = store.ledger_path.read_bytes()
    store.ledger_path.unlink()
    # nobody says yet that there was one
    assert "control_ledger" not in outcome(["verify"], capsys)[1]
    store.ledger_path.write_bytes(certified)
    report, _ = make_report("core", ledger, settings(), resource)
    publish_frame(lake.ledger("core").with_name("report.parquet"), report.rows, report.provenance, below=lake.root)
    store.ledger_path.unlink()
    code, printed = outcome(["verify"], capsys)
    assert code == 1
    assert "tape/core/control_ledger.parquet: is missing; expected certificates of 1 window, found nothing" in printed
    assert "remedy: materialize core/capture_ledger again" in printed
    make_ledger("core", settings(), resource)
    assert "control_ledger" not in outcome(["verify"], capsys)[1]
    # without controls there is none
    store.path.unlink()
    store.ledger_path.unlink()
    assert "control_ledger" not in outcome(["verify"], capsys)[1]
