"""Rows, files and sessions of bars that are rejected on import, with the reason."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.month_files import DAY
from smallcaps_assets_tests.conftest import files_below
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
    held,
    importing,
    of_day,
    put,
    quarantined,
)


def test_prices_of_32_bits_are_the_decimals_that_they_stand_for(lake: Lake, brought: Path) -> None:
    narrow = ONE.with_columns(pl.col(pl.Float64).cast(pl.Float32)).drop("symbol")
    assert narrow["open"].cast(pl.Float64)[0] != 12.34
    put(brought / "AEMD.parquet", narrow)
    importing(lake, brought)
    assert_frame_equal(held(lake), ONE, check_exact=True)
    assert held(lake)["volume"][0] == 9099.618


def test_whole_shares_other_names_and_what_vendors_leave_out(lake: Lake, brought: Path) -> None:
    short = {"timestamp": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    bars = ONE.select(pl.col("symbol").alias("S"), *(pl.col(ours).alias(theirs) for ours, theirs in short.items()))
    put(brought / "bars.parquet", bars.with_columns(pl.col("v").cast(pl.Int32), otc=pl.lit(value=True), date=pl.lit(1)))
    result = importing(lake, brought, BarForm(names={"symbol": "S", **short}))
    expected = ONE.with_columns(
        pl.col("volume").floor(), vwap=pl.lit(None, dtype=pl.Float64), transactions=pl.lit(None, dtype=pl.Int64)
    )
    assert_frame_equal(held(lake), expected)
    assert result.files.extra == {"otc", "date"}


@pytest.mark.parametrize("name", ["bars.txt", "bars.tsv", "AEMD"])
def test_a_file_of_another_kind_is_refused_by_its_name(name: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    BOTH.write_csv(brought / name)
    with pytest.raises(InputError, match=r"is not named as csv.gz or csv or parquet\. Rename it"):
        importing(lake, brought / name)
    with pytest.raises(InputError, match=rf"no csv.gz or csv or parquet file there \(1 others, such as {name}\)"):
        importing(lake, brought / "*")
    put(brought / "OTHER.csv", BOTH)
    assert importing(lake, brought / "*").figures["bars_new"] == 12


@pytest.mark.parametrize(("sign", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_separator_than_the_comma_is_told(sign: str, word: str, lake: Lake, brought: Path) -> None:
    brought.mkdir()
    ONE.write_csv(brought / "AEMD.csv", separator=sign)
    (told,) = importing(lake, brought).problems
    assert f"Values are separated by {word}: write the file with commas" in told


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
def test_files_that_are_none_of_bars_are_told(
    bars: pl.DataFrame, form: BarForm, words: str, lake: Lake, brought: Path
) -> None:
    file = put(brought / "minute_bars.parquet", bars)
    (told,) = importing(lake, brought, form).problems
    assert told.startswith(f"{file}: ")
    assert words in told


def test_bad_rows_are_set_aside_with_the_reason(lake: Lake, brought: Path) -> None:
    def bad(at: str, **values: Any) -> pl.DataFrame:
        return bars_from(at, ROWS[:1]).with_columns(pl.lit(value).alias(name) for name, value in values.items())

    between = bad("2025-11-05 10:00").with_columns(STAMP + timedelta(seconds=5))
    rows = [bad("2025-10-30 10:00", close=float("nan")), bad("2025-11-05 10:00", volume=0.0), between]
    rows += [bad("2025-11-05 10:01", high=1.0), ONE.head(1), bad("2025-11-05 10:02", symbol="../x")]
    put(brought / "bars.parquet", pl.concat([ONE, *rows]))
    result = importing(lake, brought)
    assert not result.problems
    assert_frame_equal(held(lake), ONE)
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
    # a day whose bars are all bad is due
    assert BarsStore(lake).covered("AEMD") == {FRI, MON, TUE}


def test_text_that_is_no_number_is_set_aside(lake: Lake, brought: Path) -> None:
    wrong = pl.Series(["12.34", "1,234.5", "n/a", "", "12.34", " 12.41 "])
    put(brought / "AEMD.csv", ONE.drop("symbol").with_columns(open=wrong))
    assert importing(lake, brought).figures["rows_quarantined"] == 3
    assert held(lake)["open"].to_list() == [12.34, 12.34, 12.41]


def test_days_without_a_session_and_days_that_are_not_over_are_left_out(lake: Lake, brought: Path) -> None:
    saturday, later = bars_from("2025-11-01 10:00", ROWS), bars_from("2025-12-01 10:00", ROWS[:1])
    night = bars_from("2025-11-03 03:00", ROWS[:1])
    put(brought / "bars.parquet", pl.concat([ONE, saturday, later, night]))
    result = importing(lake, brought)
    assert (result.figures["rows_on_other_days"], result.figures["rows_not_over"]) == (2, 1)
    # as of the vendor's: detection leaves out what is outside of the sessions of a day
    assert_frame_equal(held(lake), pl.concat([ONE, night]).sort("timestamp"))
    # what waits for its session to be over must be read again
    assert importing(lake, brought).figures["bars_equal"] == 7


def test_bars_outside_of_every_session_are_refused_unless_they_may_be(lake: Lake, brought: Path) -> None:
    """07:00 to 10:00 in New York, read as UTC: 02:00 to 05:00, of which two hours are outside."""
    bars = bars_from("2025-11-03 07:00", FULL, "AEMD")
    put(brought / "AEMD.parquet", bars.drop("symbol").with_columns(timestamp=NAIVE))
    put(brought / "BRK.B.parquet", OTHER.drop("symbol"))
    (told,) = importing(lake, brought, BarForm("UTC")).problems
    assert f"{brought / 'AEMD.parquet'}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York" in told
    assert all(word in told for word in ("--timezone", "--unit", "--allow-outside"))
    assert_frame_equal(held(lake), OTHER)
    taken = importing(lake, brought, BarForm("UTC"), allow_outside=True)
    assert (taken.figures["bars_new"], taken.figures["bars_off_hours"]) == (180, 120)
    right = Lake(lake.root.with_name("right"))
    assert not importing(right, brought, BarForm(ZONE)).problems
    assert_frame_equal(held(right), pl.concat([bars, OTHER]))


@pytest.mark.parametrize(("outside", "problems"), [(9, 0), (10, 1)])
def test_a_few_bars_outside_are_taken(outside: int, problems: int, lake: Lake, brought: Path) -> None:
    """Of 180, 9 are the 5 % that may be."""
    night = bars_from("2025-11-03 03:00", FULL[:outside], "AEMD")
    put(brought / "AEMD.parquet", pl.concat([night, bars_from("2025-11-03 09:30", FULL[outside:], "AEMD")]))
    result = importing(lake, brought)
    assert len(result.problems) == problems
    assert result.figures["bars_off_hours"] == (0 if problems else outside)


WRONG = STAMP + timedelta(hours=-5)  # what a clock in New York shows in winter, taken for UTC
WEEKS = [day for day in OVER if date(2025, 11, 3) <= day <= date(2025, 11, 13)]


@pytest.mark.parametrize("name", ["symbol=AEMD/{}.parquet", "symbol=AEMD/{}.csv", "{}.parquet", "{}.csv.gz"])
def test_of_many_files_the_one_of_another_time_zone_is_refused(name: str, lake: Lake, brought: Path) -> None:
    """Of nine files of a symbol, or of many, 120 of 1,620 bars in all would not tell."""
    for day in WEEKS:
        put(brought / name.format(day), of_day(day).with_columns(WRONG if day == TUE else STAMP))
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{brought / name.format(TUE)}: 120 of 180 bars (67 %) lie outside 04:00 to 20:00 New York")
    right = pl.concat(of_day(day) for day in WEEKS)
    assert_frame_equal(held(lake), right.filter(DAY != TUE))
    # only that one is read again
    again = importing(lake, brought)
    assert again.problems == [told]
    assert not any(again.figures.values())
    put(brought / name.format(TUE), of_day(TUE))
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), right)


def test_files_that_are_refused_are_named(lake: Lake, brought: Path) -> None:
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(STAMP if day > TUE else WRONG))
    (told,) = importing(lake, brought).problems
    assert told.startswith(f"{brought / f'{MON}.parquet'}: ")
    assert told.endswith(f"1 more files are like it: {brought / f'{TUE}.parquet'}.")
    assert BarsStore(lake).covered("AEMD") == set(WEEKS) - {MON, TUE}


@pytest.mark.parametrize(("wrong", "refused"), [(1, 0), (9, 9)])
def test_files_of_few_bars_are_judged_together(wrong: int, refused: int, lake: Lake, brought: Path) -> None:
    """Of 18 bars each, one outside; more than 5 % of 162 if all have one."""
    for number, day in enumerate(WEEKS):
        bars = of_day(day, rows=18)
        night = pl.when(pl.int_range(18) == 0).then(STAMP - timedelta(hours=6)).otherwise(STAMP)
        put(brought / f"{day}.parquet", bars.with_columns(night if number < wrong else STAMP))
    result = importing(lake, brought)
    assert len(result.problems) == bool(refused)
    assert len(BarsStore(lake).covered("AEMD")) == 9 - refused


@pytest.mark.parametrize("replace", [False, True])
def test_of_a_file_larger_than_memory_nothing_is_taken_in_if_it_is_refused(
    replace: bool, lake: Lake, brought: Path
) -> None:
    """Although the symbols that come first are right."""
    right = pl.concat(of_day(MON, symbol) for symbol in ("AEMD", "BRK.B"))
    file = put(brought / "big.parquet", pl.concat([right, of_day(MON, "CRVO").with_columns(WRONG)]))
    result = importing(lake, brought, rows_at_once=200, decided=replace, replace=replace)
    (told,) = result.problems
    assert told.startswith(f"{file}: 120 of 540 bars (22 %) lie outside")
    assert not files_below(lake.root)


def test_rows_for_minutes_without_a_trade_are_no_bars_outside(lake: Lake, brought: Path) -> None:
    """As of vendors that have a row for every minute of the day."""
    day = bars_from("2025-11-03 00:00", [(12.0, 12.0, 12.0, 12.0, 0.0, None)] * 1440, "AEMD")
    trades = of_day(MON)
    put(brought / "AEMD.parquet", pl.concat([day.join(trades, on="timestamp", how="anti"), trades]))
    assert not importing(lake, brought).problems
    assert_frame_equal(held(lake), trades)


def test_sessions_most_of_whose_minutes_differ_are_refused_unless_it_was_said_which_stay(
    lake: Lake, brought: Path
) -> None:
    """As of prices that are adjusted, or of another time zone."""
    before = pl.concat([bars_from("2025-11-03 09:30", FULL, name) for name in ("AEMD", "BRK.B", "CRVO")])
    put(brought / "1" / "bars.parquet", before)
    importing(lake, brought / "1")
    # of CRVO 36 of 180 differ, the 20 % that may be
    later = before.with_columns(doubled("AEMD")).with_columns(
        doubled("CRVO", until=datetime(2025, 11, 3, 15, 6, tzinfo=UTC))
    )
    put(brought / "2" / "bars.parquet", pl.concat([later, of_day(TUE)]))
    result = importing(lake, brought / "2")
    (told,) = result.problems
    assert "180 of the 180 minutes of AEMD on 2025-11-03 that the lake has as well differ (100 %)" in told
    assert "--on-conflict" in told
    assert (result.figures["bars_differing"], result.figures["bars_equal"]) == (36, 180 + 144)
    assert_frame_equal(held(lake), pl.concat([before[:180], of_day(TUE), before[180:]]))
    assert importing(lake, brought / "2", decided=True, replace=True).figures["bars_replaced"] == 216


def test_one_session_that_was_imported_wrongly_is_seen_among_many(lake: Lake, brought: Path) -> None:
    """A file that was on another clock, all inside of the day, and is corrected."""
    late = STAMP - timedelta(hours=1)
    for day in WEEKS:
        put(brought / f"{day}.parquet", of_day(day).with_columns(late if day == TUE else STAMP))
    importing(lake, brought)
    put(brought / f"{TUE}.parquet", of_day(TUE))
    result = importing(lake, brought)
    (told,) = result.problems
    assert "120 of the 120 minutes of AEMD on 2025-11-04 that the lake has as well differ (100 %)" in told
    assert told.startswith(f"{brought / f'{TUE}.parquet'}: ")
    assert "a file that was imported before and is corrected now" in told
    assert (result.figures["bars_new"], result.figures["bars_equal"]) == (0, 8 * 180)


@pytest.mark.parametrize(("minutes", "problems"), [(19, 0), (20, 1)])
def test_sessions_of_few_minutes_tell_nothing_alone(minutes: int, problems: int, lake: Lake, brought: Path) -> None:
    put(brought / "1" / "bars.parquet", of_day(MON, rows=minutes))
    put(brought / "2" / "bars.parquet", of_day(MON, rows=minutes).with_columns(doubled("AEMD")))
    importing(lake, brought / "1")
    assert len(importing(lake, brought / "2").problems) == problems


def test_sessions_of_few_minutes_are_judged_together(lake: Lake, brought: Path) -> None:
    every = pl.concat(of_day(day, rows=15) for day in WEEKS)
    put(brought / "1" / "bars.parquet", every)
    put(brought / "2" / "bars.parquet", every.with_columns(doubled("AEMD", until=date(2025, 11, 6))))
    importing(lake, brought / "1")
    (told,) = importing(lake, brought / "2").problems
    assert "45 of the 45 minutes of AEMD on 2025-11-03, AEMD on 2025-11-04, AEMD on 2025-11-05 that the lake" in told
