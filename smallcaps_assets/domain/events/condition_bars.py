"""The bars at which the conditions of an edge hold: the edge, and those that continue it.

A stricter threshold makes other edges, not fewer: where a condition holds on several bars in a row, only the first is
an edge, and under a stricter threshold it may be the second. These bars decide it: a condition with stricter thresholds
holds on none but them.
"""

from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import CONDITION_BAR, CONDITION_BARS, KEPT_CANDIDATES

_FIELDS: Final = frozenset(field.name for field in CONDITION_BAR.fields)
_KEY: Final = ("symbol", "event_type", "timestamp", "direction")
# Figures that the thresholds of some event types are compared with; null in those of others.
_OF_TYPES: Final = {
    "day_high": ("volume_spike", "flush"),
    "run_above": ("vwap_break",),
    "run_below": ("vwap_break",),
    "earlier_return": ("price_momentum",),
    "transactions_baseline": ("tape_speed",),
    "base_high": ("consolidation_break",),
    "base_low": ("consolidation_break",),
    "range_bars": ("opening_range_break",),
    "range_high": ("opening_range_break",),
    "range_low": ("opening_range_break",),
}


def with_condition_bars(candidates: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`candidates` (CANDIDATES) with their `condition_bars` (KEPT_CANDIDATES), in the order given.

    Args:
        candidates: every edge of `rows`.
        rows: edges and the bars that continue them, see `find_events`; an edge of a day that is too small for an event
            has no `condition_bars`.
    """
    numbered = rows.with_columns(edge=pl.col("begins").cum_sum(), bar=pl.col("bar") - pl.col("day_start"))
    fields = []
    for field in CONDITION_BAR.fields:
        value = pl.col(field.name) if field.name in rows.columns else pl.lit(None)
        if types := _OF_TYPES.get(field.name):
            value = pl.when(pl.col("event_type").is_in(types)).then(value)
        fields.append(value.cast(field.dtype).alias(field.name))
    whole = numbered.filter("kept_whole")
    lists = whole.select("edge", condition_bars=pl.struct(fields)).group_by("edge", maintain_order=True).agg(pl.all())
    by_edge = numbered.filter("begins").select(*_KEY, "edge").join(lists, on="edge", how="left").drop("edge")
    none = pl.lit([], KEPT_CANDIDATES["condition_bars"])
    return (
        candidates.join(by_edge, on=_KEY, how="left", maintain_order="left")
        .with_columns(pl.col("condition_bars").fill_null(none))
        .match_to_schema(KEPT_CANDIDATES)
    )


def list_condition_bars(candidates: pl.DataFrame) -> pl.DataFrame:
    """The condition bars (CONDITION_BARS) of `candidates` (KEPT_CANDIDATES), one row each, in their order.

    Needs none but the columns that CONDITION_BARS has of candidates, and `condition_bars`.
    """
    of_candidate = [name for name in CONDITION_BARS if name not in _FIELDS]
    return (
        candidates.select(*of_candidate, "condition_bars")
        .explode("condition_bars", empty_as_null=False, keep_nulls=False)
        .unnest("condition_bars")
        .match_to_schema(CONDITION_BARS)
    )
