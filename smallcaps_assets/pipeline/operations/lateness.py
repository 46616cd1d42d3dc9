"""Whether bars and MASTER are as new as they should be by now; days without a session expect nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.shards import ShardStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.sections import HistoryParams

NAMED: Final = 50
# longer than any time that the exchange was closed
LOOK_BACK: Final = timedelta(days=15)


class Lateness(NamedTuple):
    """The session that must be there by now, and what is late.

    `of` is how many symbols are followed; `symbols` are those without the session; `stale` says why the table as a
    whole is not new.
    """

    session: date | None
    of: int
    symbols: Sequence[str] = ()
    stale: str = ""

    @property
    def is_late(self) -> bool:
        """Whether anything is."""
        return bool(self.symbols or self.stale)

    @property
    def is_wholly_late(self) -> bool:
        """Whether nothing of the session is there."""
        return bool(self.stale) or (self.is_late and len(self.symbols) == self.of)

    def sentence(self) -> str:
        """One sentence for people."""
        if self.session is None:
            return "No session is due yet."
        if not self.of:
            return "No symbol is followed yet."
        if self.stale:
            return f"The session of {self.session} is due: {self.stale}"
        if not self.symbols:
            return f"The session of {self.session} is here."
        more = f" and {len(self.symbols) - NAMED} more" if len(self.symbols) > NAMED else ""
        return (
            f"The session of {self.session} is late for {len(self.symbols):,} of {self.of:,} symbols: "
            f"{', '.join(self.symbols[:NAMED])}{more}."
        )


def session_expected(at: datetime, history: HistoryParams, sessions: SessionParams, due: time) -> date | None:
    """The last session to follow whose deadline, `due` by the New York clock of its day, is not after `at`."""
    zone = ZoneInfo(NEW_YORK)
    today = at.astimezone(zone).date()
    last = min(history.last_session or today, today)
    if last < history.first_session:
        return None
    days = sessions_between(max(history.first_session, last - LOOK_BACK), last, sessions)["date"].to_list()
    over = [day for day in days if datetime.combine(day, due, zone) <= at]
    return over[-1] if over else None


@dataclass(frozen=True)
class Watch:
    """Looks whether a session is there for every symbol that is followed."""

    bars: BarsStore
    shards: ShardStore
    symbols: Sequence[str]
    session: date | None

    def of_bars(self) -> Lateness:
        """Of `minute_bars`: symbols whose bars of the session are not here."""
        session = self.session
        if session is None:
            return Lateness(None, len(self.symbols))
        lacking = [symbol for symbol in self.symbols if not self._fetched(symbol, session)]
        return Lateness(session, len(self.symbols), lacking)

    def of_master(self) -> Lateness:
        """Of MASTER: symbols whose events of the session are not detected; stale where it is older than a shard."""
        session, of = self.session, len(self.symbols)
        if session is None or not self.symbols:
            return Lateness(session, of)
        master = self.shards.lake.master
        if not master.is_file():
            return Lateness(session, of, stale="there is no MASTER yet. Materialize master_events.")
        newest = max((path.stat().st_mtime_ns for path in self.shards.files()), default=0)
        if newest > master.stat().st_mtime_ns:
            return Lateness(session, of, stale="events were found after MASTER was built. Materialize master_events.")
        return Lateness(session, of, [symbol for symbol in self.symbols if not self._detected(symbol, session)])

    def _fetched(self, symbol: str, session: date) -> bool:
        try:
            return self.bars.covers(symbol, session)
        except LakeError:  # what cannot be read is not there
            return False

    def _detected(self, symbol: str, session: date) -> bool:
        try:
            coverage = self.shards.coverage(symbol)
        except LakeError:
            return False
        return coverage is not None and session in coverage.sessions
