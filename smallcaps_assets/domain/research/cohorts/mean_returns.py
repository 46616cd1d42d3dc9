"""Mean returns of groups of events, with intervals whose errors are clustered by date (research specification, 6.3)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.cohorts.student import critical_value

MEAN_RETURNS: Final = pl.Schema(
    {
        "n": pl.Int64(),
        "n_days": pl.Int64(),
        "win_rate": pl.Float64(),
        "mean": pl.Float64(),
        "se": pl.Float64(),
        "mean_lo": pl.Float64(),
        "mean_hi": pl.Float64(),
    }
)
# of an interval that holds the mean in 95 of 100 cases
_TAIL: Final = 0.025


def mean_returns(returns: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """MEAN_RETURNS of each group, with its `keys`, in no order.

    Events of one date move together, so the error of the mean is clustered by date; the interval is mean -+ t x se, t
    from Student's distribution with n_days - 1 degrees. `se` is null of one date; the interval also where se is 0.

    Args:
        returns: `keys`, `date`, and `value`, a return as a fraction; rows where it is null are left out.
        keys: of the groups.
    """
    known = returns.filter(pl.col("value").is_not_null())
    known = known.with_columns(deviation=pl.col("value") - pl.col("value").mean().over(keys))
    dates = known.group_by(*keys, "date").agg(
        n=pl.len().cast(pl.Int64),
        wins=(pl.col("value") > 0).sum(),
        total=pl.col("value").sum(),
        square=pl.col("deviation").sum() ** 2,
    )
    n, n_days = pl.col("n"), pl.col("n_days")
    groups = (
        dates.group_by(*keys)
        .agg(pl.col("n", "wins", "total", "square").sum(), n_days=pl.len().cast(pl.Int64))
        .with_columns(
            win_rate=pl.col("wins") / n,
            mean=pl.col("total") / n,
            se=pl.when(n_days > 1).then((n_days / (n_days - 1) * pl.col("square")).sqrt() / n),
        )
    )
    degrees = np.maximum(groups["n_days"].to_numpy() - 1, 1).astype(np.float64)
    width = pl.when(pl.col("se") > 0).then(pl.col("se") * pl.Series(critical_value(_TAIL, degrees)))
    found = groups.with_columns(mean_lo=pl.col("mean") - width, mean_hi=pl.col("mean") + width)
    return found.select(*keys, *(pl.col(name).cast(dtype) for name, dtype in MEAN_RETURNS.items()))
