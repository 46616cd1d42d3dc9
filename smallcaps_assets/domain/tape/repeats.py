"""Repeated rows of tape: exact repeats are removed and counted; rows without any identity are never repeats.

A row is identified by its sequence number or its trade id (quotes have only the number). Null, 0, less and 2^63 - 1 are
no number; null, blanks, zeros, -1 and words for a missing text are no id. Equal rows without identity may be trades
that really happened more than once.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import polars as pl

_NUMBER: Final = "sequence_number"
_ID: Final = "trade_id"
_UNSET_NUMBER: Final = 2**63 - 1
# blanks and zeros, also as 0.0; -1; and what programs write for a missing text, such as nan, None or <NA>
_NO_ID: Final = r"(?i)^\s*([-0.]*|-1(\.0*)?|nan|nat|none|null|<na>|n/?a|\\n)\s*$"
_ROW: Final = " row"
_COPY: Final = " copy"


class WithoutRepeats(NamedTuple):
    """Rows in their order, without exact repeats, and how many were removed."""

    rows: pl.DataFrame
    removed: int


def is_identified(columns: Collection[str]) -> pl.Expr:
    """Whether a row has a sequence number or a trade id; always true of tables that have neither column."""
    known = []
    if _NUMBER in columns:
        known.append(((pl.col(_NUMBER) > 0) & (pl.col(_NUMBER) < _UNSET_NUMBER)).fill_null(value=False))
    if _ID in columns:
        known.append((~pl.col(_ID).str.contains(_NO_ID)).fill_null(value=False))
    return pl.any_horizontal(known) if known else pl.lit(value=True)


def drop_repeats(rows: pl.DataFrame) -> WithoutRepeats:
    """Of identified rows that are equal in every column keep the first; keep every row without identity."""
    marked = rows.with_columns(is_identified(rows.columns).alias(_COPY)).with_row_index(_ROW)
    identified = marked.filter(_COPY).unique(rows.columns, keep="first", maintain_order=True)
    others = marked.filter(~pl.col(_COPY))
    removed = rows.height - identified.height - others.height
    if not removed:
        return WithoutRepeats(rows, 0)
    kept = identified if others.is_empty() else pl.concat([identified, others]).sort(_ROW)
    return WithoutRepeats(kept.drop(_ROW, _COPY), removed)


def merge_overlapping(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of parts that may overlap, in no particular order.

    Each part has every row of the time that it covers, and no repeats: a row of several parts is there once. A row
    without identity is there as often as in the part that has most of it.
    """
    numbered = [_number_copies(part) for part in parts]
    return pl.concat(numbered).unique(maintain_order=True).drop(_COPY)


def _number_copies(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the number of equal rows without identity before each row."""
    named = is_identified(rows.columns)
    if rows.select(named.all()).item():
        return rows.with_columns(pl.lit(0, pl.Int64).alias(_COPY))
    # a list is no key of a window
    keys = [pl.col(name).list.eval(pl.element().cast(pl.String)).list.join(",") for name in _lists(rows)]
    keys += [pl.col(name) for name in rows.columns if name not in _lists(rows)]
    copy = pl.int_range(pl.len(), dtype=pl.Int64).over(keys)
    return rows.with_columns(pl.when(named).then(0).otherwise(copy).alias(_COPY))


def _lists(rows: pl.DataFrame) -> list[str]:
    return [name for name, dtype in rows.schema.items() if dtype == pl.List]
