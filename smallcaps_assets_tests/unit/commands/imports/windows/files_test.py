"""`smallcaps import windows`: files that are rejected, and rows that are quarantined, repeated or in another form."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.cli import main
from smallcaps_assets.domain.tables import TRADES
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.lake.imports import imported_kinds
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.commands.imports.window_imports import COVERAGE, freeze, ledger, tape_of
from smallcaps_assets_tests.unit.commands.imports.windows.handmade import HAND, Import, at, quotes, trades, write

pytestmark = pytest.mark.slow


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
