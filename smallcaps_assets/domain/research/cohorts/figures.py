"""Figures of all cohorts of one sample (research specification, 6.3): counts, means, quantiles, overlap, clusters.

A cohort has a number: those of level 3 come first (group x TERCILES + tercile), then those of level 2 (group), then
those of level 1 (parent). An array of figures has one value per cohort in this order.
"""

from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.cohorts.samples import CohortSample
from smallcaps_assets.domain.research.cohorts.spec_rows import (
    ROW_FACTS,
    TERCILES,
    CohortFloats,
    CohortInts,
    Ends,
    Ranked,
    SpecRows,
    terciles,
)

Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]
Terciles = npt.NDArray[np.uint8]
_Number = TypeVar("_Number", np.int64, np.float64)
_OUTSIDE: Final = 255
_WIN, _LABEL, _TIE, _HALT, _HAS_MFE = ROW_FACTS
_RETURN_SHARES: Final = (0.0, 0.05, 0.5, 0.95, 1.0)


def cohort_figures(rows: SpecRows, sample: CohortSample, selection: str) -> dict[str, Numbers]:
    """Figures of the cohorts that have an event in `select`, by name.

    They are those of research specification, 6.3, that need the events, and `cohort`, the number, `wins`, how many
    net returns are above 0, and `largest`, the greatest absolute net return. A mean of nothing is NaN, and so is
    `se` of one date.
    """
    levels = _Levels(rows.parent)
    code = rows.group[sample.select] * TERCILES + sample.select_terciles
    counts = _counts(levels, rows, sample, code)
    n = counts["n"].astype(np.int64)
    by_date = _by_date(levels, rows, sample, code)
    key = np.full(len(rows.day), _OUTSIDE, np.uint8)
    key[sample.select] = sample.select_terciles
    size = len(rows.day)
    returns = _quantiles(
        levels.sorted_keys(code, rows.returns.place[sample.select], size), rows.returns, n, _RETURN_SHARES
    )
    costs = _quantiles(levels.sorted_keys(code, rows.costs.place[sample.select], size), rows.costs, n, (0.5,))
    n_symbols, most = _concentration(levels.sorted_keys(code, rows.symbol[sample.select], rows.symbols), n)
    overlapping = rows.overlapping[sample.select]
    single = levels.rolled_up(np.bincount(code[~overlapping], minlength=levels.finest))
    confirm = rows.group[sample.confirm] * TERCILES + sample.confirm_terciles
    confirm_n = levels.rolled_up(np.bincount(confirm, minlength=levels.finest))
    confirm_sum = levels.sums(confirm, rows.net[sample.confirm])
    no_entry = _no_entry(levels, rows, sample, selection)
    figures = {
        **counts,
        **by_date,
        "n_symbols": n_symbols,
        "max_symbol_share": _share(most, n),
        "effective_n": single + levels.effective(rows.ends, key),
        "largest": np.maximum(-returns[:, 0], returns[:, 4]),
        "p05": returns[:, 1],
        "median": returns[:, 2],
        "p95": returns[:, 3],
        "cost_bps_median": costs[:, 0],
        "no_entry_share": _share(no_entry, no_entry + n),
        "confirm_n": confirm_n,
        "confirm_mean": _share(confirm_sum, confirm_n),
    }
    present = np.flatnonzero(n)
    return {"cohort": present, **{name: values[present] for name, values in figures.items()}}


def _counts(levels: "_Levels", rows: SpecRows, sample: CohortSample, code: CohortInts) -> dict[str, Numbers]:
    """What counts of ROW_FACTS tell."""
    kinds = ROW_FACTS.shape[1]
    facts = np.bincount(code * kinds + rows.facts[sample.select], minlength=levels.finest * kinds)
    tally = levels.rolled_up(facts.reshape(levels.finest, kinds))
    n, wins = tally.sum(axis=1), tally @ _WIN
    halts_known, mfe_known = tally @ (_HALT < 2), tally @ _HAS_MFE  # noqa: PLR2004 -- 2: null
    return {
        "n": n,
        "wins": wins,
        "share_up": _share(tally @ (_LABEL == 2), n),  # noqa: PLR2004 -- label + 1
        "share_down": _share(tally @ (_LABEL == 0), n),
        "tie_share": _share(tally @ _TIE, n),
        "halt_share": _share(tally @ (_HALT == 1), halts_known),
        "mean_mfe_15": _share(levels.sums(code, rows.mfe[sample.select]), mfe_known),
    }


def _by_date(levels: "_Levels", rows: SpecRows, sample: CohortSample, code: CohortInts) -> dict[str, Numbers]:
    """Mean of the net return, its error clustered by date, and the number of dates."""
    net, day = rows.net[sample.select], rows.day[sample.select]
    numbers = np.cumsum(sample.select_dates) - 1
    dates = int(numbers[-1]) + 1 if len(numbers) else 0
    cell = code * dates + numbers[day]
    shape = (levels.finest, dates)
    events = levels.rolled_up(np.bincount(cell, minlength=levels.finest * dates).reshape(shape))
    total = levels.rolled_up(_weighted(cell, net, levels.finest * dates).reshape(shape))
    n, n_days = events.sum(axis=1), np.count_nonzero(events, axis=1)
    mean = _share(total.sum(axis=1), n)
    deviations = total - events * np.where(n > 0, mean, 0)[:, None]
    squares = np.einsum("ij,ij->i", deviations, deviations)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(n_days / (n_days - 1) * squares) / n
    return {"n_days": n_days, "mean": mean, "se": np.where(n_days > 1, se, np.nan)}


