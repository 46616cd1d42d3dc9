"""Prices in whole micro-dollars, so that comparisons of prices are exact (research specification, section 0.1)."""

from typing import Final

import polars as pl

MICRO: Final = 1_000_000
BPS: Final = 1e4


def micro(column: str | pl.Expr) -> pl.Expr:
    """u(p): a price in USD (Float64) as Int64 micro-dollars, half of one rounded up; null where the price is null.

    Prices are compared in these integers and with products of them. Comparisons of floats and of quotients fall
    differently on the tick grid.
    """
    price = pl.col(column) if isinstance(column, str) else column
    return (price * 1e6 + 0.5).floor().cast(pl.Int64)


def usd(micros: pl.Expr) -> pl.Expr:
    """Float64 USD of a number of micro-dollars, such as the difference of two prices."""
    return micros.cast(pl.Float64) / MICRO
