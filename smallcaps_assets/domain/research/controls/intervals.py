"""How many moments of a symbol lie in intervals of it."""

import polars as pl


def count_inside(moments: pl.DataFrame, intervals: pl.DataFrame) -> pl.Series:
    """How many rows of `moments` lie in each of `intervals`, half open (Int64), in the order of the intervals.

    Args:
        moments: columns symbol and `timestamp`, in any order; repeats count.
        intervals: columns symbol, `start` and `end`, of the same type as `timestamp`; none is null.
    """
    numbered = (
        moments.select("symbol", "timestamp")
        .sort("symbol", "timestamp")
        .with_columns(number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("symbol"))
        .sort("timestamp", maintain_order=True)
    )
    return (_before(numbered, intervals, "end") - _before(numbered, intervals, "start")).alias("inside")


def _before(numbered: pl.DataFrame, intervals: pl.DataFrame, bound: str) -> pl.Series:
    """How many moments of its symbol lie before a bound of each interval."""
    bounds = intervals.select("symbol", at=bound).with_row_index("row").sort("at", maintain_order=True)
    found = bounds.join_asof(
        numbered,
        left_on="at",
        right_on="timestamp",
        by="symbol",
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.sort("row")["number"].fill_null(0)
