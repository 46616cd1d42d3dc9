"""Values by which vendors say that they do not know: 0 or -1 beside a volume, and numbers too large for any market."""

from collections.abc import Collection
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.domain.words import count_clause

# No dollar volume of a market is as large; vendors write 1.8e308 or 3.4e38 for none.
TOO_LARGE: Final = 1e15
# No US stock trades above it; a higher price is a bad print, in another unit than dollars, or stands for none.
MOST_PRICE_USD: Final = 1_000_000.0
# Half a micro-dollar: prices are compared in whole ones, so that a lower price would count as 0 without being 0.
LEAST_PRICE_USD: Final = 5e-7
# No stock trades as many shares in a minute; vendors write 2^31 - 1, 2^32 - 1 or more for none.
MOST_SHARES: Final = 2e9
# No minute has as many trades; vendors write this number, or 2^63 - 1, for none.
UNSET_COUNT: Final = 2**31 - 1
_MAY_BE: Final = {"vwap": pl.col("vwap") <= MOST_PRICE_USD, "transactions": pl.col("transactions") < UNSET_COUNT}
# columns of bars that may be null: some vendors do not have them, and a bar is usable without
OPTIONAL: Final = tuple(_MAY_BE)
# one row per bar and column whose value meant that it is not known
UNKNOWN: Final = pl.Schema({"symbol": pl.String(), "timestamp": UTC_US, "column": pl.String()})


def known(name: str) -> pl.Expr:
    """A column of OPTIONAL, null where its value means that the vendor does not know it."""
    return pl.when((pl.col(name) > 0) & _MAY_BE[name]).then(name)


def all_known(names: Collection[str] = OPTIONAL) -> list[pl.Expr]:
    """Those of `names` that are in OPTIONAL, see `known`."""
    return [known(name).alias(name) for name in names if name in OPTIONAL]


def find_unknown(bars: pl.DataFrame) -> pl.DataFrame:
    """The values (UNKNOWN) of usable bars that mean that the vendor does not know; nulls do not count."""
    means_unknown = {name: pl.col(name).is_not_null() & known(name).is_null() for name in OPTIONAL}
    counts = bars.select(means_unknown[name].sum().alias(name) for name in OPTIONAL).row(0, named=True)
    found = [
        bars.filter(means_unknown[name]).select("symbol", "timestamp", column=pl.lit(name))
        for name in OPTIONAL
        if counts[name]
    ]
    return pl.concat(found).match_to_schema(UNKNOWN) if found else UNKNOWN.to_frame()


def count_unknown(unknown: pl.DataFrame) -> dict[str, int]:
    """Number of values (UNKNOWN) by column, as the figures `vwap_unknown` and `transactions_unknown`."""
    return {f"{name}_unknown": unknown.filter(column=name).height for name in OPTIONAL}


def describe_unknown(counts: dict[str, int]) -> list[str]:
    """A line about each figure of `count_unknown` that is not 0."""
    lines = {
        "transactions_unknown": "{} a volume but a number of transactions that is 0 or less, not whole or "
        "impossibly large: it is unknown, as if it were missing (null), and tape_speed makes no event of them",
        "vwap_unknown": "{} a vwap that is 0 or less or impossibly large: it is unknown, as if it were missing (null)",
    }
    return [
        text.format(count_clause(counts[name], "bar has", "bars have"))
        for name, text in lines.items()
        if counts.get(name)
    ]
