"""Columns of tape files and how they evolve.

Columns are only ever added: never renamed, retyped or removed. To add one, extend its schema in `domain.tables` and
raise TAPE_SCHEMA_NUMBER. Files written before are read with nulls in the new column; they are stale, and fetched again
only on request.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import polars as pl

from smallcaps_assets.domain.tables import QUOTES, QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import LakeError

TapeKind = Literal["trades", "quotes"]
TAPE_KINDS: Final[tuple[TapeKind, ...]] = ("trades", "quotes")

# Recorded in every footer beside the columns themselves.
TAPE_SCHEMA_NUMBER: Final = 2
TAPE_SCHEMAS: Final[dict[tuple[str, str], pl.Schema]] = {
    ("trades", "minimal"): TRADES,
    ("trades", "all"): TRADES_ALL,
    ("quotes", "minimal"): QUOTES,
    ("quotes", "all"): QUOTES_ALL,
}

# Footer entry of quotes: rows before the start of their span, 0 or 1.
OPENING_BOOK: Final = "opening_book"

# The columns of files whose footer records no schema, written by release 0.1. Never changes.
_TRADES_0_1: Final = ("timestamp", "price", "size", "exchange", "conditions", "sequence_number", "trade_id")
_QUOTES_0_1: Final = (
    *("timestamp", "bid_price", "bid_size", "ask_price", "ask_size", "bid_exchange", "ask_exchange"),
    *("indicators", "conditions", "sequence_number"),
)
UNRECORDED_COLUMNS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("trades", "minimal"): _TRADES_0_1,
    ("trades", "all"): (*_TRADES_0_1, "participant_timestamp", "trf_timestamp", "trf_id", "correction", "tape"),
    ("quotes", "minimal"): _QUOTES_0_1,
    ("quotes", "all"): (*_QUOTES_0_1, "participant_timestamp", "tape"),
}


def describe_stale(missing: pl.Series) -> str | None:
    """How many windows are stale and why, in words; None where none is.

    Args:
        missing: the missing columns of each window (List(String); null where nothing is published).
    """
    stale = missing.filter(missing.list.len() > 0)
    if stale.is_empty():
        return None
    names = stale.explode().unique().sort()
    plural = "s" if names.len() > 1 else ""
    windows = count_clause(stale.len(), "window lacks", "windows lack")
    return f"{windows} column{plural} {', '.join(names)}"


def schema_record(schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    """The footer entries that describe the columns of a new file."""
    columns = [[name, str(dtype)] for name, dtype in schema.items()]
    return {"schema_number": TAPE_SCHEMA_NUMBER, "schema": columns}


def recorded_schema(kind: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    """Columns and types, as text and in order, of the file that `provenance` describes.

    Raises:
        LakeError: the provenance records neither columns and types nor a set of columns that a release wrote.
    """
    recorded, columns = provenance.get("schema"), provenance.get("columns", "minimal")
    if recorded is not None:
        try:
            return {str(name): str(dtype) for name, dtype in recorded}
        except (TypeError, ValueError) as error:
            raise LakeError(f"its footer records no columns and types: schema is {recorded!r}.") from error
    if (kind, columns) not in UNRECORDED_COLUMNS:
        raise LakeError(f"its footer records no known columns: columns is {columns!r}.")
    known = {**TAPE_SCHEMAS[kind, "all"], **TAPE_SCHEMAS[kind, "minimal"]}
    return {name: str(known[name]) for name in UNRECORDED_COLUMNS[kind, columns]}


def missing_columns(kind: str, required: Collection[str], provenance: Mapping[str, Any]) -> list[str]:
    """Columns of `required` that a file lacks, in their order; a file without rows lacks none.

    Quotes that were requested without the book before their start lack OPENING_BOOK as well.

    Raises:
        LakeError: see `recorded_schema`.
    """
    if provenance.get("rows") == 0:
        return []
    present = recorded_schema(kind, provenance)
    missing = [name for name in required if name not in present]
    return [*missing, OPENING_BOOK] if kind == "quotes" and OPENING_BOOK not in provenance else missing