def _no_entry(levels: "_Levels", rows: SpecRows, sample: CohortSample, selection: str) -> CohortInts:
    """Events without an entry on the dates of `select`."""
    others = rows.no_entry
    inside = sample.select_dates[others.day] & others.selections[selection]
    code = others.group[inside] * TERCILES + terciles(others.flatness[inside], sample.bounds)
    return levels.rolled_up(np.bincount(code, minlength=levels.finest))


class _Levels:
    """Figures of cohorts of three levels."""

    def __init__(self, parent: CohortInts) -> None:
        """`parent`: ascending number of the cohort of level 1, by group."""
        self._parent, self._groups = parent, len(parent)
        self.finest = self._groups * TERCILES
        self._first = parent.searchsorted(np.arange(int(parent[-1]) + 1))

    def rolled_up(self, finest: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """Sums over all levels of numbers of level 3, along the first axis."""
        groups = finest.reshape(self._groups, TERCILES, *finest.shape[1:]).sum(axis=1)
        return np.concatenate((finest, groups, np.add.reduceat(groups, self._first, axis=0)))

    def sums(self, code: CohortInts, values: CohortFloats) -> CohortFloats:
        """Sums of values, by their cohorts of level 3."""
        return self.rolled_up(_weighted(code, values, self.finest))

    def sorted_keys(self, code: CohortInts, rank: CohortInts, size: int) -> npt.NDArray[np.unsignedinteger]:
        """`cohort x size + rank` of all events of all cohorts, ascending.

        Args:
            code: the cohort of level 3 of each event.
            rank: of each event, from 0 to `size` - 1.
            size: of the ranks.
        """
        group = code // TERCILES
        levels = (code, self.finest + group, self.finest + self._groups + self._parent[group])
        # short keys are sorted much faster
        dtype = np.min_scalar_type((self.finest + 2 * self._groups) * size)
        return np.concatenate([np.sort((cohort * size + rank).astype(dtype)) for cohort in levels])

    def effective(self, ends: dict[int, Ends], key: Terciles) -> CohortFloats:
        """Sum of the uniqueness of those labels of each cohort that may overlap.

        Args:
            ends: by level, 1 and 2.
            key: tercile of each row; _OUTSIDE of those that are not in the sample.
        """
        tercile = key[ends[2].rows]
        finest = [_sum_of_uniqueness(ends[2], tercile == number, self._groups) for number in range(TERCILES)]
        groups = _sum_of_uniqueness(ends[2], tercile != _OUTSIDE, self._groups)
        parents = _sum_of_uniqueness(ends[1], key[ends[1].rows] != _OUTSIDE, len(self._first))
        return np.concatenate((np.stack(finest, axis=1).ravel(), groups, parents))


def _quantiles(
    keys: npt.NDArray[np.unsignedinteger], ranked: Ranked, n: CohortInts, shares: tuple[float, ...]
) -> CohortFloats:
    """Quantiles of each cohort, interpolated linearly (type 7); NaN of a cohort without events."""
    found = np.full((len(n), len(shares)), np.nan)
    present = np.flatnonzero(n)
    first, last = (np.cumsum(n) - n)[present, None], n[present, None] - 1
    place = last * np.array(shares)
    low = place.astype(np.int64)
    size = len(ranked.values)
    below, above = (ranked.values[keys[first + at] % size] for at in (low, np.minimum(low + 1, last)))
    found[present] = below + (place - low) * (above - below)
    return found


def _concentration(keys: npt.NDArray[np.unsignedinteger], n: CohortInts) -> tuple[CohortInts, CohortInts]:
    """How many symbols each cohort has, and the events of the one with the most."""
    runs = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    events = np.diff(np.append(runs, len(keys)))
    present = np.flatnonzero(n)
    first = runs.searchsorted((np.cumsum(n) - n)[present])
    symbols, most = np.zeros_like(n), np.zeros_like(n)
    symbols[present] = np.diff(np.append(first, len(runs)))
    most[present] = np.maximum.reduceat(events, first)
    return symbols, most


def _sum_of_uniqueness(ends: Ends, inside: npt.NDArray[np.bool_], groups: int) -> CohortFloats:
    """Sum of the uniqueness of some labels, by group.

    Uniqueness is the mean of 1/c over the minutes of a label, c labels holding a minute. Summed over the labels of a
    group, each stretch between two ends adds its minutes over c, for every label in it divided by the label's length.
    From one symbol or group to the next c is 0: all labels have ended.
    """
    own = np.flatnonzero(inside)
    between = np.diff(ends.minutes[own])
    count = np.cumsum(ends.sign[own], dtype=np.int64)[:-1]
    weight = np.cumsum(ends.weight[own])[:-1]
    added = np.where(count > 0, between * weight / np.maximum(count, 1), 0)
    return _weighted(ends.group[own[:-1]], added, groups)


def _weighted(code: CohortInts, values: CohortFloats, codes: int) -> CohortFloats:
    """Sums of values by code; NumPy gives whole numbers where there are no values."""
    return np.bincount(code, values, minlength=codes).astype(np.float64, copy=False)


def _share(part: Numbers, whole: Numbers) -> CohortFloats:
    shares: CohortFloats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares
