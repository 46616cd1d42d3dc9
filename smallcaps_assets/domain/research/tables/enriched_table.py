"""Events with what followed them: one row per event (research specification, sections 3.4 and 3.5)."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.tables.bar_descriptions import SCORE_TEXTS
from smallcaps_assets.domain.research.tables.bar_tables import (
    EVENT_RECONCILIATION_COLUMNS,
    EVENT_SCORE_COLUMNS,
    schema_of,
)
from smallcaps_assets.domain.research.tables.tape_columns import TAPE_STATE_COLUMNS
from smallcaps_assets.domain.research.tables.tape_descriptions import EVENT_RECONCILIATION_TEXTS, TAPE_STATE_TEXTS
from smallcaps_assets.domain.research.tables.wave_descriptions import EVENT_OUTCOME_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOME_COLUMNS
from smallcaps_assets.domain.tables import EVENTS

_UNITS: Final = {
    "spike_x": "x",
    **dict.fromkeys(("open", "high", "low", "close", "vwap_at_event"), "USD"),
    **dict.fromkeys(("dollar_volume", "dollar_volume_day", "dollar_volume_to_event"), "USD"),
    "volume": "shares",
    "score": "fraction",
    "tier": "class",
    "flatness_score": "ratio",
    "rvol_day": "x",
    "transactions": "trades",
}
_KEYS: Final = ("event_id", "symbol", "timestamp", "event_type", "direction", "session", "date")
# of the day as a whole, or by comparison with events that came later
_HINDSIGHT: Final = ("rvol_day", "dollar_volume_day", "event_group_id")


def _of_event(name: str) -> ResearchColumn:
    known: Availability = "key" if name in _KEYS else "post" if name in _HINDSIGHT else "pre"
    return ResearchColumn(name, EVENTS[name], _UNITS.get(name, ""), known)


def _columns() -> Iterator[ResearchColumn]:
    yield from map(_of_event, dict.fromkeys([*_KEYS, *EVENTS]))
    tables = (EVENT_OUTCOME_COLUMNS, EVENT_SCORE_COLUMNS, EVENT_RECONCILIATION_COLUMNS, TAPE_STATE_COLUMNS)
    for columns in tables:
        yield from (column for name, column in columns.items() if name not in EVENTS)


ENRICHED_COLUMNS: Final = {column.name: column for column in _columns()}
ENRICHED: Final = schema_of(ENRICHED_COLUMNS)
# what bars alone give of it
WITH_WAVES: Final = pl.Schema(
    {name: dtype for name, dtype in ENRICHED.items() if name in EVENTS or name in EVENT_OUTCOME_COLUMNS}
)
ENRICHED_TEXTS: Final[Mapping[str, str]] = {
    **{name: COLUMNS[name] for name in EVENTS},
    **EVENT_OUTCOME_TEXTS,
    **SCORE_TEXTS,
    **EVENT_RECONCILIATION_TEXTS,
    **TAPE_STATE_TEXTS,
}


class EnrichedParts(NamedTuple):
    """What is joined to events; rows of other events are ignored, and an event without a row has nulls.

    Attributes:
        scores: EVENT_SCORES.
        reconciliation: EVENT_RECONCILIATION.
        state: EVENT_TAPE_STATE.
    """

    scores: pl.DataFrame
    reconciliation: pl.DataFrame
    state: pl.DataFrame


def events_with_waves(events: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """WITH_WAVES: each row of `outcomes` (EVENT_OUTCOMES) with its event (EVENTS), in their order."""
    rows = events.select(*EVENTS)
    own = outcomes.select("event_id", *(name for name in outcomes.columns if name not in EVENTS))
    joined = own.join(rows, on="event_id", how="left", maintain_order="left", validate="1:1")
    return joined.select(*WITH_WAVES).match_to_schema(WITH_WAVES)


def enrich_events(rows: pl.DataFrame, parts: EnrichedParts) -> pl.DataFrame:
    """ENRICHED of events with their outcomes, see `events_with_waves`, in their order."""
    for table in parts:
        rows = rows.join(table, on="event_id", how="left", maintain_order="left", validate="1:1")
    return rows.select(*ENRICHED).match_to_schema(ENRICHED)
