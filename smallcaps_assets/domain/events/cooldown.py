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
    clock = _clock(rows, by, length)
    opens = clock.diff().fill_null(length) == length
    jump = clock.search_sorted(clock + length, side="left")
    # one row more, after all others, to jump to where there is no later window
    opens, jump = opens.append(pl.Series([True])), jump.append(pl.Series([rows.height], dtype=jump.dtype))
    while True:
        grown = opens.clone().scatter(jump.gather(opens.arg_true()), True)
        if grown.sum() == opens.sum():
            return opens.head(rows.height).cum_sum().alias("window")
        opens, jump = grown, jump.gather(jump)


def _clock(rows: pl.DataFrame, by: Sequence[str], length: timedelta) -> pl.Series:
    """One clock over all groups: at a new group, and over every longer gap, it goes on by `length` exactly.

    So it tells the same as the groups' own times of whether a row lies in the window of an earlier one.
    """
    another = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in by)
    step = pl.col("timestamp").diff().clip(upper_bound=length).fill_null(length)
    return rows.select(pl.when(another).then(length).otherwise(step).cum_sum()).to_series()
