"""What is planted in the quotes of DRILL: crossed, locked, one-sided and empty books, and the indicators of a pause."""

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from smallcaps_assets.simulated.hours import NS_PER_MINUTE, NS_PER_SECOND, TradingDay
from smallcaps_assets.simulated.market.book import Book, quotes_around
from smallcaps_assets.simulated.market.drill.rows import merge_rows, take_rows
from smallcaps_assets.simulated.market.drill.sides import Aggressors, spread_cents
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.plan import DayPlan

# Indicators of quotes around a pause as public code reads the vendor's: at a limit, paused, resumed.
AT_LIMIT, PAUSED, RESUMED = 2, 3, 4
_NASDAQ: Final = 12
_JUST_BEFORE_NS: Final = 1_000_000


class BookState(NamedTuple):
    """A planted state of the book: its start from the story's minute on, and its duration."""

    kind: str
    minute: int
    second: float
    seconds: float

    def bounds_ns(self, session: TradingDay, story: int) -> tuple[int, int]:
        """First nanosecond (UTC) and end of the state for a story in minute `story`."""
        begin = session.start_ns + (story + self.minute) * NS_PER_MINUTE + round(self.second * NS_PER_SECOND) + 77_777
        return begin, begin + round(self.seconds * NS_PER_SECOND)


# before the story, so that a pause does not take them away
BOOK_STATES: Final = (
    BookState("crossed_book", -2, 8, 12),
    BookState("locked_book", -2, 31, 8),
    BookState("one_sided_book", -1, 10, 9),
    BookState("empty_book", -1, 33, 6),
    BookState("crossed_book", 0, 41, 5),
)


def plant_quotes(noise: Noise, plan: DayPlan, aggressors: Aggressors, minute: int | None, reopens: int | None) -> Book:
    """The quotes of a day.

    Args:
        noise: of the day.
        plan: of the day.
        aggressors: of its trades.
        minute: of the story; None without one.
        reopens: the minute in which trading resumes after a pause that follows the story; None without a pause.
    """
    book = quotes_around(noise, plan, aggressors.brackets)
    book = replace(book, indicator=np.zeros(len(book.timestamp), dtype=np.int64))
    book = merge_rows(book, _moved_quotes(noise, aggressors, book))[0]
    if minute is not None:
        book = _with_states(book, [(one.kind, *one.bounds_ns(plan.session, minute)) for one in BOOK_STATES])
    if minute is not None and reopens is not None:
        start = plan.session.start_ns
        closed, opened = (start + one * NS_PER_MINUTE for one in (minute + 1, reopens))
        at = np.array([closed - _JUST_BEFORE_NS, closed + _JUST_BEFORE_NS, opened - _JUST_BEFORE_NS], dtype=np.int64)
        shown = replace(_repeated(book, at), indicator=np.array([AT_LIMIT, PAUSED, RESUMED], dtype=np.int64))
        book = merge_rows(book, shown)[0]
    count = len(book.timestamp)
    return replace(book, sequence=np.cumsum(noise.between(9, count, 1, 12)) + 500)


def _with_states(book: Book, bounds: list[tuple[str, int, int]]) -> Book:
    """The book with the planted states, each from a quote at its start up to a quote at its end."""
    at = np.array([moment for _, begin, end in bounds for moment in (begin, end)], dtype=np.int64)
    book = merge_rows(book, _repeated(book, at))[0]
    bid, ask, bid_size, ask_size = (values.copy() for values in (book.bid, book.ask, book.bid_size, book.ask_size))
    for kind, begin, end in bounds:
        rows = slice(*np.searchsorted(book.timestamp, [begin, end]))
        if kind == "crossed_book":
            bid[rows], ask[rows] = book.ask[rows], book.bid[rows]
        elif kind == "locked_book":
            ask[rows] = bid[rows]
        else:
            bid[rows] = bid_size[rows] = 0
        if kind == "empty_book":
            ask[rows] = ask_size[rows] = 0
    return replace(book, bid=bid, ask=ask, bid_size=bid_size, ask_size=ask_size)


def _moved_quotes(noise: Noise, aggressors: Aggressors, book: Book) -> Book:
    """Quotes that result from a trade, yet are reported before it or with it."""
    brackets, side = aggressors.brackets, aggressors.side_of_group
    before = np.searchsorted(book.timestamp, brackets.at) - 1
    rows = np.maximum(before, 0)
    lead = brackets.at - book.timestamp[rows]
    chosen = np.flatnonzero((aggressors.moved | aggressors.followed) & (before >= 0) & (lead > 1))
    spread = spread_cents(noise, brackets.ask)[chosen]
    buys = side[chosen] > 0
    bid = np.where(buys, brackets.ask[chosen], np.maximum(brackets.bid[chosen] - spread, 1))
    moved = take_rows(book, rows[chosen])
    at = np.where(aggressors.moved[chosen], book.timestamp[rows[chosen]] + lead[chosen] // 2, brackets.at[chosen])
    return replace(moved, timestamp=at, participant_timestamp=at - 90_000, bid=bid, ask=bid + spread)


def _repeated(book: Book, at: Ints) -> Book:
    """The quote in force at each moment, once more at that moment."""
    rows = take_rows(book, np.maximum(np.searchsorted(book.timestamp, at) - 1, 0))
    return replace(rows, timestamp=at, participant_timestamp=at - 60_000)
