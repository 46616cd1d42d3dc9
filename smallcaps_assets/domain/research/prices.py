"""Prices as whole micro-dollars: comparisons of prices are comparisons of integers."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

MICROS_PER_USD: Final = 1e6

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def micro_dollars(prices: FloatArray) -> IntArray:
    """Each price in whole micro-dollars, rounded half up; prices must be finite."""
    return np.floor(MICROS_PER_USD * prices + 0.5).astype(np.int64)


def zero_filled(values: pl.Series) -> FloatArray:
    """A column of prices or sizes; null and NaN as 0."""
    return values.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
