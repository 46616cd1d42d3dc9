"""Cooldown: greedy time windows, of whose events only those close to the best are kept (specification, section 4)."""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params


class CooldownParams(Params):
    """When events count as one."""

    window_min: int = Field(gt=0, le=1440)
    keep_share_of_best: float = Field(ge=0, le=1)
    group_window_min: int = Field(gt=0, le=1440)


def keep_best_of_windows(events: pl.DataFrame, params: CooldownParams) -> pl.DataFrame:
    """The events whose score is close to the best of their window per symbol, event type and day.

    `events` are sorted by symbol, event_type and timestamp.
    """
    by = ["symbol", "event_type", "day"]
    window = window_numbers(events, by, timedelta(minutes=params.window_min))
    best = pl.col("score").max().over("window")
    return events.with_columns(window=window).filter(pl.col("score") >= params.keep_share_of_best * best)


def window_numbers(rows: pl.DataFrame, by: Sequence[str], length: timedelta) -> pl.Series:
    """The number of the window of each row of `rows`, which are sorted by `by` and `timestamp`.

    Within each group the first row opens a window of [t, t + length), and the first row at or after its end opens the
    next. So each row points to the row that would open the next window; following these pointers from the
    first row of each group, twice as far in each pass, finds every opening row in a logarithmic number of passes.
    """
    clock = _clock(rows, by, length)
    opens = clock.diff().fill_null(length) == length
    jump = clock.search_sorted(clock + length, side="left")
    # an extra last row is the target where no later window opens
    opens, jump = opens.append(pl.Series([True])), jump.append(pl.Series([rows.height], dtype=jump.dtype))
    while True:
        grown = opens.clone().scatter(jump.gather(opens.arg_true()), True)
        if grown.sum() == opens.sum():
            return opens.head(rows.height).cum_sum().alias("window")
        opens, jump = grown, jump.gather(jump)


def _clock(rows: pl.DataFrame, by: Sequence[str], length: timedelta) -> pl.Series:
    """One clock over all groups: it advances by `length` at a new group and over every longer gap.

    Rows of one group that are less than `length` apart keep their distance, so they share a window exactly as before.
    """
    another = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in by)
    step = pl.col("timestamp").diff().clip(upper_bound=length).fill_null(length)
    return rows.select(pl.when(another).then(length).otherwise(step).cum_sum()).to_series()
