"""Spread, depth, flow and variance of the book on the grid (research specification, sections 1.1, 1.2, 1.11, 1.13)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.micro.figures.flow import Figures
from smallcaps_assets.domain.research.micro.params import SECOND_NS
from smallcaps_assets.domain.research.micro.quote_states import (
    NO_BOOK,
    NORMAL,
    QUOTE_STATES,
    Grid,
    QuoteBook,
    changed_points,
)
from smallcaps_assets.domain.research.micro.ranges import (
    SortedGroups,
    expand,
    last_where,
    range_counts,
    range_sums,
    range_totals,
    ratio,
)
from smallcaps_assets.domain.research.micro.segments import SegmentRows
from smallcaps_assets.domain.research.prices import MICRO

_BPS: Final = 1e4
_STALE_AFTER_NS: Final = 10 * SECOND_NS
_MARK_NS: Final = 5 * SECOND_NS
_FEWEST_RETURNS: Final = 6
_MARKS_PER_MIN: Final = 12


@dataclass(frozen=True)
class _Points:
    """The book at every point, and the range of the points of each segment."""

    grid: Grid
    book: QuoteBook
    normal: BoolArray
    starts: IntArray
    ends: IntArray
    count: IntArray  # normal points of each segment

    def mean(self, by_row: FloatArray) -> FloatArray:
        """Mean over the normal points of each segment of what a row of the book has."""
        values = np.where(self.normal, by_row.take(self.grid.at), 0.0)
        return ratio(range_sums(values, self.starts, self.ends), self.count)


def book_columns(grid: Grid, book: QuoteBook, segments: SegmentRows) -> Figures:
    """Figures of 1.1, 1.2, 1.11 and 1.13 of every segment."""
    starts, ends = grid.points_of(segments)
    normal = book.state.take(grid.at) == NORMAL
    points = _Points(grid, book, normal, starts, ends, range_counts(normal, starts, ends))
    changed = changed_points(grid, book)
    return {
        **_state_columns(points, changed),
        **_spread_columns(points),
        **_depth_columns(points),
        **_order_flow_columns(points, changed),
        **_variance_columns(points, segments),
    }


def relative_spreads(book: QuoteBook) -> FloatArray:
    """Spread of each row of the book in basis points of its mid; 0 where it is not normal."""
    spread = np.where(book.total > 0, book.ask - book.bid, 0)
    return _BPS * (2 * spread / np.where(book.total > 0, book.total, 1))


def _state_columns(points: _Points, changed: BoolArray) -> Figures:
    starts, ends = points.starts, points.ends
    state = points.book.state.take(points.grid.at)
    steps = _STALE_AFTER_NS // points.grid.step_ns
    changes = np.cumsum(changed)
    stale: BoolArray = np.zeros(len(state), np.bool_)
    stale[steps:] = changes[steps:] == changes[:-steps]
    stale &= (points.grid.within >= steps) & (state != NO_BOOK)
    return {
        **{
            f"{name}_share": range_counts(state == code, starts, ends) / (ends - starts)
            for code, name in enumerate(QUOTE_STATES)
        },
        "stale_share": range_counts(stale, starts, ends) / (ends - starts),
    }


def _spread_columns(points: _Points) -> Figures:
    """Mean, median and 95 % quantile over normal points, and the spread at the end of each segment."""
    book, at = points.book, points.grid.at
    spread = np.where(book.total > 0, book.ask - book.bid, 0)
    bps = relative_spreads(book)
    owner, index = expand(points.starts, points.ends)
    kept = points.normal.take(index)
    owner, rows = owner[kept], at.take(index[kept])
    # rows of the book by their relative spread: integers sort fast
    order = np.argsort(bps, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    by_usd = SortedGroups(owner, spread.take(rows), len(points.starts))
    by_bps = SortedGroups(owner, rank.take(rows), len(points.starts))
    columns: Figures = {
        "spread_usd_mean": ratio(
            range_totals(np.where(points.normal, spread.take(at), 0), points.starts, points.ends) / MICRO,
            points.count,
        ),
        "spread_bps_mean": points.mean(bps),
        "spread_bps_at_end": np.where(points.normal[points.ends - 1], bps[at[points.ends - 1]], np.nan),
    }
    for name, q in (("median", 0.5), ("p95", 0.95)):
        usd, some = by_usd.quantile(q)
        columns[f"spread_usd_{name}"] = np.where(some, (usd.low + (usd.high - usd.low) * usd.fraction) / MICRO, np.nan)
        relative, some = by_bps.quantile(q)
        columns[f"spread_bps_{name}"] = np.where(some, relative.of(bps[order]), np.nan)
    return columns


def _depth_columns(points: _Points) -> Figures:
    book = points.book
    size = book.bid_size + book.ask_size
    return {
        "depth_bid_usd_mean": points.mean(book.bid_price * book.bid_size),
        "depth_ask_usd_mean": points.mean(book.ask_price * book.ask_size),
        "depth_imbalance_mean": points.mean((book.bid_size - book.ask_size) / np.where(size == 0, 1, size)),
    }


def _order_flow_columns(points: _Points, changed: BoolArray) -> Figures:
    """Order flow imbalance between consecutive points of which both are normal."""
    book, at, starts, ends = points.book, points.grid.at, points.starts, points.ends
    both = points.normal.copy()
    both[1:] &= points.normal[:-1]
    moved = np.flatnonzero(changed & both)
    now, then = at[moved], at[moved - 1]
    flow = np.zeros(len(at))
    flow[moved] = (
        np.where(book.bid[now] >= book.bid[then], book.bid_size[now], 0)
        - np.where(book.bid[now] <= book.bid[then], book.bid_size[then], 0)
        - np.where(book.ask[now] <= book.ask[then], book.ask_size[now], 0)
        + np.where(book.ask[now] >= book.ask[then], book.ask_size[then], 0)
    )
    pairs = range_counts(both, starts, ends)
    shares = np.where(pairs > 0, range_sums(flow, starts, ends), np.nan)
    return {
        "ofi_shares": shares,
        "ofi_over_depth": shares / points.mean((book.bid_size + book.ask_size) / 2),
        "ofi_breaks": ends - starts - pairs,
    }


def _variance_columns(points: _Points, segments: SegmentRows) -> Figures:
    """Realized variance of the last normal mids at marks every five seconds."""
    grid = points.grid
    marks = (grid.count - 1) * grid.step_ns // _MARK_NS + 1
    first = np.cumsum(marks) - marks
    event, mark = expand(first, first + marks)
    place = grid.first[event] + (mark - first[event]) * (_MARK_NS // grid.step_ns)
    last_normal = last_where(points.normal)[place]
    has_mid = last_normal >= grid.first[event]
    mid = np.where(has_mid, points.book.total[grid.at[last_normal]], 1)
    returns = np.zeros(len(mid))
    returns[1:] = np.log(mid[1:] / mid[:-1])
    known = has_mid.copy()
    known[1:] &= has_mid[:-1]
    after, until = segments.bounds(_MARK_NS)
    starts, ends = first[segments.event] + after + 1, first[segments.event] + until + 1
    count = range_counts(known, starts, ends)
    squares = range_sums(np.where(known, returns**2, 0.0), starts, ends)
    enough = count >= _FEWEST_RETURNS
    return {
        "rv_5s": np.where(enough, squares, np.nan),
        "rv_n": count,
        "volatility_bps_per_sqrt_min": np.where(enough, _BPS * np.sqrt(ratio(squares, count / _MARKS_PER_MIN)), np.nan),
    }
