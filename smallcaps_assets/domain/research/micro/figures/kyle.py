"""Kyle's lambda: the slope of returns of the mid on signed dollars (research specification, section 1.12)."""

from typing import Final

import numpy as np

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.micro.axis import EventWindows
from smallcaps_assets.domain.research.micro.figures.flow import Figures, bucket_firsts
from smallcaps_assets.domain.research.micro.params import SECOND_NS
from smallcaps_assets.domain.research.micro.quote_states import Grid, QuoteBook
from smallcaps_assets.domain.research.micro.ranges import expand, range_maxima, range_minima, range_sums, ratio
from smallcaps_assets.domain.research.micro.segments import M5, POST_ALL, PRE_ALL, SegmentRows
from smallcaps_assets.domain.research.micro.signs import SignedTrades

_BPS: Final = 1e4
_USD_PER_UNIT: Final = 10_000
_FEWEST_BUCKETS: Final = 30


def kyle_columns(
    signed: SignedTrades, grid: Grid, book: QuoteBook, windows: EventWindows, segments: SegmentRows
) -> Figures:
    """Slope, R2 and number of seconds of every segment; NaN, and -1 for the number, in those that have none."""
    first, counts = bucket_firsts(windows, 1)
    event, bucket = expand(first, first + counts)
    per_s = SECOND_NS // grid.step_ns
    place = grid.first.take(event) + (bucket - first.take(event)) * per_s
    before, after = book.total.take(grid.at.take(place)), book.total.take(grid.at.take(place + per_s))
    has_mids = (before > 0) & (after > 0)
    y = _BPS * ((after - before) / np.where(has_mids, before, 1))
    members = expand(*signed.tape.range_of(windows.start, windows.end))
    since = members.of(signed.tape.time) - windows.start.take(members.owner)
    second = first.take(members.owner) + since // SECOND_NS
    x = np.bincount(second, signed.sign * signed.trades.dollars, minlength=len(event)) / _USD_PER_UNIT
    start_s, end_s = segments.bounds(SECOND_NS)
    defined = segments.is_one_of(PRE_ALL, M5, POST_ALL)
    low = first[segments.event] + start_s
    high = np.where(defined, first[segments.event] + end_s, low)
    slope, r2, n = _regress(x, y, *_kept(has_mids, low, high))
    enough = defined & (n >= _FEWEST_BUCKETS)
    return {
        "kyle_lambda_bps_per_10k_usd": np.where(enough, slope, np.nan),
        "kyle_r2": np.where(enough, r2, np.nan),
        "kyle_n": np.where(defined, n, -1),
    }


def _kept(flags: BoolArray, low: IntArray, high: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Elements of the ranges whose flag is true: their owners, their indices, and how many each range has."""
    owner, index = expand(low, high)
    kept = flags[index]
    owner = owner[kept]
    return owner, index[kept], np.bincount(owner, minlength=len(low))


def _regress(
    x: FloatArray, y: FloatArray, owner: IntArray, index: IntArray, n: IntArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Slope and R2 of each owner's elements, with intercept and centred sums; NaN where all x (for R2, y) are equal."""
    ends = np.cumsum(n)
    starts = ends - n

    def sums(values: FloatArray) -> FloatArray:
        return range_sums(values, starts, ends)

    def varies(values: FloatArray) -> FloatArray:
        differs = range_maxima(values, starts, ends) > range_minima(values, starts, ends)
        return np.where(differs, 1.0, np.nan)

    xs, ys = x[index], y[index]
    dx, dy = xs - ratio(sums(xs), n)[owner], ys - ratio(sums(ys), n)[owner]
    sxx, sxy, syy = sums(dx * dx), sums(dx * dy), sums(dy * dy)
    slope = ratio(sxy, sxx) * varies(xs)
    return slope, ratio(sxy * sxy, sxx * syy) * varies(xs) * varies(ys), n
