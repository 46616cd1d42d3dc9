"""How returns of events differ from those of their controls, with intervals (research specification, 6.3 and 7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.research.outcomes.label_summary import ALL_TYPES
from smallcaps_assets.domain.research.statistics.mean_returns import MEAN_RETURNS, mean_returns

# returns that are summarized
_FIGURES: Final = ("gross_return", "net_return")
_KEYS: Final = ("selection", "label_spec", "event_type", "figure")
MATCHED_RETURNS: Final = pl.Schema({**dict.fromkeys(_KEYS, pl.String()), "n_controls": pl.Int64(), **MEAN_RETURNS})


def matched_returns(pairs: pl.DataFrame) -> pl.DataFrame:
    """Mean of return of the event minus return of its control (MATCHED_RETURNS), of all types and of each.

    One row per selection (`causal`: the pairs whose event is in the causal sample; `master`: all), label spec, event
    type (ALL_TYPES first) and figure (`gross_return`, `net_return`) that has a pair. `n` counts pairs, `n_controls`
    their control minutes, of which two events may have the same; `win_rate` is the share of pairs in which the event
    did better. The error is clustered by the date of the event: see `mean_returns`.

    Args:
        pairs: MATCHED_LABELS.
    """
    of_selections = [
        pairs.filter("in_causal_sample").with_columns(selection=pl.lit("causal")),
        pairs.with_columns(selection=pl.lit("master")),
    ]
    rows = pl.concat(
        [
            some.with_columns(event_type=of_type)
            for some in of_selections
            for of_type in (pl.lit(ALL_TYPES), pl.col("event_type"))
        ]
    ).unpivot(
        _FIGURES,
        index=["selection", "label_spec", "event_type", "control_id", "date"],
        variable_name="figure",
        value_name="value",
    )
    known = rows.filter(pl.col("value").is_not_null())
    counts = known.group_by(*_KEYS).agg(n_controls=pl.col("control_id").n_unique().cast(pl.Int64))
    found = mean_returns(known, _KEYS).join(counts, on=_KEYS, how="left")
    order = pl.col("label_spec").cast(pl.Enum([spec.name for spec in LABEL_SPECS]))
    is_type = pl.col("event_type") != ALL_TYPES
    return found.sort("selection", order, is_type, "event_type", "figure").select(*MATCHED_RETURNS)
