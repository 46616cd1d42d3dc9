"""The opening book of a span: the last quote before its start, which is in force when it begins (specification, 6)."""

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import UTC_NS

# Quotes are requested from so long before the start of a span.
OPENING_LEAD: Final = timedelta(seconds=60)


def stamped_before(start: datetime) -> pl.Expr:
    """Whether a row lies before `start` (UTC; Boolean, null where its timestamp is)."""
    return pl.col("timestamp") < pl.lit(start).cast(UTC_NS)


def keep_opening_book(quotes: pl.DataFrame, start: datetime) -> pl.DataFrame:
    """Quotes, sorted by time, without those before `start` except the last of them.

    Args:
        quotes: quotes of a span, requested from OPENING_LEAD before its start.
        start: the start of the span.
    """
    before = quotes.select(stamped_before(start).sum()).item()
    return quotes.slice(max(before - 1, 0))


def count_opening_book(quotes: pl.DataFrame, start: datetime) -> int:
    """Number of rows before the start of the span: 1 with an opening book, otherwise 0."""
    return int(quotes.select(stamped_before(start).sum()).item())
