"""`smallcaps import windows`: what files cover, which windows that certifies, and which are left to the capture."""

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetKey

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, manifest_of, trades_at
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.commands.imports.window_imports import COVERAGE, MARKET, freeze, ledger, tape_of
from smallcaps_assets_tests.unit.commands.imports.windows.handmade import HAND, TEN, Import, at, quotes, trades, write

pytestmark = pytest.mark.slow


def test_windows_longer_than_their_files_are_left_to_the_capture(
    lake: Lake, tmp_path: Path, import_windows: Import
) -> None:
    freeze(lake, HAND.with_columns(window_before_min=pl.Series([3, 10, 3])))
    write(tmp_path / "old", "trades", "one", trades(0))
    write(tmp_path / "old", "trades", "near", trades(5))
    figures = import_windows()["trades"]
    assert (figures["adopted"], figures["shorter_than_the_window"], figures["refused"]) == (1, 1, 0)
    figures = import_windows(coverage=["--before", "10", "--after", "20"])["trades"]
    assert (figures["adopted"], figures["shorter_than_the_window"], figures["there_already"]) == (1, 0, 1)


def test_the_manifest_of_the_files_defines_what_they_cover(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(-9, 0))
    write(tmp_path / "old", "trades", "two", trades(60))
    minutes = pl.DataFrame({"event_id": ["one"], "window_before_min": [10], "window_after_min": [20]})
    minutes.cast({"window_before_min": pl.Int32}).write_parquet(tmp_path / "for.parquet")
    figures = import_windows(coverage=["--manifest", str(tmp_path / "for.parquet")])["trades"]
    # the other is not in that manifest
    assert (figures["adopted"], figures["shorter_than_the_window"], figures["rows"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "--before MIN and --after MIN, or --manifest FILE"),
        (["--before", "3"], "--before MIN and --after MIN"),
        ([*COVERAGE, "--manifest", "x.parquet"], "--before MIN and --after MIN"),
        (COVERAGE, "--resolution is missing: no file records how quotes were thinned"),
        ([*COVERAGE, "--resolution", "fast"], "--resolution fast"),
        ([*COVERAGE, "--resolution", "4"], "a multiple of that rate is needed"),
        ([*COVERAGE, "--resolution", "7"], "a multiple of that rate is needed"),
        ([*COVERAGE, "--resolution", "full", "--timezone", "Mars"], "--timezone Mars"),
        ([*COVERAGE, "--resolution", "full", "--timezone", "EST"], "--timezone EST: is without summer time"),
    ],
)
def test_coverage_of_files_is_not_guessed(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "quotes", "one", quotes(0))
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *flags]) == 2
    assert words in capsys.readouterr().err
    assert tape_of(lake) == {}


