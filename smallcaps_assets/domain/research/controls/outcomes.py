"""Waves, excursions and outcome of controls; hindsight (research specification, sections 3 and 7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.controls.pairs import minus_control, numbers_after
from smallcaps_assets.domain.research.controls.tables import CONTROL_TEXTS
from smallcaps_assets.domain.research.tables.wave_descriptions import EVENT_OUTCOME_TEXTS, EVENT_WAVE_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOME_COLUMNS, EVENT_WAVE_COLUMNS

_KEYS: Final = ("control_id", "control_of")
_KEY_COLUMNS: Final = {name: ResearchColumn(name, pl.String(), "", "key") for name in _KEYS}
_KEY_TEXTS: Final = {name: CONTROL_TEXTS[name] for name in _KEYS}
# a control is no event, and has no type but `control`
_OF_EVENTS: Final = {"event_id", "event_type", "in_master"}
CONTROL_OUTCOME_COLUMNS: Final = {
    **_KEY_COLUMNS,
    **{name: column for name, column in EVENT_OUTCOME_COLUMNS.items() if name not in _OF_EVENTS},
}
CONTROL_OUTCOMES: Final = pl.Schema({name: column.dtype for name, column in CONTROL_OUTCOME_COLUMNS.items()})
CONTROL_OUTCOME_TEXTS: Final = {**EVENT_OUTCOME_TEXTS, **_KEY_TEXTS}
CONTROL_WAVE_COLUMNS: Final = {
    **_KEY_COLUMNS,
    **{name: column for name, column in EVENT_WAVE_COLUMNS.items() if name not in _OF_EVENTS},
}
CONTROL_WAVES: Final = pl.Schema({name: column.dtype for name, column in CONTROL_WAVE_COLUMNS.items()})
CONTROL_WAVE_TEXTS: Final = {**EVENT_WAVE_TEXTS, **_KEY_TEXTS}
# What an event and its control have a difference of.
OUTCOME_DIFFERENCES: Final = numbers_after(CONTROL_OUTCOME_COLUMNS)
MATCHED_OUTCOMES: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "control_id": pl.String(),
        "symbol": pl.String(),
        "event_type": pl.String(),
        "timestamp": CONTROL_OUTCOMES["timestamp"],
        "control_timestamp": CONTROL_OUTCOMES["timestamp"],
        "in_causal_sample": pl.Boolean(),
        **{name: CONTROL_OUTCOMES[name] for name in OUTCOME_DIFFERENCES},
    }
)


def control_outcomes(rows: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """What followed each control with a bar in its minute (CONTROL_OUTCOMES), sorted by control_of.

    Args:
        rows: what `control_rows` returns.
        outcomes: EVENT_OUTCOMES of these rows, by their `event_id`.
    """
    return _named(rows, outcomes, CONTROL_OUTCOMES)


def control_waves(rows: pl.DataFrame, waves: pl.DataFrame) -> pl.DataFrame:
    """The legs after each control (CONTROL_WAVES), sorted by control_of and leg.

    Args:
        rows: what `control_rows` returns.
        waves: EVENT_WAVES of these rows, by their `event_id` and in the order of the legs.
    """
    return _named(rows, waves, CONTROL_WAVES)


def matched_outcomes(events: pl.LazyFrame, outcomes: pl.LazyFrame, controls: pl.LazyFrame) -> pl.LazyFrame:
    """Number of the event minus number of its control (MATCHED_OUTCOMES), one row per pair; null where either is.

    Args:
        events: `event_id` and `in_causal_sample` of the events: others are left out.
        outcomes: EVENT_OUTCOMES of the events.
        controls: CONTROL_OUTCOMES.
    """
    known = events.select("event_id", "in_causal_sample")
    return minus_control(
        outcomes.join(known, on="event_id", how="inner"), controls, MATCHED_OUTCOMES, OUTCOME_DIFFERENCES
    )


def _named(rows: pl.DataFrame, table: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    named = table.join(rows.select("event_id", *_KEYS), on="event_id", how="inner", maintain_order="left")
    return named.sort("control_of", maintain_order=True).select(*schema).match_to_schema(schema)
