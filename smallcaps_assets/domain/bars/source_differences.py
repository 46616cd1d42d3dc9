"""Differences between two sources of the same minute bars, counted by kind."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.unknown import known
from smallcaps_assets.domain.imports.conflicts import SAME
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_noun

ONLY_FIRST, ONLY_SECOND = "only_first", "only_second"
# values that agree to six digits but not to the last one
ROUNDING: Final = "rounding"
KINDS: Final = (ONLY_FIRST, ONLY_SECOND, "prices", "volume", "transactions", ROUNDING)
# kinds that change events; a value that is only rounded otherwise hardly does
WEIGHTY: Final = KINDS[:-1]
# one row per minute and kind in which two sources differ, with the values of both as a text
MINUTE_DIFFERENCES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": BARS["timestamp"],
        "kind": pl.String(),
        "first": pl.String(),
        "second": pl.String(),
    }
)
_PRICES: Final = ("open", "high", "low", "close")
_SECOND: Final = " second"
_MINUTE: Final = ("symbol", "timestamp")


def find_differences(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """The minutes (MINUTE_DIFFERENCES) in which two sources of bars differ, in order of symbol, time and kind.

    Values that mean "not known" count as null. vwap is not compared: flat files have none.

    Args:
        first: bars, unique by symbol and timestamp; columns of BARS, of which vwap may be missing.
        second: the same of the other source.
    """
    columns = [*_MINUTE, *_PRICES, "volume", "transactions"]
    count = known("transactions").alias("transactions")
    one, other = (bars.select(columns).with_columns(count) for bars in (first, second))
    if one.equals(other):
        return MINUTE_DIFFERENCES.to_frame()
    both = one.with_columns(here=pl.lit(value=True)).join(
        other.with_columns(there=pl.lit(value=True)), on=_MINUTE, how="full", suffix=_SECOND, coalesce=True
    )
    is_in_both = pl.col("here").is_not_null() & pl.col("there").is_not_null()
    is_other = {name: pl.col(name).ne_missing(pl.col(f"{name}{_SECOND}")) for name in columns[2:]}
    is_far = {name: is_other[name] & ~_is_close(name) for name in (*_PRICES, "volume")}
    prices = pl.any_horizontal(is_far[name] for name in _PRICES)
    rounded = pl.any_horizontal(is_other[name] for name in is_far) & ~pl.any_horizontal(is_far.values())
    found = {
        ONLY_FIRST: (pl.col("there").is_null(), (*_PRICES, "volume", "transactions")),
        ONLY_SECOND: (pl.col("here").is_null(), (*_PRICES, "volume", "transactions")),
        "prices": (is_in_both & prices, _PRICES),
        "volume": (is_in_both & is_far["volume"], ("volume",)),
        "transactions": (is_in_both & is_other["transactions"], ("transactions",)),
        ROUNDING: (is_in_both & rounded, (*_PRICES, "volume")),
    }
    parts = [
        both.filter(is_found).select(
            *_MINUTE,
            kind=pl.lit(kind),
            first=pl.lit(None, pl.String()) if kind == ONLY_SECOND else _in_words(names, ""),
            second=pl.lit(None, pl.String()) if kind == ONLY_FIRST else _in_words(names, _SECOND),
        )
        for kind, (is_found, names) in found.items()
    ]
    return pl.concat(parts).match_to_schema(MINUTE_DIFFERENCES).sort(*_MINUTE, "kind", maintain_order=True)


def count_kinds(differences: pl.DataFrame) -> dict[str, int]:
    """The number of minutes (MINUTE_DIFFERENCES) of each kind that there is, in the order of KINDS."""
    counts = dict(differences.group_by("kind").len().iter_rows()) if differences.height else {}
    return {kind: counts[kind] for kind in KINDS if kind in counts}


def count_by_day(differences: pl.DataFrame) -> dict[date, dict[str, int]]:
    """The same by New York date."""
    if differences.is_empty():
        return {}
    days = differences.with_columns(day=new_york_date(pl.col("timestamp")))
    return {day: count_kinds(part) for (day,), part in days.group_by("day", maintain_order=True)}


def describe_differences(counts: Mapping[str, int], first: str, second: str) -> str:
    """Counts by kind in words, such as `2 minutes only in REST, 1 minute with another volume`."""
    words = {
        ONLY_FIRST: f"only in {first}",
        ONLY_SECOND: f"only in {second}",
        "prices": "with other prices",
        "volume": "with another volume",
        "transactions": "with another number of transactions",
        ROUNDING: "that differ after the sixth digit",
    }
    return ", ".join(f"{count_noun(counts[kind], 'minute')} {words[kind]}" for kind in KINDS if counts.get(kind))


def _is_close(name: str) -> pl.Expr:
    one, other = pl.col(name), pl.col(f"{name}{_SECOND}")
    return ((one - other).abs() <= SAME * one.abs()).fill_null(value=False)


def _in_words(names: tuple[str, ...], suffix: str) -> pl.Expr:
    values = [
        pl.concat_str(pl.lit(f"{name} "), pl.col(f"{name}{suffix}").cast(pl.String).fill_null("unknown"))
        for name in names
    ]
    return pl.concat_str(values, separator=", ")