def test_a_window_without_quotes_is_still_to_be_captured(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    for name in ("one", "two"):
        write(tmp_path / "old", "trades", name, trades(0) if name == "one" else trades(60))
    write(tmp_path / "old", "quotes", "one", quotes().select(pl.all()))
    output = import_windows("--resolution", "full")
    # the first window is known to have no quotes; the second is unknown
    assert {name: row["state"] for name, row in ledger(lake).items()} == {
        "one": "trades_only",
        "near": "missing",
        "two": "missing",
    }
    assert output["partitions_told_to_dagster"] == {"trades": 0, "quotes": 0}


def test_the_ledger_of_controls_follows_and_files_of_controls_are_left_out(
    lake: Lake, tmp_path: Path, import_windows: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    """A control at eleven o'clock, whose window is that of an imported event, and one whose tape only a file has."""
    freeze(lake, HAND)
    inside, alone = (f"AEMD_control_{moment}_0123abcd" for moment in ("20251105_160000", "20251104_150000"))
    moments = [TEN + timedelta(hours=1), TEN - timedelta(days=1)]
    controls = pl.DataFrame(
        {
            "control_id": [inside, alone], "control_of": ["one", "near"], "symbol": "AEMD", "event_type": "control",
            "timestamp": moments, "session": "RTH", "direction": "up", "extended": False, "rank": [1, 2],
            "window_before_min": [3, 3], "window_after_min": [7, 7], "date": ["2025-11-05", "2025-11-04"],
        }
    ).match_to_schema(CONTROL_MANIFEST, integer_cast="upcast")  # fmt: skip
    store = ControlStore(lake, "core")
    store.publish(controls, {"manifest_id": ManifestStore.in_lake(lake, "core").current_id()})
    write(tmp_path / "old", "trades", "two", trades(59, 60, 61))
    write(tmp_path / "old", "quotes", "two", quotes(58, 59, 60))
    write(tmp_path / "old", "trades", alone, trades(-24 * 60))
    output = import_windows("--resolution", "full")
    assert output["trades"]["not_in_manifest"] == 1
    assert {name: row["state"] for name, row in ledger(lake).items()} == {
        "one": "missing", "near": "missing", "two": "complete",
    }  # fmt: skip
    certified = store.load_ledger()
    assert dict(certified.select("event_id", "state").iter_rows()) == {inside: "complete", alone: "missing"}
    # a damaged manifest of controls keeps no event from its certificate, and is named
    flip_bit(store.path)
    before = store.ledger_path.read_bytes()
    write(tmp_path / "old", "trades", "one", trades(-1, 0, 1))
    write(tmp_path / "old", "quotes", "one", quotes(-1, 0, 1))
    import_windows("--resolution", "full", code=1)
    assert ledger(lake)["one"]["state"] == "complete"
    assert "control_manifest.parquet" in capsys.readouterr().err
    assert store.ledger_path.read_bytes() == before


def bars_of(lake: Lake, *minutes: float) -> None:
    """The session of the events, with bars at these minutes after ten o'clock."""
    rows = [{"symbol": "AEMD", "timestamp": moment, "volume": 100.0} for moment in at(*minutes)]
    bars = pl.DataFrame(rows, schema=BARS, orient="row").with_columns(pl.col(pl.Float64).fill_null(1.0))
    BarsStore(lake).add("AEMD", date(2025, 11, 1), [date(2025, 11, 5)], bars, QUARANTINED_BARS.to_frame())


@pytest.mark.parametrize("rows", [trades(), trades(-9, 20)], ids=["no row", "none in the window"])
def test_a_window_without_trades_must_agree_with_the_bars(
    lake: Lake, tmp_path: Path, import_windows: Import, rows: pl.DataFrame
) -> None:
    freeze(lake, HAND.with_columns(volume=pl.lit(50_000.0)))
    write(tmp_path / "old", "trades", "one", rows)
    coverage = ["--before", "10", "--after", "30"]
    assert import_windows(code=1, coverage=coverage)["refused"][0]["reason"] == (
        "holds no trade from 2025-11-05 14:57 to 15:07 UTC, of which the event's own bar has a volume of 50,000; left "
        "to the capture"
    )
    # minutes 3 and 6 are within [-3, 7), minute 7 is not
    bars_of(lake, 3, 6, 7)
    assert (
        "the bars of the lake have a volume of 200;"
        in import_windows(code=1, coverage=coverage)["refused"][0]["reason"]
    )
    assert ledger(lake)["one"]["trades_rows"] is None
    shutil.rmtree(lake.bars("AEMD"))
    bars_of(lake, 7, 8)
    assert import_windows(coverage=coverage)["trades"]["adopted"] == 1
    assert ledger(lake)["one"]["trades_rows"] == 0


# every half hour from half past nine to seven in the evening: 20 events
MANY = [f"e{number:02}" for number in range(20)]
DAY_LONG = manifest_of(
    *(event(f"2025-11-05 {9 + (30 + 30 * n) // 60:02}:{30 * ((n + 1) % 2):02}", event_id=MANY[n]) for n in range(20))
)


@pytest.mark.slow
def test_files_shorter_than_declared_are_rejected(
    lake: Lake, tmp_path: Path, import_windows: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, DAY_LONG)
    for number, name in enumerate(MANY):
        # from ten minutes before to twenty after, and a few seconds less
        around = trades(*(30 * number - 30 + minute for minute in (-9.9 + number / 10, 0, 19.5)))
        write(tmp_path / "old", "trades", name, around)
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "core"]
    assert main([*arguments, "--before", "15", "--after", "30"]) == 2
    output = capsys.readouterr().err
    assert "20 that should reach to 15 minutes before their event, none comes within 60 seconds" in output
    assert "the farthest reaches to 9.9; of 20 that should reach to 30 minutes after" in output
    assert "They seem to cover --before 10 --after 20: give that" in output
    assert tape_of(lake) == {}
    output = import_windows(coverage=["--before", "10", "--after", "20"])
    assert output["trades"]["adopted"] == 20
    shutil.rmtree(lake.root / "tape")
    assert import_windows("--held-for-sure", coverage=["--before", "15", "--after", "30"])["trades"]["adopted"] == 20
    # one file fewer is not enough evidence: all may be of quiet minutes
    shutil.rmtree(lake.root / "tape")
    shutil.rmtree(tmp_path / "old" / "symbol=AEMD" / "event=e07")
    assert import_windows(coverage=["--before", "15", "--after", "30"])["trades"]["adopted"] == 19


def test_tape_published_before_a_disk_error_is_certified(
    lake: Lake, tmp_path: Path, import_windows: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, MARKET)
    ten = datetime(2025, 11, 26, 15, tzinfo=UTC)
    for name, minutes in (("AVLO_p_1", -120), ("AVLO_a_1", 0), ("CRVO_c_1", 60)):
        rows = trades_at(ten + timedelta(minutes=minutes)).with_columns(exchange=pl.lit(4, pl.Int64))
        write(tmp_path / "old", "trades", name, rows.with_columns(trade_id=pl.lit("t")), flat=True)
    # the folder of the symbol after AVLO cannot be created
    blocked = lake.tape_wave("core", "trades", "RTH", "CRVO")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder")
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *COVERAGE]) == 2
    assert "symbol=CRVO" in capsys.readouterr().err
    assert {name for name, row in ledger(lake).items() if row["trades_rows"]} == {"AVLO_p_1", "AVLO_a_1"}
    with open_state_as_is(load_settings()) as instance:
        assert instance.get_materialized_partitions(AssetKey(["core", "tape_trades"])) == {"AVLO|PM"}
    blocked.unlink()
    assert import_windows()["trades"]["adopted"] == 1


