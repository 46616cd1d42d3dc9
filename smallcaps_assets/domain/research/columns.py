"""What is said of each column of the research tables."""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import polars as pl

Availability = Literal["key", "pre", "seg", "post"]
TapeHalf = Literal["trades", "quotes", "both", "none"]


class ResearchColumn(NamedTuple):
    """One column of a research table.

    Attributes:
        name: of the column.
        dtype: its type.
        unit: what its numbers count; empty for text, flags, times and ratios.
        availability: `key`, or when its numbers are known: `pre` when the event is, `seg` at `available_at` of the
            row (for the rows of `pre3`, `pre_all` and `bar` that is not after the event is known), `post` later.
        half: the tape without which it is null.
    """

    name: str
    dtype: pl.DataType
    unit: str
    availability: Availability
    half: TapeHalf = "none"


def describe_columns(columns: Iterable[ResearchColumn], texts: Mapping[str, str]) -> dict[str, str]:
    """Descriptions by column for the catalog: the text, then when the column is known and its unit.

    Raises:
        KeyError: a column has no text.
    """
    return {
        column.name: f"{texts[column.name]} [{'; '.join(filter(None, (column.availability, column.unit)))}]"
        for column in columns
    }
