"""Which session a night is for, and which symbols are behind after it."""

from collections.abc import Collection, Mapping
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.errors import LakeError
from smallcaps_assets.pipeline.calendar import completed_sessions, sessions_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.sections import HistoryParams

# Symbols that are behind: how many sessions are not fetched, how many are fetched but not detected, and why.
BEHIND: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "sessions_missing": pl.Int64(),
        "first_missing": pl.Date(),
        "sessions_undetected": pl.Int64(),
        "cause": pl.String(),
    }
)
_UNKNOWN_CAUSE: Final = "the run did not get to it"


class Night(NamedTuple):
    """The session of a night, or the reason why there is nothing to do."""

    session: date | None
    reason: str


def night_of(at: datetime, history: HistoryParams, sessions: SessionParams) -> Night:
    """The night of the New York day of `at`: its session, if it has one and that is over."""
    day = at.astimezone(ZoneInfo(NEW_YORK)).date()
    if history.last_session is not None and day > history.last_session:
        return Night(None, f"history.last_session is {history.last_session}: set it to null to follow later sessions.")
    if day < history.first_session:
        return Night(None, f"history.first_session is {history.first_session}: nothing is followed before it.")
    if sessions_between(day, day, sessions).is_empty():
        return Night(None, f"{day:%A %Y-%m-%d} has no session of the exchange.")
    if day not in completed_sessions(history, sessions, at):
        return Night(None, f"the session of {day} is not over yet.")
    return Night(day, "")


def find_symbols_behind(
    detector: Detector, expected: Collection[date], followed: Mapping[str, date], causes: Mapping[str, str]
) -> pl.DataFrame:
    """The symbols whose lake lacks sessions, or events of sessions (BEHIND).

    Args:
        detector: finds what is not detected.
        expected: the sessions that every symbol should have.
        followed: by symbol, the last day that it is followed.
        causes: by symbol, what failed in this night.
    """
    rows = [row for symbol, last in followed.items() if (row := _row(detector, expected, symbol, last, causes))]
    return pl.DataFrame(rows, schema=BEHIND, orient="row")


def _row(
    detector: Detector, expected: Collection[date], symbol: str, last: date, causes: Mapping[str, str]
) -> tuple[object, ...] | None:
    days = sorted(day for day in expected if day <= last)
    try:
        backlog = detector.backlog(symbol)
    except LakeError as error:
        return symbol, len(days), min(days, default=None), len(days), str(error)
    missing = [day for day in days if day not in backlog.fetched]
    if not missing and not backlog.undetected:
        return None
    cause = causes.get(symbol, _UNKNOWN_CAUSE)
    return symbol, len(missing), missing[0] if missing else None, len(backlog.undetected), cause