def test_missing_tape_is_reported_by_kind(
    lake: Lake, tmp_path: Path, import_windows: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    freeze(lake, HAND)
    for name, minute in (("one", 0), ("two", 60)):
        write(tmp_path / "old", "trades", name, trades(minute))
    write(tmp_path / "old", "quotes", "two", quotes(60))
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "core", "--resolution", "full", *COVERAGE]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "  published: trades of 2, quotes of 1" in output
    assert "  still to capture: trades of 1, quotes of 2" in output
    assert import_windows("--resolution", "full")["held"] == {"trades": 2, "quotes": 1}


def test_without_a_manifest_the_error_names_the_command_to_create_one(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "old", "trades", "one", trades(0))
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *COVERAGE]) == 2
    output = capsys.readouterr().err
    folder = lake.manifests("core")
    assert f'smallcaps manifest --master "{lake.imported_events}" --profile core --out "{folder}"; else' in output
    assert not lake.imports.exists()


def test_a_rejected_file_stays_listed_until_it_is_replaced(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    old = tmp_path / "old"
    aside = lake.root / "quarantine" / "tape" / "core" / "adopted.parquet"
    for name in ("one", "two"):
        write(old, "trades", name, trades(0, 30))
    import_windows(code=1)
    assert pl.read_parquet(aside)["event_id"].to_list() == ["one", "two"]
    shutil.rmtree(old)
    # another folder, with one of them repaired
    write(old, "trades", "two", trades(60))
    output = import_windows()
    assert (output["trades"]["adopted"], output["refused"]) == (1, [])
    assert pl.read_parquet(aside)["event_id"].to_list() == ["one"]
    write(old, "trades", "one", trades(0))
    import_windows()
    assert pl.read_parquet(aside).is_empty()
