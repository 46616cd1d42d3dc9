"""The state of the book, and the grid of points at which it is looked at (research specification, section 0.6)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray, micro_dollars, zero_filled
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.ranges import expand
from smallcaps_assets.domain.research.micro.segments import SegmentRows

QUOTE_STATES: Final = ("normal", "locked", "crossed", "one_sided", "empty", "none")
NORMAL, LOCKED, CROSSED, ONE_SIDED, EMPTY, NO_BOOK = range(6)
# index of the row that stands for no quote at all
NO_ROW: Final = -1


@dataclass(frozen=True)
class QuoteBook:
    """Best bid and ask after each quote; the last element of all but `time`, at NO_ROW, stands for no quote.

    Attributes:
        time: nanoseconds on the axis.
        bid, ask: micro-dollars.
        bid_price, ask_price: USD.
        bid_size, ask_size: shares.
        state: index in QUOTE_STATES.
        total: bid + ask (twice the mid) where the book is normal, else 0.
    """

    time: IntArray
    bid: IntArray
    ask: IntArray
    bid_price: FloatArray
    ask_price: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    state: npt.NDArray[np.int8]
    total: IntArray


def read_book(quotes: pl.DataFrame, time: IntArray, shares_per_unit: FloatArray) -> QuoteBook:
    """The book after each of `quotes` (SPEC columns of prices and sizes; null counts as 0).

    Args:
        quotes: rows of tape.
        time: of each on the axis.
        shares_per_unit: by which their sizes are multiplied.
    """
    scale = np.append(shares_per_unit, 1.0)
    bid_price, ask_price, bid_size, ask_size = (
        np.append(zero_filled(quotes[name]), 0.0) for name in ("bid_price", "ask_price", "bid_size", "ask_size")
    )
    bid, ask = micro_dollars(bid_price), micro_dollars(ask_price)
    # as all prices, they are above 0 in micro-dollars: a side that counts as 0 makes no spread
    has_bid, has_ask = (bid > 0) & (bid_size > 0), (ask > 0) & (ask_size > 0)
    state = np.where(has_bid | has_ask, ONE_SIDED, EMPTY).astype(np.int8)
    both = has_bid & has_ask
    state[both] = np.where(ask > bid, NORMAL, np.where(ask == bid, LOCKED, CROSSED))[both]
    state[NO_ROW] = NO_BOOK
    total = np.where(state == NORMAL, bid + ask, 0)
    return QuoteBook(time, bid, ask, bid_price, ask_price, bid_size * scale, ask_size * scale, state, total)


@dataclass(frozen=True)
class Grid:
    """The book at the points of every window: its start, and every step after it up to its end.

    Attributes:
        step_ns: between two points.
        first: index of the first point of each event.
        count: points of each event.
        at: row of the book in force at each point, or NO_ROW.
        within: number of each point in its window, from 0 on.
    """

    step_ns: int
    first: IntArray
    count: IntArray
    at: IntArray
    within: IntArray

    def points_of(self, segments: SegmentRows) -> tuple[IntArray, IntArray]:
        """Range of the points of each segment: those after its start, up to and with its end."""
        after, until = segments.bounds(self.step_ns)
        first = self.first[segments.event] + 1
        return first + after, first + until


def lay_grid(book: QuoteBook, rows: tuple[IntArray, IntArray], windows: EventWindows, step_ns: int) -> Grid:
    """The grid of each window.

    Args:
        book: after each quote.
        rows: range of the quotes that each event reads: its opening book, where it has one, and its window.
        windows: of the events.
        step_ns: between two points.
    """
    count = (windows.end - windows.start) // step_ns + 1
    first = np.cumsum(count) - count
    members = expand(*rows)
    owner, index = members
    # a quote is in force from the first point after it on
    since = np.maximum((members.of(book.time) - windows.start.take(owner)) // step_ns + 1, 0)
    inside = since < count.take(owner)
    owner, index, since = owner[inside], index[inside], since[inside]
    # numbers of quotes ascend over all events, so that one pass carries each on to the next; a window begins with none
    latest = np.full(int(count.sum()), -1, np.int64)
    latest[first] = np.searchsorted(owner, np.arange(len(count)), side="left") * 2
    latest[first[owner] + since] = np.arange(len(index)) * 2 + 1
    number = np.maximum.accumulate(latest)
    at = np.where(number % 2 == 1, np.append(index, 0).take(number // 2), NO_ROW)
    return Grid(step_ns, first, count, at, np.arange(len(at)) - np.repeat(first, count))


def changed_points(grid: Grid, book: QuoteBook) -> BoolArray:
    """At which points the state, a price or a size differs from that of the point before; false at a window's start."""
    before = np.roll(grid.at, 1)
    moved = np.flatnonzero((grid.at != before) & (grid.within > 0))
    now, then = grid.at[moved], before[moved]
    differs = book.state[now] != book.state[then]
    for values in (book.bid, book.ask, book.bid_size, book.ask_size):
        differs |= values[now] != values[then]
    changed: BoolArray = np.zeros(len(grid.at), np.bool_)
    changed[moved] = differs
    return changed
