"""Which session a night is for, and which symbols are behind after it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.unlisted_sessions import UnlistedSessions
from smallcaps_assets.pipeline.calendar import completed_sessions, sessions_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.source import is_simulated
from smallcaps_assets.settings.sections import HistoryParams
from smallcaps_assets.settings.settings import Settings

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
# at least one of so many days is a session
_A_SESSION: Final = timedelta(days=14)


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


def has_simulated_nights(settings: Settings) -> bool:
    """Whether nights are those of a simulated market whose history ends on a fixed day, regardless of today's date."""
    return is_simulated(settings.source) and settings.history.last_session is not None


def simulated_night(bars: BarsStore, followed: Collection[str], settings: Settings, at: datetime) -> Night:
    """The next night of a simulated market: the first session after the history and after all published bars.

    Args:
        bars: the published bars.
        followed: the symbols whose bars count.
        settings: the settings; their history has a last session.
        at: the present; the simulated market has nothing later.
    """
    published = (day for symbol in followed for day in bars.covered(symbol))
    last = max(settings.history.last_session or date.min, max(published, default=date.min))
    following = sessions_between(last + timedelta(days=1), last + _A_SESSION, settings.sessions)["date"]
    session: date = following[0]
    if session not in completed_sessions(extend_history(settings, session).history, settings.sessions, at):
        return Night(None, f"the session of {session}, the next one of the simulated market, is not over yet.")
    return Night(session, "")


def extend_history(settings: Settings, session: date) -> Settings:
    """`settings` whose history reaches at least to `session`."""
    history = settings.history
    if history.last_session is None or history.last_session >= session:
        return settings
    return settings.model_copy(update={"history": history.model_copy(update={"last_session": session})})


def find_symbols_behind(
    detector: Detector,
    expected: Collection[date],
    followed: Mapping[str, date],
    causes: Mapping[str, str],
    unlisted: UnlistedSessions | None = None,
) -> pl.DataFrame:
    """The symbols whose lake lacks sessions, or events of sessions (BEHIND).

    Args:
        detector: finds what is not detected.
        expected: the sessions that every symbol should have.
        followed: by symbol, the last day that it is followed.
        causes: by symbol, what failed in this night.
        unlisted: by symbol, sessions on which it is known to be listed under no security: they are not missing.
    """
    left_out = {} if unlisted is None else unlisted
    days = {
        symbol: sorted(day for day in expected if day <= last and day not in left_out.get(symbol, ()))
        for symbol, last in followed.items()
    }
    rows = [row for symbol in followed if (row := _row(detector, days[symbol], symbol, causes))]
    return pl.DataFrame(rows, schema=BEHIND, orient="row")


def _row(detector: Detector, days: Sequence[date], symbol: str, causes: Mapping[str, str]) -> tuple[object, ...] | None:
    try:
        backlog = detector.backlog(symbol)
    except LakeError as error:
        return symbol, len(days), min(days, default=None), len(days), str(error)
    missing = [day for day in days if day not in backlog.fetched]
    if not missing and not backlog.undetected:
        return None
    cause = causes.get(symbol, _UNKNOWN_CAUSE)
    return symbol, len(missing), missing[0] if missing else None, len(backlog.undetected), cause
