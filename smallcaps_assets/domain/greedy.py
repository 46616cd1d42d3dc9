"""Greedy time windows: the first row opens one, the next row outside opens the next."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl


def window_numbers(rows: pl.DataFrame, by: Sequence[str], length: timedelta) -> pl.Series:
    """Number of the window of each row of `rows`, which are sorted by `by` and `timestamp`.

    Within each group a window spans [t, t + length) from its first row. Rows that open a window are those reachable
    from the first of a group by "the first row at or after my end"; doubling the jumps finds them in a logarithmic
    number of passes over all groups at once.
    """
    moments = rows.select(*by, "timestamp").unique(maintain_order=True).with_row_index("row")
    ends = moments.select(*by, end=pl.col("timestamp") + length)
    later = ends.join_asof(
        moments, left_on="end", right_on="timestamp", by=list(by), strategy="forward", check_sortedness=False
    )
    nowhere = moments.height
    jump = later["row"].fill_null(nowhere).append(pl.Series([nowhere], dtype=pl.UInt32))
    opens = moments.select(pl.struct(by).is_first_distinct()).to_series()
    rows_of = pl.Series(range(nowhere), dtype=pl.UInt32)
    while True:
        reached = jump.gather(rows_of.filter(opens)).unique()
        grown = opens | rows_of.is_in(reached.implode())
        jump = jump.gather(jump)
        if grown.sum() == opens.sum():
            break
        opens = grown
    numbers = moments.select(*by, "timestamp", window=opens.cum_sum())
    return rows.join(numbers, on=[*by, "timestamp"], how="left", maintain_order="left")["window"]
