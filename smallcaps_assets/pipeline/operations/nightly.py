"""Which night is due, and what a night left behind."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.errors import LakeError
from smallcaps_assets.pipeline.calendar import sessions_between, sessions_due
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.settings.sections import HistoryParams

# Symbols that lack sessions: how many are not fetched, how many are fetched but not detected, and why.
BEHIND: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "sessions_missing": pl.Int64(),
        "first_missing": pl.Date(),
        "sessions_undetected": pl.Int64(),
        "cause": pl.String(),
    }
)
UNKNOWN: Final = "its run did not come so far"


class Night(NamedTuple):
    """The session of a night, or why there is nothing to do."""

    session: date | None
    reason: str


def night_of(at: datetime, history: HistoryParams, sessions: SessionParams) -> Night:
    """What is to be done in the night of a moment: the session of that New York day, if it has one and it is over."""
    day = at.astimezone(ZoneInfo(NEW_YORK)).date()
    if history.last_session is not None and day > history.last_session:
        return Night(None, f"history.last_session is {history.last_session}: set it to null to follow later sessions.")
    if day < history.first_session:
        return Night(None, f"history.first_session is {history.first_session}: nothing is followed before it.")
    if sessions_between(day, day, sessions).is_empty():
        return Night(None, f"{day:%A %Y-%m-%d} has no session of the exchange.")
    if day not in sessions_due(history, sessions, at):
        return Night(None, f"the session of {day} is not over yet.")
    return Night(day, "")


@dataclass(frozen=True)
class Stocktaking:
    """Everything that it takes to see which symbols are behind."""

    detector: Detector
    due: Collection[date]
    # what failed in this night, by symbol
    causes: Mapping[str, str]

    def behind(self, followed: Mapping[str, date]) -> pl.DataFrame:
        """The symbols that lack sessions that are due up to the last day they are followed (BEHIND), from the lake."""
        rows = [row for symbol, last in followed.items() if (row := self._row(symbol, last))]
        return pl.DataFrame(rows, schema=BEHIND, orient="row")

    def _row(self, symbol: str, last: date) -> tuple[object, ...] | None:
        due = sorted(day for day in self.due if day <= last)
        try:
            backlog = self.detector.backlog(symbol)
        except LakeError as error:
            return symbol, len(due), min(due, default=None), len(due), str(error)
        missing = [day for day in due if day not in backlog.fetched]
        if not missing and not backlog.undetected:
            return None
        cause = self.causes.get(symbol, UNKNOWN)
        return symbol, len(missing), missing[0] if missing else None, len(backlog.undetected), cause
