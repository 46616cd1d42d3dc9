"""Symbols or sessions whose prices are whole numbers throughout, as prices in cents or in 1e-4 dollars are.

No stock trades at whole dollars only while its price moves, but the few whose price is above MOST_WHOLE_USD.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import new_york_dates

# Differing prices of so many bars without any fraction are not in dollars; of fewer it may be chance.
LEAST_WHOLE: Final = 20
# One US stock trades above it, often at whole dollars.
MOST_WHOLE_USD: Final = 100_000.0
# A session whose prices are so many times those of the others of its symbol is in another unit.
LEAST_TIMES: Final = 20.0
WHOLE_PRICES: Final = "prices are whole numbers, as prices in parts of a dollar are"
_PRICES: Final = ("open", "high", "low", "close")


def find_whole_sessions(bars: pl.DataFrame, file: Sequence[str] = ()) -> pl.DataFrame:
    """Sessions whose prices are no dollars: the columns of `file`, `symbol`, `day` (ET date).

    None of their prices has a fraction. They are all sessions of their symbol in a file, or have LEAST_TIMES the prices
    of the others; and they have LEAST_WHOLE bars or more in which the price moves, and stays below MOST_WHOLE_USD.

    Args:
        bars: `symbol`, `timestamp` and prices of usable bars, and the columns of `file`, in any order.
        file: the columns that name the file of a row.
    """
    of_symbol = [*file, "symbol"]
    close, is_whole = pl.col("close"), pl.all_horizontal(pl.col(name) == pl.col(name).floor() for name in _PRICES)
    counts = bars.filter(is_whole).group_by(of_symbol).len().filter(pl.col("len") >= LEAST_WHOLE)
    # most symbols have few such bars
    rows = bars.join(counts, on=of_symbol, how="semi")
    days = (
        rows.with_columns(day=new_york_dates(rows["timestamp"]), is_whole=is_whole)
        .group_by(*of_symbol, "day")
        .agg(
            rows=pl.len(),
            is_whole=pl.col("is_whole").all(),
            low=pl.col("low").min(),
            high=pl.col("high").max(),
            close=close.median(),
        )
    )
    whole, others = pl.col("is_whole"), close.filter(~pl.col("is_whole")).median().over(of_symbol)
    return (
        days.with_columns(others=others)
        .filter(whole & (others.is_null() | (close >= LEAST_TIMES * pl.col("others"))))
        .filter(pl.col("rows").sum().over(of_symbol) >= LEAST_WHOLE)
        .filter(pl.col("high").max().over(of_symbol) > pl.col("low").min().over(of_symbol))
        .filter(pl.col("high").max().over(of_symbol) < MOST_WHOLE_USD)
        .select(*of_symbol, "day")
        .sort(*of_symbol, "day")
    )
