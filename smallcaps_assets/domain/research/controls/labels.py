"""Labels of controls with their costs, in the direction of the event; hindsight (research specification, 4 and 7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.controls.pairs import minus_control, numbers_after
from smallcaps_assets.domain.research.controls.tables import CONTROL_TEXTS
from smallcaps_assets.domain.research.outcomes.event_costs import net_outcomes
from smallcaps_assets.domain.research.outcomes.overlap import OVERLAP
from smallcaps_assets.domain.research.tables.label_tables import (
    COST_COLUMNS,
    COST_TEXTS,
    EVENT_COSTS,
    EVENT_LABELS,
    LABEL_COLUMNS,
    LABEL_TEXTS,
)

_KEYS: Final = ("control_id", "control_of")
_SPEC: Final = "label_spec"
# what a control costs, and what remains
CONTROL_COST_COLUMNS: Final = tuple(name for name in COST_COLUMNS if name not in LABEL_COLUMNS)
# a control is no event of MASTER, among which labels overlap
CONTROL_LABEL_COLUMNS: Final = {
    **{name: ResearchColumn(name, pl.String(), "", "key") for name in _KEYS},
    **{name: column for name, column in LABEL_COLUMNS.items() if name not in {"event_id", *OVERLAP}},
    **{name: COST_COLUMNS[name] for name in CONTROL_COST_COLUMNS},
}
CONTROL_LABELS: Final = pl.Schema({name: column.dtype for name, column in CONTROL_LABEL_COLUMNS.items()})
CONTROL_LABEL_TEXTS: Final = {**LABEL_TEXTS, **COST_TEXTS, **{name: CONTROL_TEXTS[name] for name in _KEYS}}
# What an event and its control have a difference of: returns, gross and net, and every other number.
LABEL_DIFFERENCES: Final = numbers_after(CONTROL_LABEL_COLUMNS)
MATCHED_LABELS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "control_id": pl.String(),
        "event_type": pl.String(),
        _SPEC: pl.String(),
        "date": pl.String(),
        "control_date": pl.String(),
        "in_causal_sample": pl.Boolean(),
        **{name: CONTROL_LABELS[name] for name in LABEL_DIFFERENCES},
    }
)


def control_labels(rows: pl.DataFrame, labels: pl.DataFrame, costs: pl.DataFrame) -> pl.DataFrame:
    """The labels (CONTROL_LABELS) of controls with a bar in their minute, sorted by control_of, specs as of events.

    Args:
        rows: what `control_rows` returns.
        labels: EVENT_LABELS of these rows, by their `event_id`.
        costs: what `event_costs` says of these rows.
    """
    net = net_outcomes(labels, costs).select(*CONTROL_COST_COLUMNS)
    named = labels.hstack(net).join(rows.select("event_id", *_KEYS), on="event_id", how="inner", maintain_order="left")
    return named.sort("control_of", maintain_order=True).select(*CONTROL_LABELS).match_to_schema(CONTROL_LABELS)


def matched_labels(
    events: pl.LazyFrame, labels: pl.LazyFrame, costs: pl.LazyFrame, controls: pl.LazyFrame
) -> pl.LazyFrame:
    """Number of the event minus number of its control (MATCHED_LABELS), for each label spec; null where either is.

    Args:
        events: `event_id`, `event_type` and `in_causal_sample` of the events: others are left out.
        labels: EVENT_LABELS of the events.
        costs: EVENT_COSTS of the events; an event without has no net figures.
        controls: CONTROL_LABELS.
    """
    of_labels = (name for name in LABEL_DIFFERENCES if name in EVENT_LABELS)
    of_costs = (name for name in CONTROL_COST_COLUMNS if EVENT_COSTS[name].is_numeric())
    of_events = (
        labels.select("event_id", _SPEC, "date", *of_labels)
        .join(costs.select("event_id", _SPEC, *of_costs), on=["event_id", _SPEC], how="left")
        .join(events.select("event_id", "event_type", "in_causal_sample"), on="event_id", how="inner")
    )
    return minus_control(of_events, controls, MATCHED_LABELS, LABEL_DIFFERENCES, on=[_SPEC])
