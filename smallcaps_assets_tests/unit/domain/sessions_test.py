"""Which session a moment lies in, by the New York clock."""

from datetime import date

import polars as pl

from smallcaps_assets.domain.sessions import with_session
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
