"""Prices in whole micro-dollars, so that comparisons of prices are exact (research specification, section 0.1)."""

from typing import Final

import numpy as np
import numpy.typing as npt
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


def least_move(price: npt.NDArray[np.int64], millionths: npt.NDArray[np.int64] | int) -> npt.NDArray[np.int64]:
    """The least whole D, in micro-dollars, with 1e6 x D >= `millionths` x `price`: a share of a price, rounded up.

    A move of a price is compared with D in place of the products, which are beyond Int64 for prices above 9 million
    USD. D itself holds for every `price` in Int64 and shares up to 1 (`millionths` from 0 to 1,000,000).
    """
    whole, rest = price // MICRO, price % MICRO
    move: npt.NDArray[np.int64] = whole * millionths - (-rest * millionths) // MICRO
    return move
