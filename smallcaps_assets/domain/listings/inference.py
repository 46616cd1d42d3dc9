"""Listings from the states of the tickers: where one security ends under a ticker, and where the next one begins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple

from smallcaps_assets.domain.listings.identity import Identity, is_same_security, learn, rests_on_name
from smallcaps_assets.domain.listings.states import TickerHistory
from smallcaps_assets.domain.listings.tables import SNAPSHOT

# A ticker that is missing from the vendor's lists for so many sessions in a row, and then is the same security again,
# was listed all the time: a page of a list was lost, or the row of the ticker.
MOST_ABSENT_SESSIONS: Final = 5

_NAMES: Final = list(SNAPSHOT)
_IDENTITY: Final = [_NAMES.index(name) for name in Identity._fields]
_NAME, _TYPE, _EXCHANGE = (_NAMES.index(name) for name in ("name", "ticker_type", "primary_exchange"))


class Question(NamedTuple):
    """Two observations of a ticker that differ, and sessions between them that were not asked for."""

    symbol: str
    after: int  # the session of the earlier one
    before: int  # the session of the later one


@dataclass
class FactSpan:
    """A time with one type and exchange, between sessions by number."""

    first: int
    is_exact: bool
    ticker_type: str | None
    exchange: str | None
    name: str | None


@dataclass
class ListingSpan:
    """A listing between sessions by number.

    Attributes:
        symbol: the ticker.
        identity: all that the vendor gave.
        first: the first session on which it was seen.
        last: the last one.
        seen_before: the last session before `first` on which the ticker was asked for; None if there is none.
        seen_after: the first one after `last`; None if there is none, so that it still is listed.
        facts: its facts, in order; there is one at least.
    """

    symbol: str
    identity: Identity
    first: int
    last: int
    seen_before: int | None
    seen_after: int | None = None
    facts: list[FactSpan] = field(default_factory=list)

    @property
    def from_is_exact(self) -> bool:
        """Whether it was not listed on the session before."""
        return self.seen_before == self.first - 1

    @property
    def to_is_exact(self) -> bool:
        """Whether it was not listed on the session after, or still is."""
        return self.seen_after in (None, self.last + 1)


class Inferred(NamedTuple):
    """Listings, by symbol and time, and what is still to ask for their exact borders."""

    listings: list[ListingSpan]
    questions: list[Question]


def infer_listings(history: TickerHistory) -> Inferred:
    """The listings of every ticker, and the questions whose answers would make their borders exact.

    A security that comes back under its ticker after at most MOST_ABSENT_SESSIONS sessions was listed all the time;
    after a longer absence it is listed anew. See `identity` for what the same security is.
    """
    rows = history.rows.rows()
    inferred = Inferred([], [])
    for symbol, states in groupby(history.states.iter_rows(), key=lambda state: str(state[0])):
        _follow(symbol, ((first, last, None if row is None else rows[row]) for _, first, last, row in states), inferred)
    return inferred


_Row = tuple[str | None, ...]


def _follow(symbol: str, states: Iterable[tuple[int, int, _Row | None]], found: Inferred) -> None:
    """Add the listings and the questions of one ticker."""
    current: ListingSpan | None = None
    gone_since: int | None = None  # first session of the absence since `current` was last seen
    before: int | None = None  # the last session of the state before
    was_listed = False
    for first, last, row in states:
        if row is None:
            if current is not None and gone_since is None:
                gone_since = first
                current.seen_after = first
            differs = was_listed
        else:
            identity, absent = _identity(row), gone_since is not None
            is_same = current is not None and is_same_security(current.identity, identity, was_absent=absent)
            long_absent = gone_since is not None and before is not None and before - gone_since >= MOST_ABSENT_SESSIONS
            if current is not None and is_same and not long_absent:
                differs = absent or rests_on_name(current.identity, identity) or _changes_facts(current, row)
                _extend(current, first, last, row, before)
            else:
                differs = True
                if current is not None and current.seen_after is None:
                    current.seen_after = first
                current = ListingSpan(symbol, identity, first, last, before)
                current.facts.append(FactSpan(first, current.from_is_exact, row[_TYPE], row[_EXCHANGE], row[_NAME]))
                found.listings.append(current)
            gone_since = None
        if before is not None and differs and first - before > 1:
            found.questions.append(Question(symbol, before, first))
        before, was_listed = last, row is not None


def _extend(listing: ListingSpan, first: int, last: int, row: _Row, before: int | None) -> None:
    """Continue a listing by a state; a type or an exchange that was unknown so far held from the beginning."""
    fact = listing.facts[-1]
    if _changes_facts(listing, row):
        ticker_type, exchange = row[_TYPE] or fact.ticker_type, row[_EXCHANGE] or fact.exchange
        listing.facts.append(FactSpan(first, before == first - 1, ticker_type, exchange, row[_NAME] or fact.name))
    else:
        fact.ticker_type, fact.exchange = fact.ticker_type or row[_TYPE], fact.exchange or row[_EXCHANGE]
        fact.name = fact.name or row[_NAME]
    listing.identity = learn(listing.identity, _identity(row))
    listing.last, listing.seen_after = last, None


def _changes_facts(listing: ListingSpan, row: _Row) -> bool:
    """Whether type or exchange are others than the last known ones; one that is not given is none."""
    fact = listing.facts[-1]
    return any(
        known is not None and new not in (None, known)
        for known, new in ((fact.ticker_type, row[_TYPE]), (fact.exchange, row[_EXCHANGE]))
    )


def _identity(row: Sequence[str | None]) -> Identity:
    return Identity(*(row[place] for place in _IDENTITY))
