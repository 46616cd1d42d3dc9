"""Columns of the research tables about the state of the market that tape shows: type, unit and when they are known."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE


def _described(schema: pl.Schema, columns: dict[str, tuple[Availability, str]]) -> dict[str, ResearchColumn]:
    return {name: ResearchColumn(name, schema[name], unit, known) for name, (known, unit) in columns.items()}


TAPE_STATE_COLUMNS: Final = _described(
    EVENT_TAPE_STATE,
    {
        "event_id": ("key", ""),
        "in_halt_aftermath": ("pre", ""),
        "halt_in_window": ("post", ""),
        "ssr_condition": ("pre", ""),
    },
)
# Halts that the tape of an event's window shows: HALTS with an event.
TAPE_HALT_COLUMNS: Final = _described(
    HALTS,
    {
        "event_id": ("key", ""),
        "symbol": ("key", ""),
        "start": ("key", ""),
        "end": ("post", ""),
        "seconds": ("post", "s"),
        "n5": ("post", "trades"),
        "date": ("key", ""),
        "confidence": ("key", ""),
    },
)
TAPE_HALTS: Final = schema_of(TAPE_HALT_COLUMNS)
