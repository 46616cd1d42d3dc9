"""`smallcaps import windows`: tape downloaded elsewhere becomes tape of the lake, and is not fetched."""

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import AssetKey
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.domain.tables import BARS, TRADES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, files_below, manifest_of, new_lake, quotes_at, trades_at
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.unit.commands.imports.window_imports import (
    COVERAGE,
    MARKET,
    freeze,
    ledger,
    make_home,
    run_import,
    tape_of,
)

pytestmark = pytest.mark.slow

# by hand: windows [-3, +7) around ten and around eleven o'clock in New York
TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)
HAND = manifest_of(
    event("2025-11-05 10:00", event_id="one"),
    event("2025-11-05 10:05", event_id="near"),
    event("2025-11-05 11:00", event_id="two"),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is restored afterwards."""
    return make_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def lake(home: Path) -> Lake:
    """The lake of the folder."""
    return new_lake(home / "lake")


Import = Callable[..., dict[str, Any]]


@pytest.fixture
def import_windows(tmp_path: Path) -> Import:
    """Import the files of `old`, expecting exit code `code`; returns the JSON output."""

    def run(*flags: object, code: int = 0, coverage: list[str] = COVERAGE, profile: str = "core") -> dict[str, Any]:
        return run_import(tmp_path / "old", "--profile", profile, *coverage, *map(str, flags), code=code)

    return run


def write(folder: Path, kind: TapeKind, event_id: str, rows: pl.DataFrame, *, flat: bool = False) -> Path:
    path = (
        folder / f"{event_id}_{kind}.parquet"
        if flat
        else folder / "symbol=AEMD" / f"event={event_id}" / f"{kind}.parquet"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path)
    return path


def at(*minutes: float) -> list[datetime]:
    return [TEN + timedelta(minutes=minute) for minute in minutes]


def trades(*minutes: float) -> pl.DataFrame:
    return trades_at(*at(*minutes)).with_columns(exchange=pl.lit(4, pl.Int64), trade_id=pl.lit("t"))


def quotes(*minutes: float) -> pl.DataFrame:
    return quotes_at(*at(*minutes))


# -------------------------------------------------------------------------------------------- single files


def test_bad_files_are_named_and_stop_no_other(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    old = tmp_path / "old"
    sound = trades(59, 60, 61)
    write(old, "trades", "two", sound)
    write(old, "trades", "strange", trades(0))
    (old / "notes.parquet").write_bytes(b"no tape at all")
    bad = write(old, "trades", "one", trades(0, 1), flat=True)
    bad.write_bytes(bad.read_bytes()[:-20])
    output = import_windows(code=1)
    assert (
        output["trades"] | {"files": 3, "adopted": 1, "refused": 1, "not_in_manifest": 1, "rows": 3} == output["trades"]
    )
    assert [(row["file"], row["kind"], row["event_id"]) for row in output["refused"]] == [
        ("one_trades.parquet", "trades", "one")
    ]
    aside = pl.read_parquet(lake.root / "quarantine" / "tape" / "core" / "adopted.parquet")
    assert aside.to_dicts() == output["refused"]
    before = files_below(lake.root)
    import_windows(code=1)
    assert files_below(lake.root) == before
    write(old, "trades", "one", trades(0, 1), flat=True)
    mended = import_windows()
    assert (mended["trades"]["there_already"], mended["trades"]["adopted"], mended["refused"]) == (1, 1, [])
    path = lake.tape_wave("core", "trades", "RTH", "AEMD") / "20251105T155700_20251105T160700.parquet"
    assert_frame_equal(pl.read_parquet(path, hive_partitioning=False), sound.select(*TRADES))


def test_imported_quotes_above_the_size_budget_are_thinned_from_known_at_on(
    lake: Lake, home: Path, tmp_path: Path, import_windows: Import
) -> None:
    """At 5 quotes a second in [10:57, 11:07): 1,200 before 11:01 stay, and of the other 1,800 one in two seconds."""
    config = home / "config" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("event_mb: 50.0", "event_mb: 0.001"), encoding="utf-8")
    freeze(lake, HAND)
    write(tmp_path / "old", "quotes", "two", quotes(*(57 + number / 300 for number in range(3_000))))
    import_windows("--resolution", "full")
    (path,) = lake.tape("core", "quotes").rglob("*.parquet")
    times = pl.read_parquet(path, hive_partitioning=False)["timestamp"]
    assert (times < at(61)[0]).sum() == 1_200
    assert (times >= at(61)[0]).sum() == 180


def in_microseconds(rows: pl.DataFrame) -> pl.DataFrame:
    """Nanoseconds stored as if they were microseconds: the year 57808."""
    return rows.with_columns(pl.col("timestamp").dt.epoch("ns").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize(
    ("kind", "rows", "reason"),
    [
        ("trades", in_microseconds(trades(0, 1)), "nanoseconds read in another unit"),
        ("trades", trades(0, 1).with_columns(pl.col("timestamp").dt.epoch("us")), "timestamp cannot be"),
        ("trades", trades(0, 8), "rows outside its span: 1 of 2"),
        ("trades", trades(0, 1).with_columns(price=pl.lit(float("nan"))), "price is not a finite number: 2 of 2"),
        ("trades", trades(0, 1).with_columns(price=-pl.col("price")), "price is not above 0"),
        ("trades", trades(0, 1).with_columns(sequence_number=pl.lit(5)), "all rows have one sequence_number: 2 of 2"),
        ("trades", trades(0, 1).with_columns(size=pl.lit(1e308)), "size is above 2,000,000,000: 2 of 2"),
        ("trades", trades(0, 1).with_columns(size=pl.lit(None, pl.Float64)), "size is missing in 2 of 2"),
        ("trades", trades(0, 1).drop("price", "trade_id"), "no column price, trade_id"),
        ("trades", trades(0, 1).with_columns(price=pl.lit("10.2")), "column price is String, not a number"),
        ("trades", trades(0, 1).with_columns(exchange=pl.lit(4.5)), "exchange cannot be Int64 in 2 of 2"),
        ("trades", trades(0, 0).with_columns(sequence_number=pl.lit(1)), "rows more than once: 2 of 2"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("a,b")), "in 2 of 2 rows, such as a,b"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("@ T")), "in 2 of 2 rows, such as @ T"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("[12, 37")), "such as [12, 37"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("[12.5, 37.0]")), "such as [12.5, 37.0]"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit("1" * 20)), "such as 11111111111111111111"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit([1.5, 2.0])), "such as [1.5, 2.0]"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit(["12", "T"])), "such as ['12', 'T']"),
        ("trades", trades(0, 1).with_columns(conditions=pl.lit([True])), "conditions is List(Boolean), not a list"),
        ("trades", trades(0, 1).with_columns(exchange=pl.lit(2**63, pl.UInt64)), "such as 9223372036854775808 ("),
        ("trades", pl.concat([trades(0)] * 50_000).with_row_index("n").select(
            pl.exclude("n", "sequence_number"), sequence_number="n"), "looks cut off: its 50,000 rows"),
        (
            "quotes",
            quotes(0, 1, 2).rename({"bid_price": "ask_price", "ask_price": "bid_price"}),
            "the book is crossed: 3 of 3",
        ),
        ("quotes", quotes(0, 1).with_columns(bid_size=pl.lit(-1.0)), "bid_size is below 0"),
        ("quotes", quotes(0, 1).with_columns(bid_price=None, ask_price=None), "both sides are missing: 2 of 2"),
    ],
)  # fmt: skip
def test_invalid_files_are_rejected_with_the_reason(
    lake: Lake, tmp_path: Path, import_windows: Import, *, kind: TapeKind, rows: pl.DataFrame, reason: str
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", kind, "one", rows)
    output = import_windows("--resolution", "full", code=1)
    assert reason in output["refused"][0]["reason"]
    assert output["events"] == {"missing": 3}
    assert tape_of(lake) == {}


def test_an_impossible_row_is_quarantined_and_its_file_is_imported(
    lake: Lake, tmp_path: Path, import_windows: Import
) -> None:
    freeze(lake, HAND)
    rows = trades(*(second / 60 for second in range(100)))
    bad = pl.when(pl.int_range(pl.len()) == 7).then(-1.0).otherwise("price").alias("price")
    write(tmp_path / "old", "trades", "one", rows.with_columns(bad))
    figures = import_windows()["trades"]
    assert (figures["rows"], figures["rows_rejected"], figures["refused"]) == (99, 1, 0)
    (path,) = (lake.quarantine / "tape").rglob("2025*.parquet")
    aside = pl.read_parquet(path, hive_partitioning=False)
    assert aside.select("sequence_number", "price", "reason").rows() == [(8, -1.0, "price is not above 0")]
    (found,) = tape_of(lake).values()
    assert found["sequence_number"].to_list() == [number for number in range(1, 101) if number != 8]
    assert (ledger(lake)["one"]["trades_received"], ledger(lake)["one"]["trades_rejected"]) == (100, 1)


def unnamed(*minutes: float) -> pl.DataFrame:
    """Trades whose number is 0 and that have no id."""
    return trades(*minutes).with_columns(sequence_number=pl.lit(0, pl.Int64), trade_id=pl.lit(None, pl.String))


def test_rows_that_a_file_repeats_are_counted_and_rows_without_identity_all_stay(
    lake: Lake, tmp_path: Path, import_windows: Import
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "two", pl.concat([trades(60, 61), trades(60, 61)]))
    # equal in every column but the price of the last
    same = pl.concat([unnamed(1), unnamed(1), unnamed(1).with_columns(price=pl.lit(9.0))])
    # the windows [-3, 7) and [2, 12) share the two trades of minute 6, which each file has
    shared = pl.concat([unnamed(6), unnamed(6)])
    write(tmp_path / "old", "trades", "one", pl.concat([same, shared]))
    write(tmp_path / "old", "trades", "near", pl.concat([shared, trades(8)]))
    said = import_windows()
    assert (said["trades"]["repeats"], said["trades"]["rows"], said["trades"]["refused"]) == (2, 8, 0)
    found = ledger(lake)
    assert [found[event]["trades_rows"] for event in ("one", "near", "two")] == [5, 3, 2]
    assert [found[event]["trades_repeats"] for event in ("one", "near", "two")] == [0, 0, 2]


@pytest.mark.parametrize(
    "rows",
    [
        trades(0, 1)[::-1],  # rows are sorted
        pl.concat([trades(0, 1), trades(0, 1)]),  # pages that overlap
        trades(0, 1, 7),  # a download that includes the end of the window
        trades(0, 1).with_columns(pl.col("timestamp").cast(pl.Datetime("ms", "America/New_York"))),
        trades(0, 1).with_columns(pl.col("timestamp").dt.epoch("ns").cast(pl.UInt64)),
        trades(0, 1).with_columns(pl.col("price").cast(pl.Float32), pl.col("size").cast(pl.Int32)),
        trades(0, 1).with_columns(conditions=pl.lit("12"), sequence_number=pl.col("sequence_number").cast(pl.Float64)),
        trades(0, 1).drop("tape", "trf_id", "correction").with_columns(a_column_of_mine=1),
    ],
)
def test_equivalent_files_give_the_same_tape(
    lake: Lake, tmp_path: Path, import_windows: Import, rows: pl.DataFrame
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", rows)
    assert import_windows()["trades"]["rows"] == 2
    (found,) = tape_of(lake).values()
    assert_frame_equal(found, trades(0, 1).select(*TRADES))


def test_a_missing_time_zone_is_not_guessed(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(pl.col("timestamp").dt.replace_time_zone(None)))
    assert "no time zone" in import_windows(code=1)["refused"][0]["reason"]
    assert import_windows("--timezone", "UTC")["trades"]["adopted"] == 1


def test_a_file_that_contradicts_an_overlapping_file_is_rejected(
    lake: Lake, tmp_path: Path, import_windows: Import
) -> None:
    freeze(lake, HAND)
    # [-3, 7) and [2, 12) share five minutes, and the second file misses a trade of them
    numbered = trades(0, 3, 4, 8)
    write(tmp_path / "old", "trades", "one", numbered[:3])
    write(tmp_path / "old", "trades", "near", numbered[2:])
    output = import_windows(code=1)
    assert [(row["event_id"], row["reason"]) for row in output["refused"]] == [
        ("near", "has 2 rows, with its neighbours there are 3")
    ]
    assert list(tape_of(lake)) == ["tape/core/trades/wave=RTH/symbol=AEMD/20251105T145700_20251105T150700.parquet"]


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


def test_real_windows_are_rejected_by_a_lake_of_the_simulated_market(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], import_windows: Import
) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0))
    store = UniverseStore(lake)
    store.replace(store.read(), {"source": "simulated market, seed 7"})
    assert main(["import", "windows", str(tmp_path / "old"), "--profile", "core", *COVERAGE]) == 2
    assert (
        "holds data of a simulated market, which must not be mixed with windows of a real one"
        in capsys.readouterr().err
    )
    assert tape_of(lake) == {}
    lake.universe.unlink()
    assert import_windows()["trades"]["adopted"] == 1
    assert imported_kinds(lake) == ["windows"]


def test_quotes_thinner_than_the_profile_are_rejected(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str], import_windows: Import
) -> None:
    freeze(lake, HAND)
    freeze(lake, HAND, "plus")
    write(tmp_path / "old", "quotes", "one", quotes(0, 0.001, 1))
    arguments = ["import", "windows", str(tmp_path / "old"), "--profile", "plus", *COVERAGE]
    assert main([*arguments, "--resolution", "changes,20"]) == 2
    assert "every quote that is last in its interval" in capsys.readouterr().err
    # two quotes within a fifth of a second; the first quote is always kept
    assert import_windows("--resolution", "changes,20")["quotes"]["rows"] == 3
    (output,) = {row["thinning"] for row in ledger(lake).values() if row["quotes_rows"]}
    assert output == "changes, 5 Hz"


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


def test_a_file_in_the_folder_of_another_symbol_is_rejected(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND.with_columns(symbol=pl.lit("ATRA")))
    write(tmp_path / "old", "trades", "one", trades(0))
    assert import_windows(code=1)["refused"][0]["reason"] == "is in the folder of AEMD, but the event is of ATRA"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        *[(text, [12, 37]) for text in ("12,37", "12 37", "[12, 37]", " [ 12 37 ] ", "[12.0, 37.0]", "12. ,37")],
        ("[-1, 12]", [-1, 12]),
        ("", []),
        ("[]", []),
        ([12.0, 37.0], [12, 37]),
        (["12", " 37.0"], [12, 37]),
        ([12, None], [12, None]),
    ],
)
def test_conditions_are_read_exactly(
    lake: Lake, tmp_path: Path, import_windows: Import, *, text: object, numbers: list[int | None]
) -> None:
    freeze(lake, HAND)
    conditions = pl.Series([text, None])
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(conditions=conditions))
    assert import_windows()["trades"]["rows"] == 2
    (found,) = tape_of(lake).values()
    assert found["conditions"].to_list() == [numbers, None]


def test_a_file_of_another_type_stops_no_other(lake: Lake, tmp_path: Path, import_windows: Import) -> None:
    freeze(lake, HAND)
    write(tmp_path / "old", "trades", "one", trades(0, 1).with_columns(conditions=pl.lit([b"12"])))
    write(tmp_path / "old", "trades", "near", trades(5, 6).with_columns(sequence_number=pl.lit(2**64 - 1, pl.UInt64)))
    write(tmp_path / "old", "trades", "two", trades(59, 60))
    output = import_windows(code=1)
    assert [row["event_id"] for row in output["refused"]] == ["one", "near"]
    assert ledger(lake)["two"]["trades_rows"] == 2


# --------------------------------------------------------------------------- only what files cover is certified


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
