"""Figures of all cohorts of one sample (research specification, 6.3): counts, means, quantiles, overlap, clusters."""

from typing import Final

import numpy as np

from smallcaps_assets.domain.research.cohorts.label_overlap import effective_n, finest_effective_n
from smallcaps_assets.domain.research.cohorts.levels import (
    TERCILES,
    CohortFloats,
    CohortInts,
    Numbers,
    share,
    weighted,
)
from smallcaps_assets.domain.research.cohorts.ranks import cohort_quantiles
from smallcaps_assets.domain.research.cohorts.samples import CohortSample, terciles
from smallcaps_assets.domain.research.cohorts.spec_rows import ROW_FACTS

_WIN, _LABEL, _TIE, _HALT, _HAS_MFE = ROW_FACTS
_RETURN_SHARES: Final = (0.0, 0.05, 0.5, 0.95, 1.0)


def cohort_figures(sample: CohortSample) -> dict[str, Numbers]:
    """Figures of the cohorts that have an event in `select`, by name.

    They are those of research specification, 6.3, that need the events, and `cohort`, the number, `wins`, how many
    net returns are above 0, and `largest`, the greatest absolute net return. A mean of nothing is NaN, and so is
    `se` of one date.
    """
    rows, levels = sample.rows, sample.rows.levels
    tercile = sample.select_terciles.astype(np.int64)
    counts = _counts(sample, tercile)
    n = counts["n"].astype(np.int64)
    returns = cohort_quantiles(levels, rows.returns, sample.select, tercile, _RETURN_SHARES)
    costs = cohort_quantiles(levels, rows.costs, sample.select, tercile, (0.5,))
    n_symbols, most = _concentration(sample, tercile)
    confirm = rows.code[sample.confirm] + sample.confirm_terciles
    confirm_n = levels.rolled_up(np.bincount(confirm, minlength=levels.finest))
    confirm_sum = levels.rolled_up(weighted(confirm, rows.net[sample.confirm], levels.finest))
    no_entry = _no_entry(sample)
    uncosted = levels.rolled_up(np.bincount(sample.uncosted, minlength=levels.finest))
    figures = {
        **counts,
        **_by_date(sample, tercile),
        "n_symbols": n_symbols,
        "max_symbol_share": share(most, n),
        "effective_n": _effective_n(sample, n[: levels.finest]),
        "largest": np.maximum(-returns[:, 0], returns[:, 4]),
        "p05": returns[:, 1],
        "median": returns[:, 2],
        "p95": returns[:, 3],
        "cost_bps_median": costs[:, 0],
        "no_entry_share": share(no_entry, no_entry + n),
        "confirm_n": confirm_n,
        "confirm_mean": share(confirm_sum, confirm_n),
        "costed_share": share(n + confirm_n, n + confirm_n + uncosted),
    }
    present = np.flatnonzero(n)
    return {"cohort": present, **{name: values[present] for name, values in figures.items()}}


def _counts(sample: CohortSample, tercile: CohortInts) -> dict[str, Numbers]:
    """What counts of ROW_FACTS tell, and the mean of the greatest moves."""
    rows, levels = sample.rows, sample.rows.levels
    kinds = ROW_FACTS.shape[1]
    facts = np.bincount(rows.fact_cell[sample.select] + tercile * kinds, minlength=levels.finest * kinds)
    tally = levels.rolled_up(facts.reshape(levels.finest, kinds))
    mfe = levels.rolled_up(weighted(rows.code[sample.select] + tercile, rows.mfe[sample.select], levels.finest))
    n, wins = tally.sum(axis=1), tally @ _WIN
    halts_known, mfe_known = tally @ (_HALT < 2), tally @ _HAS_MFE  # noqa: PLR2004 -- 2: null
    return {
        "n": n,
        "wins": wins,
        "share_up": share(tally @ (_LABEL == 2), n),  # noqa: PLR2004 -- label + 1
        "share_down": share(tally @ (_LABEL == 0), n),
        "tie_share": share(tally @ _TIE, n),
        "halt_share": share(tally @ (_HALT == 1), halts_known),
        "mean_mfe_15": share(mfe, mfe_known),
    }


def _by_date(sample: CohortSample, tercile: CohortInts) -> dict[str, Numbers]:
    """Mean of the net return, its error clustered by date, and the number of dates."""
    rows, finest = sample.rows, sample.rows.levels.finest
    dates = sample.dates.stop - sample.dates.start
    cell = rows.date_cell[sample.select] + (tercile - sample.dates.start * finest)
    events = np.bincount(cell, minlength=dates * finest).reshape(dates, finest)
    total = weighted(cell, rows.net[sample.select], dates * finest).reshape(dates, finest)
    finest_figures, others = (
        _clustered(*of_level) for of_level in ((events, total), [table[sample.dates] for table in rows.by_date])
    )
    return {name: np.concatenate([level[name] for level in (finest_figures, others)]) for name in others}


def _clustered(events: CohortInts, total: CohortFloats) -> dict[str, Numbers]:
    """Of tables by date and cohort."""
    n, n_days = events.sum(axis=0), np.count_nonzero(events, axis=0)
    mean = share(total.sum(axis=0), n)
    deviations = total - events * np.where(n > 0, mean, 0)
    squares = np.einsum("ij,ij->j", deviations, deviations)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(n_days / (n_days - 1) * squares) / n
    return {"n_days": n_days, "mean": mean, "se": np.where(n_days > 1, se, np.nan)}


def _concentration(sample: CohortSample, tercile: CohortInts) -> tuple[CohortInts, CohortInts]:
    """How many symbols each cohort has, and the events of the one with the most."""
    levels, pairs = sample.rows.levels, sample.rows.pairs
    count = len(pairs.of_parents)
    finest = np.bincount(pairs.pair[sample.select] + tercile * count, minlength=count * TERCILES)
    groups = finest.reshape(TERCILES, count).sum(axis=0)
    parents = np.bincount(pairs.of_parents, groups).astype(np.int64)
    symbols = np.zeros(levels.finest + levels.groups + levels.parents, np.int64)
    most = np.zeros_like(symbols)
    for events, (first, cohorts) in zip((finest, groups, parents), pairs.starts, strict=True):
        symbols[cohorts] = np.add.reduceat(events > 0, first, dtype=np.int64)
        most[cohorts] = np.maximum.reduceat(events, first)
    return symbols, most


def _effective_n(sample: CohortSample, n: CohortInts) -> CohortFloats:
    """Sum of the uniqueness of the labels of each cohort among themselves; `n`: how many each of level 3 has."""
    rows = sample.rows
    finest = finest_effective_n(rows.groups_overlap, sample.dates, sample.select, sample.select_terciles, n)
    groups, parents = (
        effective_n(overlap, sample.dates, sample.select) for overlap in (rows.groups_overlap, rows.parents_overlap)
    )
    return np.concatenate((finest, groups, parents))


def _no_entry(sample: CohortSample) -> CohortInts:
    """Events without an entry on the dates of `select`."""
    others, levels = sample.rows.no_entry, sample.rows.levels
    own = slice(*others.first[[sample.dates.start, sample.dates.stop]])
    code = others.code[own] + terciles(others.flatness[own], sample.bounds)
    return levels.rolled_up(np.bincount(code, minlength=levels.finest))
