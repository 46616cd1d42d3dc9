"""What the bars did after each control, in the direction of its event; hindsight (research specification, 4 and 7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.controls.tables import CONTROL_TEXTS
from smallcaps_assets.domain.research.outcomes.overlap import OVERLAP
from smallcaps_assets.domain.research.tables.label_tables import LABEL_COLUMNS, LABEL_TEXTS

_KEYS: Final = ("control_id", "control_of")
_SPEC: Final = "label_spec"
# a control is no event of MASTER, among which labels overlap
CONTROL_LABEL_COLUMNS: Final = {
    **{name: ResearchColumn(name, pl.String(), "", "key") for name in _KEYS},
    **{name: column for name, column in LABEL_COLUMNS.items() if name not in {"event_id", *OVERLAP}},
}
CONTROL_LABELS: Final = pl.Schema({name: column.dtype for name, column in CONTROL_LABEL_COLUMNS.items()})
CONTROL_LABEL_TEXTS: Final = {**LABEL_TEXTS, **{name: CONTROL_TEXTS[name] for name in _KEYS}}
# Returns of which an event and its control have a difference.
LABEL_DIFFERENCES: Final = (
    "gross_return",
    *(name for name in CONTROL_LABEL_COLUMNS if name.startswith("return_")),
)
MATCHED_LABELS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "control_id": pl.String(),
        _SPEC: pl.String(),
        "date": pl.String(),
        "control_date": pl.String(),
        "in_causal_sample": pl.Boolean(),
        **dict.fromkeys(LABEL_DIFFERENCES, pl.Float64()),
    }
)


def control_labels(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The labels (CONTROL_LABELS) of controls with a bar in their minute, sorted by control_of, specs as of events.

    Args:
        rows: what `control_rows` returns.
        labels: EVENT_LABELS of these rows, by their `event_id`.
    """
    named = labels.join(rows.select("event_id", *_KEYS), on="event_id", how="inner", maintain_order="left")
    return named.sort("control_of", maintain_order=True).select(*CONTROL_LABELS).match_to_schema(CONTROL_LABELS)


def matched_labels(events: pl.LazyFrame, labels: pl.LazyFrame, controls: pl.LazyFrame) -> pl.LazyFrame:
    """Return of the event minus return of its control (MATCHED_LABELS), for each label spec; null where either is.

    Args:
        events: `event_id` and `in_causal_sample` of the events: others are left out.
        labels: EVENT_LABELS of the events.
        controls: CONTROL_LABELS.
    """
    of_events = labels.select("event_id", _SPEC, "date", *LABEL_DIFFERENCES).join(
        events.select("event_id", "in_causal_sample"), on="event_id", how="inner"
    )
    both = controls.select(*_KEYS, _SPEC, "date", *LABEL_DIFFERENCES).join(
        of_events,
        left_on=["control_of", _SPEC],
        right_on=["event_id", _SPEC],
        how="inner",
        suffix="_event",
        maintain_order="left",
    )
    return both.select(
        pl.col("control_of").alias("event_id"),
        "control_id",
        _SPEC,
        pl.col("date_event").alias("date"),
        pl.col("date").alias("control_date"),
        "in_causal_sample",
        *((pl.col(f"{name}_event") - pl.col(name)).alias(name) for name in LABEL_DIFFERENCES),
    )
