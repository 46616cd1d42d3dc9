"""Figures of events as columns with nulls."""

from typing import Any

import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray


def nullable(name: str, values: npt.NDArray[Any], known: BoolArray) -> pl.Series:
    """`values` with nulls where they are not known."""
    return pl.Series(name, values).set(pl.Series(~known), None)
