"""The trading sessions, and those that are complete."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import polars as pl

from smallcaps_assets.domain.sessions import SessionParams, session_table
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets.settings.sections import HistoryParams


@lru_cache(maxsize=8)
def sessions_between(first: date, last: date, params: SessionParams) -> pl.DataFrame:
    """Bounds (SESSION_TABLE) of the XNYS sessions from `first` to `last`, both included."""
    return session_table(xnys_calendar(first, last), params)


def sessions_and_earlier(first: date, last: date, earlier: int, params: SessionParams) -> pl.DataFrame:
    """Bounds (SESSION_TABLE) of the XNYS sessions from `first` to `last`, and of at least `earlier` before `first`."""
    return sessions_between(first - calendar_days(earlier), last, params)


def calendar_days(sessions: int) -> timedelta:
    """A time that holds at least so many XNYS sessions, whenever it begins."""
    return timedelta(days=2 * sessions + 30)


def completed_sessions(history: HistoryParams, params: SessionParams, now: datetime) -> list[date]:
    """Sessions of the history whose after-hours ended at least the publication delay before `now`, in order."""
    now = now.astimezone(UTC)
    today = now.date()
    last = min(history.last_session or today, today)
    if last < history.first_session:
        return []
    published = pl.col("afterhours_close") + timedelta(minutes=history.publication_delay_min)
    return sessions_between(history.first_session, last, params).filter(published <= now)["date"].to_list()
