"""Each check of minute bars, on sessions and minutes counted by hand."""

from datetime import date, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.bar_checks import (
    SESSION_BARS,
    BarCheckParams,
    empty_sessions,
    missing_minutes,
    session_coverage,
)
from smallcaps_assets_tests.scenarios import new_york, sessions_of

DAYS = [date(2025, 11, 3), date(2025, 11, 4), date(2025, 11, 5), date(2025, 11, 6)]
SYMBOLS = ["A", "B", "C", "D"]
PARAMS = BarCheckParams.model_validate(
    {
        "min_coverage_pct": 75.0,
        "min_symbols": 4,
        "min_active_symbols": 4,
        "max_empty_pct": 50.0,
        "last_sessions": 5,
        "active_minutes_pct": 50.0,
        "max_missing_pct": 75.0,
    }
)


def followed(*symbols: str, last: date = date.max) -> dict[str, date]:
    return dict.fromkeys(symbols, last)


def here(**bars: list[int | None]) -> pl.DataFrame:
    """The bars of each session by symbol; None where a session was not asked for."""
    rows = [
        (symbol, day, count)
        for symbol, counts in bars.items()
        for day, count in zip(DAYS, counts, strict=True)
        if count is not None
    ]
    return pl.DataFrame(rows, schema=SESSION_BARS, orient="row")


@pytest.mark.parametrize(
    ("counts", "lacking"),
    [
        ([9, 9, 9, 9], []),
        # asked for and empty is there all the same
        ([9, 0, 0, 9], []),
        # three of four are 75 %
        ([9, None, 9, 9], []),
        ([9, None, None, 9], ["A"]),
        ([None, None, None, None], ["A"]),
    ],
)
def test_symbols_that_lack_sessions_are_named(counts: list[int | None], lacking: list[str]) -> None:
    found = session_coverage(here(A=counts, B=[1, 1, 1, 1]), followed("A", "B"), DAYS, PARAMS)
    assert found.holds == (not lacking)
    assert found.examples["symbol"].to_list() == lacking
    assert not found.severe, "a first backfill that is under way is no fault"


def test_sessions_that_are_not_due_and_symbols_that_left_do_not_count() -> None:
    # of the two that are due one is there
    found = session_coverage(here(A=[None, 9, 9, 9], GONE=[None] * 4), followed("A"), DAYS[:2], PARAMS)
    assert not found.holds
    assert found.figures["present_pct"] == 50.0
    assert session_coverage(here(), followed("A"), [], PARAMS).holds
    # nothing is due after the last day on which a symbol is followed
    until_second = session_coverage(here(A=[9, 9, None, None]), followed("A", last=DAYS[1]), DAYS, PARAMS)
    assert until_second.holds
    assert until_second.figures["present_pct"] == 100.0
    assert session_coverage(here(), followed("A", last=date(2025, 10, 31)), DAYS, PARAMS).holds
    assert session_coverage(here(), {}, DAYS, PARAMS).holds


@pytest.mark.parametrize(
    ("second", "holds"),
    [
        ([9, 9, 9, 9], True),
        # 50 % is what may be
        ([0, 0, 9, 9], True),
        ([0, 0, 0, 9], False),
        # that a session was not asked for is another check's matter
        ([None, None, None, 9], True),
    ],
)
def test_a_session_that_many_symbols_lack_is_named(second: list[int | None], holds: bool) -> None:
    bars = {symbol: [9, count, 9, 9] for symbol, count in zip(SYMBOLS, second, strict=True)}
    found = empty_sessions(here(**bars), PARAMS)
    assert found.holds == holds
    assert found.examples["day"].to_list() == ([] if holds else [DAYS[1]])


def test_before_its_first_and_after_its_last_bar_a_symbol_lacks_nothing() -> None:
    assert empty_sessions(here(**{symbol: [0, 9, 9, 0] for symbol in SYMBOLS}), PARAMS).holds
    assert empty_sessions(here(**{symbol: [0, 0, 0, 0] for symbol in SYMBOLS}), PARAMS).holds


def test_few_symbols_say_nothing_about_many() -> None:
    assert empty_sessions(here(A=[9, 0, 9, 9], B=[9, 0, 9, 9], C=[9, 0, 9, 9]), PARAMS).holds


def minutes(symbols: list[str], day: str = "2025-11-05", lost: tuple[int, int] = (0, 0), step: int = 1) -> pl.DataFrame:
    """Bars of every `step`-th regular minute of a day but those from `lost[0]` on and before `lost[1]`."""
    begin = new_york(f"{day} 09:30")
    kept = [begin + timedelta(minutes=minute) for minute in range(0, 390, step) if not lost[0] <= minute < lost[1]]
    rows = [(symbol, moment) for symbol in symbols for moment in kept]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC")}, orient="row")


SESSION = sessions_of("2025-11-05", "2025-11-05")


@pytest.mark.parametrize(
    ("bars", "lost"),
    [
        (minutes(SYMBOLS), 0),
        (minutes(SYMBOLS, lost=(100, 103)), 3),
        # the first minute and the last
        (minutes(SYMBOLS, lost=(0, 1)), 1),
        (minutes(SYMBOLS, lost=(389, 390)), 1),
        # three of four are 75 %, which may be
        (pl.concat([minutes(SYMBOLS[:3], lost=(100, 103)), minutes(["D"])]), 0),
        # half of the session is lost, and everybody is active still
        (minutes(SYMBOLS, lost=(0, 195)), 195),
        # who trades every third minute is not active
        (minutes(SYMBOLS, step=3), 0),
        (pl.concat([minutes(SYMBOLS, lost=(100, 103)), minutes(["E", "F"], step=3)]), 3),
        # three active symbols are too few
        (minutes(SYMBOLS[:3], lost=(100, 103)), 0),
        (minutes([]), 0),
    ],
)
def test_minutes_that_active_symbols_lack_at_once_are_found(bars: pl.DataFrame, lost: int) -> None:
    found = missing_minutes(bars, SESSION, PARAMS)
    assert found.holds == (lost == 0)
    assert found.figures["rows_that_break_it"] == lost


def test_the_minute_is_named() -> None:
    found = missing_minutes(minutes(SYMBOLS, lost=(100, 101)), SESSION, PARAMS)
    assert found.examples["minute"].to_list() == [new_york("2025-11-05 11:10")]
    assert found.examples["active"].to_list() == [4]


def test_a_half_day_has_no_afternoon_to_lack() -> None:
    half = sessions_of("2025-11-28", "2025-11-28")
    assert missing_minutes(minutes(SYMBOLS, "2025-11-28", lost=(210, 390)), half, PARAMS).holds
    assert not missing_minutes(minutes(SYMBOLS, "2025-11-28", lost=(209, 390)), half, PARAMS).holds


def test_each_session_is_judged_by_its_own_symbols() -> None:
    both = sessions_of("2025-11-05", "2025-11-06")
    bars = pl.concat([minutes(SYMBOLS), minutes([f"{symbol}2" for symbol in SYMBOLS], "2025-11-06")])
    found = missing_minutes(bars, both, PARAMS)
    assert found.holds
    assert found.figures["minutes"] == 780
