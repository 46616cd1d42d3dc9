"""Rules that the rows of every tape file must meet."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tape.repeats import is_identified

UNIQUE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("timestamp", "sequence_number", "trade_id"),
    "quotes": ("timestamp", "sequence_number"),
}
TAPE_PRICES: Final[Mapping[str, tuple[str, ...]]] = {"trades": ("price",), "quotes": ("bid_price", "ask_price")}
_SIZES: Final[Mapping[str, tuple[str, ...]]] = {"trades": ("size",), "quotes": ("bid_size", "ask_size")}
# A book may be crossed for moments while exchanges lag each other; with bid and ask mixed up it nearly always is.
MOST_CROSSED: Final = 0.1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class TapeRule(NamedTuple):
    """What is wrong with rows that break the rule, what is expected, and an expression that counts them."""

    what: str
    expected: str
    broken: pl.Expr


def tape_rules(kind: str, start: datetime, end: datetime) -> list[TapeRule]:
    """The rules for the trades or quotes of a span [start, end); expressions apply to a frame with their columns."""
    time, number = pl.col("timestamp"), pl.col("sequence_number")
    same_time = time == time.shift()
    falls = (time < time.shift()) | (same_time & (number < number.shift()))
    tied = (same_time & (number == number.shift())).fill_null(value=False)
    # only rows with the time and number of a neighbour can have the same key; rows without identity have none
    tied = (tied | tied.shift(-1, fill_value=False)) & is_identified(UNIQUE_KEYS[kind])
    # as integers: a literal with a time zone costs Polars an extra query
    inside = time.to_physical().is_between(_ns(start), _ns(end), closed="left").fill_null(value=False)
    rules = [
        TapeRule("rows out of order", "sorted by (timestamp, sequence_number)", falls.sum()),
        TapeRule(
            "rows more than once",
            f"no ({', '.join(UNIQUE_KEYS[kind])}) twice",
            pl.struct(UNIQUE_KEYS[kind]).filter(tied).is_duplicated().sum(),
        ),
        TapeRule("rows outside its span", f"[{start:%Y-%m-%d %H:%M:%S}, {end:%Y-%m-%d %H:%M:%S}) UTC", (~inside).sum()),
    ]
    rules += [
        TapeRule(f"{name} is not a finite number", "no NaN, no infinity", (~pl.col(name).is_finite()).sum())
        for name in (*TAPE_PRICES[kind], *_SIZES[kind])
    ]
    rules += [TapeRule(f"{name} is below 0", "0 or more", (pl.col(name) < 0).sum()) for name in _SIZES[kind]]
    if kind == "trades":
        positive = (pl.col("price") > 0).fill_null(value=False)
        return [*rules, TapeRule("price is not above 0", "more than 0", (~positive).sum())]
    bid, ask = pl.col("bid_price"), pl.col("ask_price")
    both = (bid > 0) & (ask > 0)
    crossed = (both & (ask < bid)).sum()
    # one crossed row is allowed in a span of any length
    most = pl.max_horizontal(pl.lit(1.0), MOST_CROSSED * both.sum())
    least = f"ask_price >= bid_price in {1 - MOST_CROSSED:.0%} of the rows with both"
    return [*rules, TapeRule("the book is crossed", least, pl.when(crossed > most).then(crossed).otherwise(0))]


def _ns(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1_000
