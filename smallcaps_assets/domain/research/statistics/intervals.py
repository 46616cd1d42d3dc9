"""Intervals of mean returns whose errors are clustered by date (research specification, section 6.3)."""

from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.statistics.student import critical_value

# of an interval that holds the mean in 95 of 100 cases
_TAIL: Final = 0.025


def with_intervals(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `mean_lo` and `mean_hi`, the 95 % interval of their mean: mean -+ t x se.

    t is from Student's distribution with n_days - 1 degrees. Both are null where there is no error: of one date, and
    where it is 0.

    Args:
        rows: `mean` and `se`, fractions, and `n_days`; COHORTS has them.
    """
    degrees = np.maximum(rows["n_days"].to_numpy() - 1, 1).astype(np.float64)
    width = pl.when(pl.col("se") > 0).then(pl.col("se") * pl.Series(critical_value(_TAIL, degrees), dtype=pl.Float64))
    return rows.with_columns(mean_lo=pl.col("mean") - width, mean_hi=pl.col("mean") + width)
