"""Each check of minute bars, on sessions and minutes counted by hand."""

from datetime import UTC, date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.checks import (
    LOST,
    SESSION_BARS,
    BarCheckParams,
    empty_sessions,
    expected_sessions,
    lost_runs,
    minute_counts,
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
        "min_volumes": 50,
        "max_odd_pct": 2.0,
    }
)


def expected_of(
    *symbols: str, days: list[date] = DAYS, listed: date | None = None, delisted: date | None = None
) -> pl.DataFrame:
    """The sessions that symbols with one and the same listing should have."""
    rows = [(symbol, listed, delisted) for symbol in symbols]
    schema = {"symbol": pl.String, "listed": pl.Date, "delisted": pl.Date}
    return expected_sessions(pl.DataFrame(rows, schema=schema, orient="row"), days)


def here(**bars: list[int | None]) -> pl.DataFrame:
    """The bars of each session by symbol; None if a session was not requested."""
    rows = [
        (symbol, day, count)
        for symbol, counts in bars.items()
        for day, count in zip(DAYS, counts, strict=True)
        if count is not None
    ]
    return pl.DataFrame(rows, schema=SESSION_BARS, orient="row")


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ([9, 9, 9, 9], []),
        # a requested session without bars counts as present
        ([9, 0, 0, 9], []),
        # three of four are 75 %
        ([9, None, 9, 9], []),
        ([9, None, None, 9], ["A"]),
        ([None, None, None, None], ["A"]),
    ],
)
def test_symbols_that_lack_sessions_are_named(counts: list[int | None], missing: list[str]) -> None:
    found = session_coverage(here(A=counts, B=[1, 1, 1, 1]), expected_of("A", "B"), PARAMS)
    assert found.holds == (not missing)
    assert found.examples["symbol"].to_list() == missing
    assert not found.severe, "a first backfill that is under way is no fault"


def test_sessions_that_are_not_expected_and_symbols_that_left_do_not_count() -> None:
    # one of the two expected sessions is present
    found = session_coverage(here(A=[None, 9, 9, 9], GONE=[None] * 4), expected_of("A", days=DAYS[:2]), PARAMS)
    assert not found.holds
    assert found.figures["present_pct"] == 50.0
    assert session_coverage(here(), expected_of("A", days=[]), PARAMS).holds
    # nothing is expected after the last day on which a symbol is followed
    until_second = session_coverage(here(A=[9, 9, None, None]), expected_of("A", delisted=DAYS[1]), PARAMS)
    assert until_second.holds
    assert until_second.figures["present_pct"] == 100.0
    assert session_coverage(here(), expected_of("A", delisted=date(2025, 10, 31)), PARAMS).holds
    assert session_coverage(here(), expected_of(), PARAMS).holds
    # nor before it is listed
    since_third = session_coverage(here(A=[None, None, 9, 9]), expected_of("A", listed=DAYS[2]), PARAMS)
    assert since_third.figures["present_pct"] == 100.0


@pytest.mark.parametrize(
    ("second", "holds"),
    [
        ([9, 9, 9, 9], True),
        # 50 % is what may be
        ([0, 0, 9, 9], True),
        ([0, 0, 0, 9], False),
        # sessions that were not requested are the subject of another check
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


def test_few_symbols_are_not_judged() -> None:
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
    found = missing_minutes(minute_counts(bars, SESSION, PARAMS), PARAMS)
    assert found.holds == (lost == 0)
    assert found.figures["rows_that_break_it"] == lost


def test_the_minute_is_named() -> None:
    found = missing_minutes(minute_counts(minutes(SYMBOLS, lost=(100, 101)), SESSION, PARAMS), PARAMS)
    assert found.examples["minute"].to_list() == [new_york("2025-11-05 11:10")]
    assert found.examples["active"].to_list() == [4]


def test_a_half_day_has_no_afternoon_to_lack() -> None:
    half = sessions_of("2025-11-28", "2025-11-28")
    for begin, holds in ((210, True), (209, False)):
        counts = minute_counts(minutes(SYMBOLS, "2025-11-28", lost=(begin, 390)), half, PARAMS)
        assert missing_minutes(counts, PARAMS).holds == holds


def test_each_session_is_judged_by_its_own_symbols() -> None:
    both = sessions_of("2025-11-05", "2025-11-06")
    bars = pl.concat([minutes(SYMBOLS), minutes([f"{symbol}2" for symbol in SYMBOLS], "2025-11-06")])
    found = missing_minutes(minute_counts(bars, both, PARAMS), PARAMS)
    assert found.holds
    assert found.figures["minutes"] == 780


def test_who_trades_all_the_time_is_missed_where_most_of_a_session_is_lost() -> None:
    days = ["2025-11-04", "2025-11-05", "2025-11-06"]
    whole = [minutes(SYMBOLS, day) for day in days[:2]]
    # 300 of 390 minutes are lost: on this day alone nobody has bars in half of them
    bars = pl.concat([*whole, minutes(SYMBOLS, days[2], lost=(90, 390))])
    counts = minute_counts(bars, sessions_of(*days), PARAMS)
    assert missing_minutes(counts, PARAMS).figures["rows_that_break_it"] == 300
    alone = minute_counts(minutes(SYMBOLS, days[2], lost=(90, 390)), sessions_of(days[2]), PARAMS)
    assert alone.is_empty()


def test_consecutive_lost_minutes_are_reported_together() -> None:
    # 10:00 to 10:02 and 10:04 of one day, the first minute of the next
    first = minutes(SYMBOLS, lost=(30, 33)).filter(pl.col("timestamp") != new_york("2025-11-05 10:04").astimezone(UTC))
    bars = pl.concat([first, minutes(["E"]), minutes([*SYMBOLS, "E"], "2025-11-06", lost=(0, 1))])
    found = lost_runs(minute_counts(bars, sessions_of("2025-11-05", "2025-11-06"), PARAMS), PARAMS)
    assert found.schema == LOST
    assert found.rows() == [
        (new_york("2025-11-05 10:00"), new_york("2025-11-05 10:02"), 3, 5, 1),
        (new_york("2025-11-05 10:04"), new_york("2025-11-05 10:04"), 1, 5, 1),
        (new_york("2025-11-06 09:30"), new_york("2025-11-06 09:30"), 1, 5, 0),
    ]


def test_counts_of_different_symbols_add_up() -> None:
    bars = pl.concat([minutes(SYMBOLS, lost=(100, 103)), minutes(["E", "F"], step=3)])
    one, other = (bars.filter(pl.col("symbol").is_in(some)) for some in (["A", "B", "E"], ["C", "D", "F"]))
    apart = pl.concat(minute_counts(some, SESSION, PARAMS) for some in (one, other))
    together = minute_counts(bars, SESSION, PARAMS)
    assert_frame_equal(apart.group_by("minute").sum().sort("minute"), together.sort("minute"))
    assert missing_minutes(apart, PARAMS).figures == missing_minutes(together, PARAMS).figures
