"""Mean returns of groups of events, with intervals whose errors are clustered by date (research specification, 6.3)."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.statistics.intervals import with_intervals

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
_ROUNDING: Final = 1e-12


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
    return _of_dates(dates, keys)


def mean_returns_of_dates(dates: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """As `mean_returns`, of returns that are already added up by date: a large table need not be in memory.

    Args:
        dates: `keys`, and of each date with such returns a row: `n`, how many; `wins`, how many above 0; `total`, their
            sum. Rows without a return are left out; a group that has none is not in the result.
        keys: of the groups.
    """
    known = dates.filter(pl.col("n") > 0)
    mean = (pl.col("total").sum() / pl.col("n").sum()).over(keys)
    deviation = pl.col("total") - pl.col("n") * mean
    # below it a deviation is due to rounding: the returns are equal
    is_known = deviation.abs() > _ROUNDING * pl.col("total").abs()
    return _of_dates(known.with_columns(square=pl.when(is_known).then(deviation**2).otherwise(0.0)), keys)


def _of_dates(dates: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """MEAN_RETURNS of `n`, `wins`, `total` and `square`, the squared sum of the deviations, of each date."""
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
    return with_intervals(groups).select(*keys, *(pl.col(name).cast(dtype) for name, dtype in MEAN_RETURNS.items()))
