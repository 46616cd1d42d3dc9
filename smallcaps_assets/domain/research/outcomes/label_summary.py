"""What labels say by event type and label spec: how they ended, what they returned, and why some say nothing.

MASTER is chosen with hindsight, so the causal sample stands beside it (research specification, sections 0.9 and 4).
"""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.cohorts.spec_rows import SELECTIONS
from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.research.outcomes.event_costs import COST_SOURCES
from smallcaps_assets.domain.research.outcomes.event_labels import NO_ENTRY, NO_SCALE, OK
from smallcaps_assets.domain.research.statistics.mean_returns import MEAN_RETURNS, mean_returns_of_dates

ALL_TYPES: Final = "all"
RETURN_KINDS: Final = ("gross", "net")
# of labels that have no row of EVENT_COSTS yet
NOT_COSTED: Final = "not_costed"
_KEYS: Final = ("label_spec", "event_type")
_IS_OK: Final = pl.col("state") == OK
# Counts of labels, by name: all, by state, by how those with state `ok` ended, and where the costs of these come from.
LABEL_COUNTS: Final = {
    "events": pl.lit(value=True),
    "no_entry": pl.col("state") == NO_ENTRY,
    "no_scale": pl.col("state") == NO_SCALE,
    "ok": _IS_OK,
    "profit": _IS_OK & (pl.col("label") == 1),
    "stop": _IS_OK & (pl.col("label") == -1),
    "neither": _IS_OK & (pl.col("label") == 0),
    "ties": _IS_OK & pl.col("tie"),
    **{f"cost_{source}": _IS_OK & (pl.col("cost_source") == source) for source in COST_SOURCES},
    NOT_COSTED: _IS_OK & pl.col("cost_source").is_null(),
}
_SUMS: Final = ("n", "wins", "total")


def sum_by_date(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The counts and sums of labels that `summarize_labels` needs, by label spec, event type and date.

    Args:
        rows: `event_type`, `in_causal_sample` (null: not known) and `in_master` of the event; `label_spec`, `date`,
            `state`, `label`, `tie` and `gross_return` (EVENT_LABELS); `net_return` and `cost_source` (EVENT_COSTS),
            null where it has no row.
    """
    sums: dict[str, pl.Expr] = {}
    for selection, column in SELECTIONS.items():
        chosen = pl.col(column).fill_null(value=False)
        for name, condition in LABEL_COUNTS.items():
            counted = (condition & chosen).fill_null(value=False)
            sums[f"{selection}_{name}"] = counted.sum().cast(pl.Int64)
        for kind in RETURN_KINDS:
            value = pl.when(chosen & _IS_OK).then(pl.col(f"{kind}_return"))
            sums[f"{selection}_{kind}_n"] = value.count().cast(pl.Int64)
            sums[f"{selection}_{kind}_wins"] = (value > 0).sum().cast(pl.Int64)
            sums[f"{selection}_{kind}_total"] = value.sum()
    return rows.group_by(*_KEYS, "date").agg(**sums)


def summarize_labels(dates: pl.DataFrame) -> pl.DataFrame:
    """A row per label spec, event type and selection (`causal`, `master`) with events.

    Columns: the keys; LABEL_COUNTS; MEAN_RETURNS of labels with state `ok` with the prefixes `gross_` and `net_`, null
    where there is none but for the counts. ALL_TYPES has the sums over all types. In the order of LABEL_SPECS, then by
    type, ALL_TYPES last.

    Args:
        dates: as from `sum_by_date`.
    """
    everything = pl.concat([dates, dates.with_columns(event_type=pl.lit(ALL_TYPES))], how="vertical_relaxed")
    parts = []
    for selection in SELECTIONS:
        counts = [pl.col(f"{selection}_{name}").sum().alias(name) for name in LABEL_COUNTS]
        rows = everything.group_by(*_KEYS).agg(counts).filter(pl.col("events") > 0)
        for kind in RETURN_KINDS:
            own = everything.group_by(*_KEYS, "date").agg(
                pl.col(f"{selection}_{kind}_{name}").sum().alias(name) for name in _SUMS
            )
            means = mean_returns_of_dates(own, _KEYS).rename({name: f"{kind}_{name}" for name in MEAN_RETURNS})
            rows = rows.join(means, on=_KEYS, how="left").with_columns(
                pl.col(f"{kind}_n", f"{kind}_n_days").fill_null(0)
            )
        parts.append(rows.with_columns(selection=pl.lit(selection)))
    specs = pl.col("label_spec").cast(pl.Enum([spec.name for spec in LABEL_SPECS]))
    order = (specs, pl.col("event_type") == ALL_TYPES, "event_type", "selection")
    return pl.concat(parts).select(*_KEYS, "selection", pl.exclude(*_KEYS, "selection")).sort(*order)
