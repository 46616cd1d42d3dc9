"""What was known of each control when its minute was over, and how its event differed (research specification, 7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.controls.tables import CAPTURED, CONTROL_TEXTS
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_SCORE_COLUMNS, EVENT_SCORES
from smallcaps_assets.domain.research.tables.research_table import (
    RESEARCH_TABLE_COLUMNS,
    ResearchParts,
    research_table,
)
from smallcaps_assets.domain.research.tables.table_descriptions import TABLE_TEXTS

_KEYS: Final = ("control_id", "control_of")
# a control has no score, and is no event of a sample
_OF_EVENTS: Final = {"event_id", "in_causal_sample", "cohort_was_winning", *EVENT_SCORE_COLUMNS}
CONTROL_FEATURE_COLUMNS: Final = {
    **{name: ResearchColumn(name, pl.String(), "", "key") for name in _KEYS},
    **{name: column for name, column in RESEARCH_TABLE_COLUMNS.items() if name not in _OF_EVENTS},
}
CONTROL_FEATURES: Final = pl.Schema({name: column.dtype for name, column in CONTROL_FEATURE_COLUMNS.items()})
CONTROL_FEATURE_TEXTS: Final = {**TABLE_TEXTS, **CONTROL_TEXTS}
# Columns of which an event and its control have a difference: numbers known at the minute.
DIFFERENCES: Final = tuple(
    name
    for name, column in CONTROL_FEATURE_COLUMNS.items()
    if column.availability == "pre" and column.dtype.is_numeric()
)
# What identifies a pair, in a table of differences.
_PAIR: Final = {
    "event_id": pl.String(),
    "control_id": pl.String(),
    "symbol": pl.String(),
    "event_type": pl.String(),
    "timestamp": RESEARCH_TABLE_COLUMNS["timestamp"].dtype,
    "control_timestamp": RESEARCH_TABLE_COLUMNS["timestamp"].dtype,
    "direction": pl.String(),
    "session": pl.String(),
    "in_causal_sample": pl.Boolean(),
}
MATCHED_DIFFERENCE: Final = pl.Schema({**_PAIR, **{name: CONTROL_FEATURES[name] for name in DIFFERENCES}})


def control_rows(controls: pl.DataFrame) -> pl.DataFrame:
    """The rows of a control manifest as events (CAPTURED), each with its own window and direction, and `control_of`.

    `event_id` is the control_id; of further rows with the same it ends with `_2`, `_3` and so on, in the order given.
    """
    number = pl.int_range(1, pl.len() + 1).over("control_id")
    name = (
        pl.when(number == 1)
        .then("control_id")
        .otherwise(pl.concat_str("control_id", number.cast(pl.String), separator="_"))
    )
    return controls.with_columns(event_id=name).select(*CAPTURED, "control_id", "control_of")


def control_features(
    rows: pl.DataFrame, features: pl.DataFrame, micro: pl.DataFrame, state: pl.DataFrame
) -> pl.DataFrame:
    """One row (CONTROL_FEATURES) per row of a control manifest, sorted by symbol, timestamp and control_of.

    Args:
        rows: what `control_rows` returns.
        features: BAR_FEATURES of their minutes, by their `event_id`; a minute without a bar has none.
        micro: MICRO_FEATURES of their windows.
        state: EVENT_TAPE_STATE of their windows.
    """
    parts = ResearchParts(features, EVENT_SCORES.to_frame(), micro, state)
    found = research_table(rows, parts).join(rows.select("event_id", *_KEYS), on="event_id", how="left")
    ordered = found.sort("symbol", "timestamp", "control_of", maintain_order=True)
    return ordered.select(*CONTROL_FEATURES).match_to_schema(CONTROL_FEATURES)


def matched_difference(events: pl.LazyFrame, controls: pl.LazyFrame) -> pl.LazyFrame:
    """Event minus control (MATCHED_DIFFERENCE) for each number that is known at the minute; null where either is.

    One row per control whose event is among `events`, in the order of the controls.

    Args:
        events: RESEARCH_TABLE of the profile.
        controls: CONTROL_FEATURES of the profile.
    """
    of_events = events.select(*(name for name in _PAIR if name in RESEARCH_TABLE_COLUMNS), *DIFFERENCES)
    of_controls = controls.select("control_id", "control_of", "timestamp", *DIFFERENCES)
    joined = of_controls.join(
        of_events, left_on="control_of", right_on="event_id", how="inner", suffix="_event", maintain_order="left"
    )
    differences = {name: pl.col(f"{name}_event") - pl.col(name) for name in DIFFERENCES}
    named = {"event_id": "control_of", "control_timestamp": "timestamp", "timestamp": "timestamp_event"}
    return joined.select(
        **{name: pl.col(named.get(name, name)) for name in _PAIR},
        **{name: found.cast(MATCHED_DIFFERENCE[name]) for name, found in differences.items()},
    )
