"""Thinning of the NBBO: fewer rows, the same best bid and ask at every tick of a clock (specification, section 6)."""

from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params

NS_PER_SECOND: Final = 1_000_000_000
BOOK: Final = ("bid_price", "bid_size", "ask_price", "ask_size")


class Thinning(Params):
    """Which quotes are kept: only changes of the book, and at most the last of each interval of 1/max_hz seconds."""

    by_change_only: bool
    max_hz: int = Field(gt=0, le=1_000)


def _changes() -> pl.Expr:
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in BOOK)


def thin(quotes: pl.LazyFrame, thinning: Thinning) -> pl.LazyFrame:
    """Thin quotes of one span, sorted by (timestamp, sequence_number).

    At every multiple of 1/max_hz seconds after the first row, the bid and ask in force are those of the full stream.
    The first row always stays.
    """
    first = pl.int_range(pl.len()) == 0
    changed = quotes.filter(first | _changes()) if thinning.by_change_only else quotes
    nanoseconds = pl.col("timestamp").dt.epoch("ns")
    # seconds and rest apart, so that the product stays within 64 bits
    interval = (nanoseconds // NS_PER_SECOND) * thinning.max_hz + (
        nanoseconds % NS_PER_SECOND
    ) * thinning.max_hz // NS_PER_SECOND
    last_of_interval = (interval != interval.shift(-1)).fill_null(value=True)
    thinned = changed.filter(first | last_of_interval)
    return thinned.filter(first | _changes()) if thinning.by_change_only else thinned
