"""Columns of tables as arrays."""

import numpy as np
import numpy.typing as npt
import polars as pl

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def micro_dollars(prices: FloatArray) -> IntArray:
    """u(p) of each price in USD: whole micro-dollars, half of one rounded up, as `prices.micro`."""
    return np.floor(prices * 1e6 + 0.5).astype(np.int64)


def zero_filled(values: pl.Series) -> FloatArray:
    """A column of prices or sizes; null and NaN as 0."""
    return values.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()
