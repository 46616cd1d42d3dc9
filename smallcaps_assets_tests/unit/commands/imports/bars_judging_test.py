"""Rows, files and sessions of bars that are rejected on import, with the reason."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import bars_from
from smallcaps_assets_tests.unit.commands.imports.bar_imports import (
    BOTH,
    FRI,
    FULL,
    MON,
    NAIVE,
    ONE,
    OTHER,
    OVER,
    ROWS,
    STAMP,
    TUE,
    ZONE,
    doubled,
    importing,
    of_day,
    put,
    quarantined,
    stored,
)


def test_32_bit_prices_are_rounded_to_their_decimals(lake: Lake, brought: Path) -> None:
    narrow = ONE.with_columns(pl.col(pl.Float64).cast(pl.Float32)).drop("symbol")
    assert narrow["open"].cast(pl.Float64)[0] != 12.34
    put(brought / "AEMD.parquet", narrow)
    importing(lake, brought)
    assert_frame_equal(stored(lake), ONE, check_exact=True)
    assert stored(lake)["volume"][0] == 9099.618


def test_integer_volumes_other_column_names_and_missing_columns_are_accepted(lake: Lake, brought: Path) -> None:
    short = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    bars = ONE.select(pl.col("symbol").alias("S"), *(pl.col(ours).alias(theirs) for ours, theirs in short.items()))
    put(brought / "bars.parquet", bars.with_columns(pl.col("v").cast(pl.Int32), otc=pl.lit(value=True), date=pl.lit(1)))
    result = importing(lake, brought, BarForm(names={"symbol": "S", **short}))
    expected = ONE.with_columns(
        pl.col("volume").floor(), vwap=pl.lit(None, dtype=pl.Float64), transactions=pl.lit(None, dtype=pl.Int64)
    )
    assert_frame_equal(stored(lake), expected)
    assert result.files.extra == {"otc", "date"}


@pytest.mark.parametrize("name", ["bars.txt", "bars.tsv", "AEMD"])
def test_a_file_of_an_unknown_suffix_is_rejected(name: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    BOTH.write_csv(brought / name)
    with pytest.raises(InputError, match=r"is not named as csv.gz or csv or parquet\. Rename it"):
        importing(lake, brought / name)
    with pytest.raises(InputError, match=rf"no csv.gz or csv or parquet file there \(1 other, such as {name}\)"):
        importing(lake, brought / "*")
    put(brought / "OTHER.csv", BOTH)
    assert importing(lake, brought / "*").figures["bars_new"] == 12


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_separator_other_than_the_comma_is_reported(sign: str, word: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    ONE.write_csv(brought / "AEMD.csv", separator=sign)
    (problem,) = importing(lake, brought).problems
    assert f"Values are separated by {word}: write the file with commas" in problem


@pytest.mark.parametrize(
    ("bars", "form", "words"),
    [
        (ONE.rename({"open": "o"}), BarForm(), "If they have other names, map them: --columns"),
        (ONE.drop("open", "close"), BarForm(), "no column open, close"),
        (ONE, BarForm(names={"open": "o"}), "no column o (given as open)"),
        (ONE.with_columns(pl.col("close").cast(pl.String)), BarForm(), "column close is String, not a number"),
        (ONE.drop("symbol"), BarForm(), "no column symbol, and its name is none"),
    ],
)
def test_files_without_bars_are_reported(
    bars: pl.DataFrame, form: BarForm, words: str, lake: Lake, brought: Path
) -> None:
    file = put(brought / "minute_bars.parquet", bars)
    (problem,) = importing(lake, brought, form).problems
    assert problem.startswith(f"{file}: ")
    assert words in problem


def test_bad_rows_are_quarantined_with_the_reason(lake: Lake, brought: Path) -> None:
    def bad(at: str, **values: Any) -> pl.DataFrame:
        return bars_from(at, ROWS[:1]).with_columns(pl.lit(value).alias(name) for name, value in values.items())

    between = bad("2025-11-05 10:00").with_columns(STAMP + timedelta(seconds=5))
    rows = [bad("2025-10-30 10:00", close=float("nan")), bad("2025-11-05 10:00", volume=0.0), between]
    rows += [bad("2025-11-05 10:01", high=1.0), ONE.head(1), bad("2025-11-05 10:02", symbol="../x")]
    put(brought / "bars.parquet", pl.concat([ONE, *rows]))
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(stored(lake), ONE)
    assert quarantined(lake) == {
        "symbol=AEMD/2025-10.parquet": {"a price is missing or not positive": 1},
        "symbol=AEMD/2025-11.parquet": {
            "volume is missing or not positive": 1,
            "timestamp is not the start of a minute": 1,
            "high or low contradicts open and close": 1,
        },
        "unnamed.parquet": {"symbol is not usable as a name": 1},
    }
    assert (result.figures["rows_quarantined"], result.figures["rows_repeated"]) == (5, 1)
    # a day whose bars are all bad is still missing
    assert BarsStore(lake).covered("AEMD") == {FRI, MON, TUE}


def test_text_that_is_not_a_number_is_quarantined(lake: Lake, brought: Path) -> None:
    wrong = pl.Series(["12.34", "1,234.5", "n/a", "", "12.34", " 12.41 "])
    put(brought / "AEMD.csv", ONE.drop("symbol").with_columns(open=wrong))
    assert importing(lake, brought).figures["rows_quarantined"] == 3
    assert stored(lake)["open"].to_list() == [12.34, 12.34, 12.41]


def test_days_without_a_session_and_unfinished_days_are_filtered(lake: Lake, brought: Path) -> None:
    saturday, later = bars_from("2025-11-01 10:00", ROWS), bars_from("2025-12-01 10:00", ROWS[:1])
    night = bars_from("2025-11-03 03:00", ROWS[:1])
    put(brought / "bars.parquet", pl.concat([ONE, saturday, later, night]))
    result = importing(lake, brought)
    assert (result.figures["rows_on_other_days"], result.figures["rows_not_over"]) == (2, 1)
    # as in bars of the vendor: detection ignores bars outside the sessions
    assert_frame_equal(stored(lake), pl.concat([ONE, night]).sort("timestamp"))
    # bars of an unfinished session must be read again
    assert importing(lake, brought).figures["bars_equal"] == 7


def test_bars_outside_sessions_are_rejected_unless_allowed(lake: Lake, brought: Path) -> None:
    """07:00 to 10:00 in New York, read as UTC: 02:00 to 05:00, of which two hours are outside."""
    bars = bars_from("2025-11-03 07:00", FULL, "AEMD")
    put(brought / "AEMD.parquet", bars.drop("symbol").with_columns(timestamp=NAIVE))
    put(brought / "BRK.B.parquet", OTHER.drop("symbol"))
    (problem,) = importing(lake, brought, BarForm("UTC")).problems
    assert f"{brought / 'AEMD.parquet'}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York" in problem
    assert all(word in problem for word in ("--timezone", "--unit", "--allow-outside"))
    assert_frame_equal(stored(lake), OTHER)
    taken = importing(lake, brought, BarForm("UTC"), allow_outside=True)
    assert (taken.figures["bars_new"], taken.figures["bars_off_hours"]) == (180, 120)
    right = new_lake(lake.root.with_name("right"))
    assert not importing(right, brought, BarForm(ZONE)).problems
    assert_frame_equal(stored(right), pl.concat([bars, OTHER]))


@pytest.mark.parametrize(("outside", "problems"), [(9, 0), (10, 1)])
def test_few_bars_outside_sessions_are_imported(outside: int, problems: int, lake: Lake, brought: Path) -> None:
    """9 of 180 bars (5 %) may be outside."""
    night = bars_from("2025-11-03 03:00", FULL[:outside], "AEMD")
    put(brought / "AEMD.parquet", pl.concat([night, bars_from("2025-11-03 09:30", FULL[outside:], "AEMD")]))
    result = importing(lake, brought)
    assert len(result.problems) == problems
    assert result.figures["bars_off_hours"] == (0 if problems else outside)


WRONG = STAMP + timedelta(hours=-5)  # New York clock time in winter, read as UTC
WEEKS = [day for day in OVER if date(2025, 11, 3) <= day <= date(2025, 11, 13)]


@pytest.mark.parametrize("name", ["symbol=AEMD/{}.parquet", "symbol=AEMD/{}.csv", "{}.parquet", "{}.csv.gz"])
def test_one_file_in_another_time_zone_is_rejected_among_many(name: str, lake: Lake, brought: Path) -> None:
    """120 of 1,620 bars in all nine files would not exceed the limit."""
    for day in WEEKS:
        put(brought / name.format(day), of_day(day).with_columns(WRONG if day == TUE else STAMP))
    (problem,) = importing(lake, brought).problems
    assert problem.startswith(
        f"{brought / name.format(TUE)}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York"
    )
    right = pl.concat(of_day(day) for day in WEEKS)
    assert_frame_equal(stored(lake), right.filter(DAY != TUE))
    # only that one is read again
    again = importing(lake, brought)
    assert again.problems == [problem]
    assert not any(again.figures.values())
    put(brought / name.format(TUE), of_day(TUE))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), right)


def test_rejected_files_are_named(lake: Lake, brought: Path) -> None:
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(STAMP if day > TUE else WRONG))
    (problem,) = importing(lake, brought).problems
    assert problem.startswith(f"{brought / f'{MON}.parquet'}: ")
    assert problem.endswith(f"1 more file is like it: {brought / f'{TUE}.parquet'}.")
    assert BarsStore(lake).covered("AEMD") == set(WEEKS) - {MON, TUE}


@pytest.mark.parametrize(("wrong", "rejected"), [(1, 0), (9, 9)])
def test_files_of_few_bars_are_judged_together(wrong: int, rejected: int, lake: Lake, brought: Path) -> None:
    """18 bars each, one of them outside; more than 5 % of 162 if every file has one."""
    for number, day in enumerate(WEEKS):
        bars = of_day(day, rows=18)
        night = pl.when(pl.int_range(18) == 0).then(STAMP - timedelta(hours=6)).otherwise(STAMP)
        put(brought / f"{day}.parquet", bars.with_columns(night if number < wrong else STAMP))
    result = importing(lake, brought)
    assert len(result.problems) == bool(rejected)
    assert len(BarsStore(lake).covered("AEMD")) == 9 - rejected


@pytest.mark.parametrize("replace", [False, True])
def test_nothing_of_a_rejected_file_larger_than_memory_is_imported(replace: bool, lake: Lake, brought: Path) -> None:
    """Although its first symbols are right."""
    right = pl.concat(of_day(MON, symbol) for symbol in ("AEMD", "BRK.B"))
    file = put(brought / "big.parquet", pl.concat([right, of_day(MON, "CRVO").with_columns(WRONG)]))
    result = importing(lake, brought, rows_at_once=200, decided=replace, replace=replace)
    (problem,) = result.problems
    assert problem.startswith(f"{file}: 120 of 540 bars (22 %) lie outside")
    assert not files_below(lake.root)


def test_rows_without_trades_do_not_count_as_outside_sessions(lake: Lake, brought: Path) -> None:
    """Some vendors have a row for every minute of the day."""
    day = bars_from("2025-11-03 00:00", [(12.0, 12.0, 12.0, 12.0, 0.0, None)] * 1440, "AEMD")
    trades = of_day(MON)
    put(brought / "AEMD.parquet", pl.concat([day.join(trades, on="timestamp", how="anti"), trades]))
    assert not importing(lake, brought).problems
    assert_frame_equal(stored(lake), trades)


def test_sessions_that_differ_from_the_lake_are_rejected_without_on_conflict(lake: Lake, brought: Path) -> None:
    """As with adjusted prices or another time zone."""
    before = pl.concat([bars_from("2025-11-03 09:30", FULL, name) for name in ("AEMD", "BRK.B", "CRVO")])
    put(brought / "1" / "bars.parquet", before)
    importing(lake, brought / "1")
    # 36 of 180 minutes of CRVO differ, exactly the allowed 20 %
    later = before.with_columns(doubled("AEMD")).with_columns(
        doubled("CRVO", until=datetime(2025, 11, 3, 15, 6, tzinfo=UTC))
    )
    put(brought / "2" / "bars.parquet", pl.concat([later, of_day(TUE)]))
    result = importing(lake, brought / "2")
    (problem,) = result.problems
    assert "180 of the 180 minutes of AEMD on 2025-11-03 that the lake has as well differ (100 %)" in problem
    assert "--on-conflict" in problem
    assert (result.figures["bars_differing"], result.figures["bars_equal"]) == (36, 180 + 144)
    assert_frame_equal(stored(lake), pl.concat([before[:180], of_day(TUE), before[180:]]))
    assert importing(lake, brought / "2", decided=True, replace=True).figures["bars_replaced"] == 216


def test_one_wrongly_imported_session_is_found_among_many(lake: Lake, brought: Path) -> None:
    """A file imported in another time zone, all inside the day, and now corrected."""
    late = STAMP - timedelta(hours=1)
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(late if day == TUE else STAMP))
    importing(lake, brought)
    put(brought / f"{TUE}.parquet", of_day(TUE))
    result = importing(lake, brought)
    (problem,) = result.problems
    assert "120 of the 120 minutes of AEMD on 2025-11-04 that the lake has as well differ (100 %)" in problem
    assert problem.startswith(f"{brought / f'{TUE}.parquet'}: ")
    assert "a file that was imported before and is corrected now" in problem
    assert (result.figures["bars_new"], result.figures["bars_equal"]) == (0, 8 * 180)


@pytest.mark.parametrize(("minutes", "problems"), [(19, 0), (20, 1)])
def test_a_single_session_of_few_minutes_is_not_judged(minutes: int, problems: int, lake: Lake, brought: Path) -> None:
    put(brought / "1" / "bars.parquet", of_day(MON, rows=minutes))
    put(brought / "2" / "bars.parquet", of_day(MON, rows=minutes).with_columns(doubled("AEMD")))
    importing(lake, brought / "1")
    assert len(importing(lake, brought / "2").problems) == problems


def test_sessions_of_few_minutes_are_judged_together(lake: Lake, brought: Path) -> None:
    every = pl.concat(of_day(day, rows=15) for day in WEEKS)
    put(brought / "1" / "bars.parquet", every)
    put(brought / "2" / "bars.parquet", every.with_columns(doubled("AEMD", until=date(2025, 11, 6))))
    importing(lake, brought / "1")
    (problem,) = importing(lake, brought / "2").problems
    assert "45 of the 45 minutes of AEMD on 2025-11-03, AEMD on 2025-11-04, AEMD on 2025-11-05 that the lake" in problem
