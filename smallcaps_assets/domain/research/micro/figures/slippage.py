"""What a market order would pay, decided when the event is known (research specification, section 1.14)."""

from typing import Final, NamedTuple

import numpy as np

from smallcaps_assets.domain.research.arrays import IntArray
from smallcaps_assets.domain.research.micro.figures.flow import Figures, VolumeTrades
from smallcaps_assets.domain.research.micro.params import SECOND_NS, MicroParams
from smallcaps_assets.domain.research.micro.quote_states import Grid, QuoteBook
from smallcaps_assets.domain.research.micro.ranges import range_sums, ratio
from smallcaps_assets.domain.research.micro.segments import BAR, M5, POST_ALL, SegmentRows
from smallcaps_assets.domain.research.prices import MICRO

ORDERS_USD: Final = (1_000, 5_000, 25_000)
_BPS: Final = 1e4


class Orders(NamedTuple):
    """One order for each segment, decided when its event is known.

    Attributes:
        book_row: row of the book in force then.
        direction: +1 buys, -1 sells.
    """

    book_row: IntArray
    direction: IntArray


def find_orders(grid: Grid, direction: IntArray, segments: SegmentRows) -> Orders:
    """The orders of all segments; `direction` is that of each event."""
    steps = np.minimum((segments.known - segments.origin) // grid.step_ns, grid.count[segments.event] - 1)
    return Orders(grid.at[grid.first[segments.event] + steps], direction[segments.event])


def book_cost_columns(book: QuoteBook, orders: Orders, segments: SegmentRows) -> Figures:
    """`book_covers_` (1, 0, or -1 for null) and `slippage_book_` of `bar`; null without a mid and in other segments."""
    at_known = orders.book_row
    total = book.total[at_known]
    defined = segments.is_one_of(BAR) & (total > 0)
    buys = orders.direction > 0
    price = np.where(buys, book.ask[at_known], book.bid[at_known])
    size = np.where(buys, book.ask_size[at_known], book.bid_size[at_known])
    half_spread = _BPS * ratio(book.ask[at_known] - book.bid[at_known], total)
    columns: Figures = {}
    for usd in ORDERS_USD:
        covers = price * size >= MICRO * usd
        columns[f"book_covers_{usd}"] = np.where(defined, covers, -1)
        columns[f"slippage_book_{usd}_bps"] = np.where(defined & covers, half_spread, np.nan)
    return columns


def fill_columns(
    volume: VolumeTrades,
    book: QuoteBook,
    orders: Orders,
    segments: SegmentRows,
    params: MicroParams,
) -> Figures:
    """`slippage_vwap_` and `fill_seconds_` of `m5` and `post_all`: an order that takes its share of what follows."""
    trades = volume.tape
    total = book.total[orders.book_row]
    defined = segments.is_one_of(M5, POST_ALL) & (total > 0)
    # one trade of more than the largest order fills it: sums of trades of any size stay exact
    most = MICRO * (max(ORDERS_USD) / params.participation) + 1
    traded = np.minimum(np.rint(trades.micro * trades.size), np.ceil(most))
    micro_dollars = np.where(volume.executions, traded, 0).astype(np.int64)
    running = np.cumsum(micro_dollars)
    starts, ends = trades.range_of(segments.known, segments.end)
    before = np.append(0, running)[starts]
    shares = np.where(volume.executions, trades.size, 0.0)
    dollars = np.where(volume.executions, trades.dollars, 0.0)
    columns: Figures = {}
    for usd in ORDERS_USD:
        needed = int(np.ceil(MICRO * (usd / params.participation)))
        last = np.searchsorted(running, before + needed, side="left")
        filled = defined & (last < ends)
        until = np.where(filled, last + 1, starts)
        vwap = ratio(range_sums(dollars, starts, until), range_sums(shares, starts, until))
        mid = np.where(filled, total / 2 / MICRO, 1.0)
        columns[f"slippage_vwap_{usd}_bps"] = np.where(filled, orders.direction * (_BPS * (vwap / mid - 1)), np.nan)
        at_fill = np.append(trades.time, 0)[np.where(filled, last, len(trades.time))]
        columns[f"fill_seconds_{usd}"] = np.where(filled, (at_fill - segments.known) / SECOND_NS, np.nan)
    return columns
