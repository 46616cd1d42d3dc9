"""Which session a moment lies in, by the New York clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars._typing import TimeUnit

from smallcaps_assets.domain.sessions import new_york_dates, with_session
from smallcaps_assets_tests.scenarios import new_york, sessions_of

# before and after daylight saving ends; the day after Thanksgiving closes at 13:00, its after-hours at 17:00
MOMENTS = {
    "2025-10-31 03:59": None,
    "2025-10-31 04:00": "PM",
    "2025-10-31 09:29": "PM",
    "2025-10-31 09:30": "RTH",
    "2025-10-31 15:59": "RTH",
    "2025-10-31 16:00": "AH",
    "2025-10-31 19:59": "AH",
    "2025-10-31 20:00": None,
    "2025-11-01 10:00": None,  # a Saturday
    "2025-11-03 04:00": "PM",
    "2025-11-03 19:59": "AH",
    "2025-11-27 10:00": None,  # Thanksgiving
    "2025-11-28 12:59": "RTH",
    "2025-11-28 13:00": "AH",
    "2025-11-28 16:59": "AH",
    "2025-11-28 17:00": None,
}
SESSIONS = sessions_of("2025-10-31", "2025-11-28")


def test_moments_lie_in_the_session_of_the_new_york_clock() -> None:
    rows = pl.DataFrame({"timestamp": [new_york(moment) for moment in reversed(MOMENTS)]}).cast(
        pl.Datetime("us", "UTC")
    )
    placed = with_session(rows, SESSIONS)
    assert placed["session"].to_list() == [*MOMENTS.values()][::-1]
    days = [date.fromisoformat(moment[:10]) if session else None for moment, session in MOMENTS.items()]
    assert placed["day"].to_list() == days[::-1]
    opened = [new_york(f"{day} 09:30") if day else None for day in days]
    assert placed["regular_open"].to_list() == opened[::-1]


def test_no_moment_lies_in_no_session_and_columns_of_these_names_are_replaced() -> None:
    timestamps = pl.Series([None, new_york("2025-10-31 10:00"), None]).cast(pl.Datetime("us", "UTC"))
    placed = with_session(pl.DataFrame({"timestamp": timestamps, "session": ["a", "b", "c"]}), SESSIONS)
    assert placed["session"].to_list() == [None, "RTH", None]
    nothing = with_session(pl.DataFrame({"timestamp": timestamps.clear()}), SESSIONS)
    assert set(nothing.columns) == {"timestamp", "day", "session", "regular_open"}
    assert with_session(pl.DataFrame({"timestamp": timestamps}), SESSIONS.clear())["session"].to_list() == [None] * 3


HOURS = st.integers(0, 60 * 365 * 24)


@given(
    first=HOURS,
    minutes=st.lists(st.one_of(st.none(), st.integers(-300, 60 * 80)), max_size=200),
    unit=st.sampled_from(["ms", "us", "ns"]),
)
def test_dates_of_a_column_are_those_of_its_rows(first: int, minutes: list[int | None], unit: TimeUnit) -> None:
    start = datetime(1969, 12, 31, tzinfo=UTC) + timedelta(hours=first)
    moments = [None if at is None else start + timedelta(minutes=at) for at in minutes]
    column = pl.Series("timestamp", moments, dtype=pl.Datetime(unit, "UTC"))
    expected = [moment and moment.astimezone(ZoneInfo("America/New_York")).date() for moment in moments]
    assert new_york_dates(column).to_list() == expected


@pytest.mark.parametrize("change", [datetime(2025, 3, 9, tzinfo=UTC), datetime(2025, 11, 2, tzinfo=UTC)])
def test_dates_by_the_hour_around_a_change_of_the_clocks(change: datetime) -> None:
    moments = [change + timedelta(minutes=7 * number) for number in range(-200, 400)]
    found = new_york_dates(pl.Series(moments, dtype=pl.Datetime("us", "UTC")))
    assert found.to_list() == [moment.astimezone(ZoneInfo("America/New_York")).date() for moment in moments]
