"""Quantiles of many samples of the same values: what does not depend on the sample is sorted once.

The values are ranked, and their ranks divided into bins. A sample is counted by bin; only the values of those bins that
hold a wanted quantile are sorted.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.cohorts.levels import TERCILES, CohortFloats, CohortInts, Levels

Places = npt.NDArray[np.uint32]
# A cohort has few values in a bin, and all cohorts together have bins that fit a cache.
_BINS: Final = 64
_WINDOW_BINS: Final = 512


class Ranked(NamedTuple):
    """Values of rows and their order.

    Attributes:
        place: of each row's value in the order.
        values: in ascending order.
        cell: `number of the row's first cohort of level 3 x _BINS + bin`.
    """

    place: CohortInts
    values: CohortFloats
    cell: CohortInts


def rank_values(values: CohortFloats, order: CohortInts, code: CohortInts) -> Ranked:
    """Ranks of values.

    Args:
        values: without NaN.
        order: that sorts them.
        code: the first cohort of level 3 of each one's group.
    """
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Ranked(place, values[order], code * _BINS + place * _BINS // max(len(order), 1))


def cohort_quantiles(
    levels: Levels, ranked: Ranked, rows: slice, tercile: CohortInts, shares: tuple[float, ...]
) -> CohortFloats:
    """Quantiles of the values of each cohort, interpolated linearly (type 7); NaN of a cohort without events.

    Args:
        levels: of the cohorts.
        ranked: all values.
        rows: those of the sample.
        tercile: of these.
        shares: which quantiles, from 0 to 1.
    """
    cell = ranked.cell[rows] + tercile * _BINS
    finest = np.bincount(cell, minlength=levels.finest * _BINS).reshape(levels.finest, _BINS)
    counts = levels.rolled_up(finest)
    n = counts.sum(axis=1)
    counts = counts.ravel()
    upto = np.cumsum(counts)
    present = np.flatnonzero(n)
    first, last = (np.cumsum(n) - n)[present, None], n[present, None] - 1
    place = last * np.array(shares)
    low = place.astype(np.int64)
    # numbers of the wanted values among those of all cohorts, one cohort after the other
    wanted = np.concatenate((low, np.minimum(low + 1, last)), axis=1) + first
    bins = upto.searchsorted(wanted, side="right")
    is_wanted = np.zeros(len(counts), np.bool_)
    is_wanted[bins] = True
    keys = _keys_of_bins(levels, ranked, rows, cell, is_wanted)
    kept = np.where(is_wanted, counts, 0)
    at = wanted - (upto - counts)[bins] + (np.cumsum(kept) - kept)[bins]
    below, above = np.split(ranked.values[keys[at] % len(ranked.values)], 2, axis=1)
    found = np.full((len(n), len(shares)), np.nan)
    found[present] = below + (place - low) * (above - below)
    return found


def _keys_of_bins(
    levels: Levels, ranked: Ranked, rows: slice, cell: CohortInts, is_wanted: npt.NDArray[np.bool_]
) -> CohortInts:
    """`(cohort x _BINS + bin) x size + place` of the rows in wanted bins of cohorts of any level, ascending."""
    by_cohort = is_wanted.reshape(-1, _BINS)
    of_finest, of_groups, of_parents = np.split(by_cohort, [levels.finest, levels.finest + levels.groups])
    above = of_groups | of_parents[levels.parent]
    any_level = (of_finest.reshape(levels.groups, TERCILES, _BINS) | above[:, None]).ravel()
    own = np.flatnonzero(any_level[cell])
    cells, place = cell[own], ranked.place[rows][own]
    size = len(ranked.values)
    keys = []
    for of_level in (cells, *levels.above(cells, _BINS)):
        inside = is_wanted[of_level]
        keys.append(of_level[inside] * size + place[inside])
    return np.sort(np.concatenate(keys))


class WindowRanks(NamedTuple):
    """The order of values, of which some are unknown, in rows that are sorted by date.

    Attributes:
        place: of each row's value in the order; that of an unknown value is behind all.
        order: rows with a value, in its order.
        values: in ascending order.
        upto: number of values of each bin before each date, and before the end.
    """

    place: Places
    order: CohortInts
    values: CohortFloats
    upto: npt.NDArray[np.int32]


def rank_windows(values: CohortFloats, order: CohortInts, day: CohortInts, dates: int) -> WindowRanks:
    """Ranks of values by date.

    Args:
        values: of rows; NaN where unknown.
        order: that sorts those that are known.
        day: number of the date of each row, ascending.
        dates: how many dates there are.
    """
    known = len(order)
    place = np.full(len(values), known, np.uint32)
    place[order] = np.arange(known)
    cell = day[order] * _WINDOW_BINS + np.arange(known) * _WINDOW_BINS // max(known, 1)
    counts = np.bincount(cell, minlength=dates * _WINDOW_BINS).reshape(dates, _WINDOW_BINS)
    upto = np.zeros((dates + 1, _WINDOW_BINS), np.int32)
    np.cumsum(counts, axis=0, out=upto[1:])
    return WindowRanks(place, order, values[order], upto)


def window_thirds(ranks: WindowRanks, dates: slice, rows: slice) -> tuple[float, float] | None:
    """The quantiles 1/3 and 2/3, interpolated linearly (type 7), of the rows of some dates; None without a value."""
    upto = np.cumsum(ranks.upto[dates.stop] - ranks.upto[dates.start])
    if not upto[-1]:
        return None
    return _third(ranks, upto, rows, 1), _third(ranks, upto, rows, 2)


def _third(ranks: WindowRanks, upto: npt.NDArray[np.int64], rows: slice, thirds: int) -> float:
    """In whole numbers, so that a quantile which is one of the values equals it."""
    last = int(upto[-1]) - 1
    place, rest = divmod(last * thirds, 3)
    low, high = (_value(ranks, upto, rows, at) for at in (place, min(place + 1, last)))
    return low + (high - low) * (rest / 3)


def _value(ranks: WindowRanks, upto: npt.NDArray[np.int64], rows: slice, at: int) -> float:
    """The value at a place among those of some rows."""
    known = len(ranks.values)
    number = int(upto.searchsorted(at, side="right"))
    before = int(upto[number - 1]) if number else 0
    # the bin has the places p with p x bins // known = its number
    first, end = (-(-edge * known // _WINDOW_BINS) for edge in (number, number + 1))
    of_bin = ranks.order[first:end]
    inside = np.flatnonzero((of_bin >= rows.start) & (of_bin < rows.stop))
    return float(ranks.values[first + inside[at - before]])
