"""Thinning of quotes: fewer rows, the same best bid and ask at every clock tick (specification, section 6)."""

from fractions import Fraction
from typing import Final, TypeVar

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params

_NS_PER_SECOND: Final = 1_000_000_000
LOWEST_HZ: Final = 0.000_001
Quotes = TypeVar("Quotes", pl.DataFrame, pl.LazyFrame)
BOOK: Final = ("bid_price", "bid_size", "ask_price", "ask_size")


class Thinning(Params):
    """Which quotes are kept: the last of each interval of 1/max_hz seconds, and optionally only changes of the book."""

    by_change_only: bool
    max_hz: int = Field(gt=0, le=1_000)

    def resolves(self, asked: "Thinning") -> bool:
        """Whether a stream thinned like this has at least the resolution of one thinned as `asked`."""
        return self.max_hz >= asked.max_hz and (asked.by_change_only or not self.by_change_only)


def changes() -> pl.Expr:
    """Whether a row's book differs from that of the row before (Boolean, never null)."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in BOOK)


def interval(hz: float) -> pl.Expr:
    """Number k of the interval [k/hz, (k+1)/hz), in seconds since the epoch, that contains `timestamp` (Int64, exact).

    Rates from LOWEST_HZ to 1,000 are used as fractions with a denominator of at most a million: 0.7 is 7/10.
    """
    rate = Fraction(hz).limit_denominator(1_000_000)
    nanoseconds = pl.col("timestamp").dt.epoch("ns")
    period = _NS_PER_SECOND / rate
    if period.denominator == 1:
        return nanoseconds // period.numerator
    # whole seconds and remainder separately, so that products fit into 64 bits
    seconds, rest = nanoseconds // _NS_PER_SECOND, nanoseconds % _NS_PER_SECOND
    turns = seconds * rate.numerator
    return turns // rate.denominator + (turns % rate.denominator * _NS_PER_SECOND + rest * rate.numerator) // (
        _NS_PER_SECOND * rate.denominator
    )


def thin(quotes: Quotes, thinning: Thinning) -> Quotes:
    """Thin the quotes of one span, sorted by (timestamp, sequence_number).

    At every multiple of 1/max_hz seconds after the first row, the bid and ask in force are those of the full stream.
    The first row is always kept.
    """
    first = pl.int_range(pl.len()) == 0
    changed = quotes.filter(first | changes()) if thinning.by_change_only else quotes
    tick = interval(thinning.max_hz)
    last_of_interval = (tick != tick.shift(-1)).fill_null(value=True)
    thinned = changed.filter(first | last_of_interval)
    return thinned.filter(first | changes()) if thinning.by_change_only else thinned


def thin_frame(quotes: pl.DataFrame, thinning: Thinning) -> pl.DataFrame:
    """Thin quotes in memory as `thin` does; until the kept rows are known, only the deciding columns are copied."""
    deciding = quotes.select("timestamp", *BOOK).with_row_index("row")
    return quotes[thin(deciding, thinning)["row"]]
