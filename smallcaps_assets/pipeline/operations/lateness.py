"""Whether bars and MASTER hold the session that is expected by now. Days without a session expect nothing new."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import symbols_to_rebuild
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.sections import HistoryParams

_MAX_NAMED: Final = 50
# longer than the exchange was ever closed
_LOOK_BACK: Final = timedelta(days=15)


class Lateness(NamedTuple):
    """The session that is expected by now, and what is late.

    Attributes:
        session: None where none is expected yet.
        followed: the number of followed symbols.
        symbols: those without the session.
        stale: why the table as a whole is out of date; empty where it is not.
    """

    session: date | None
    followed: int
    symbols: Sequence[str] = ()
    stale: str = ""

    @property
    def is_late(self) -> bool:
        """Whether a symbol or the table is late."""
        return bool(self.symbols or self.stale)

    @property
    def is_wholly_late(self) -> bool:
        """Whether nothing of the session is published."""
        return bool(self.stale) or (self.is_late and len(self.symbols) == self.followed)

    def sentence(self) -> str:
        """The result in one sentence."""
        if self.session is None:
            return "No session is expected yet."
        if not self.followed:
            return "No symbol is followed yet."
        if self.stale:
            return f"The session of {self.session} is expected: {self.stale}"
        if not self.symbols:
            return f"The session of {self.session} is published."
        more = f" and {len(self.symbols) - _MAX_NAMED} more" if len(self.symbols) > _MAX_NAMED else ""
        return (
            f"The session of {self.session} is late for {len(self.symbols):,} of "
            f"{count_noun(self.followed, 'symbol')}: "
            f"{', '.join(self.symbols[:_MAX_NAMED])}{more}."
        )


def expected_session(at: datetime, history: HistoryParams, sessions: SessionParams, deadline: time) -> date | None:
    """The last session whose deadline, New York time of its day, is not after `at`; None where there is none."""
    zone = ZoneInfo(NEW_YORK)
    today = at.astimezone(zone).date()
    last = min(history.last_session or today, today)
    if last < history.first_session:
        return None
    days = sessions_between(max(history.first_session, last - _LOOK_BACK), last, sessions)["date"].to_list()
    over = [day for day in days if datetime.combine(day, deadline, zone) <= at]
    return over[-1] if over else None


@dataclass(frozen=True)
class LatenessCheck:
    """Checks whether a session is published for every followed symbol."""

    bars: BarsStore
    shards: ShardStore
    symbols: Sequence[str]
    session: date | None

    def check_bars(self) -> Lateness:
        """Of `minute_bars`: symbols without bars of the session."""
        session = self.session
        if session is None:
            return Lateness(None, len(self.symbols))
        missing = [symbol for symbol in self.symbols if not self._fetched(symbol, session)]
        return Lateness(session, len(self.symbols), missing)

    def check_master(self) -> Lateness:
        """Of MASTER: symbols in whose session events were not detected; stale where it was built from other shards."""
        session, followed = self.session, len(self.symbols)
        if session is None or not self.symbols:
            return Lateness(session, followed)
        master = self.shards.lake.master
        if not master.is_file():
            return Lateness(session, followed, stale="there is no MASTER yet. Materialize master_events.")
        if symbols_to_rebuild(self.shards):
            return Lateness(
                session,
                followed,
                stale="MASTER was built from other events than the shards have. Materialize master_events.",
            )
        return Lateness(session, followed, [symbol for symbol in self.symbols if not self._detected(symbol, session)])

    def _fetched(self, symbol: str, session: date) -> bool:
        try:
            return self.bars.covers(symbol, session)
        except LakeError:  # a file that cannot be read is missing
            return False

    def _detected(self, symbol: str, session: date) -> bool:
        try:
            coverage = self.shards.coverage(symbol)
        except LakeError:
            return False
        return coverage is not None and session in coverage.sessions
