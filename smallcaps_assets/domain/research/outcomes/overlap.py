"""How much the intervals of labels overlap (research specification, section 4.6)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN

# What overlap says of one interval among others.
OVERLAP: Final = pl.Schema({"uniqueness": pl.Float64(), "concurrent_max": pl.Int64()})


def overlap(intervals: pl.DataFrame, by: Sequence[str] = ("symbol", "label_spec")) -> pl.DataFrame:
    """Uniqueness and greatest concurrency (OVERLAP) of each interval, in the order of `intervals`.

    Intervals of one group overlap, those of different ones do not. Where c(m) of a group's intervals hold minute m,
    `uniqueness` is the mean of 1/c over an interval's own minutes, in (0, 1], and `concurrent_max` the greatest c.
    The sum of `uniqueness` over a sample is its effective number of labels.

    Args:
        intervals: `entry_at` and `t1` (UTC, not null, `entry_at` < `t1`) and the columns of `by`; any subset of labels.
        by: what makes a group.
    """
    if intervals.is_empty():
        return OVERLAP.to_frame()
    start = intervals["entry_at"].dt.epoch("us").to_numpy() // US_PER_MIN
    end = -(-intervals["t1"].dt.epoch("us").to_numpy() // US_PER_MIN)
    # one axis of minutes, on which each group has a range of its own
    first = start.min()
    length = end.max() - first
    group = np.zeros(intervals.height, np.int64)
    for ranks in intervals.select(pl.col(*by).rank("dense").cast(pl.Int64)):
        group = group * (intervals.height + 1) + ranks.to_numpy()
        group = np.unique(group, return_inverse=True)[1]
    start, end = ((group * length + time - first) for time in (start, end))
    # the number of intervals is the same from one bound to the next
    bounds = np.sort(np.concatenate((start, end)))
    bounds = bounds[np.append(True, bounds[1:] != bounds[:-1])]
    begins, ends = bounds.searchsorted(start), bounds.searchsorted(end)
    changes = np.bincount(begins, minlength=len(bounds)) - np.bincount(ends, minlength=len(bounds))
    count = np.cumsum(changes)
    minutes = np.append(np.diff(bounds), 0)
    shares = np.divide(minutes, count, out=np.zeros(len(bounds)), where=count > 0)
    # reduceat takes the slices [begin, end) of the intervals, and between them those [end, next begin), in order
    order = np.argsort(begins, kind="stable")
    slices = np.column_stack((begins[order], ends[order])).ravel()
    total, most = np.empty(len(order)), np.empty(len(order), np.int64)
    total[order] = np.add.reduceat(shares, slices)[::2]
    most[order] = np.maximum.reduceat(count, slices)[::2]
    return pl.DataFrame({"uniqueness": total / (end - start), "concurrent_max": most}, OVERLAP)
