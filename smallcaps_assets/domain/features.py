"""Every number that detectors look at, computed once per bar (specification, section 2).

Features are computed within one symbol and ET date, over the bars that exist; none looks at a later bar but the two
that say so (`dollar_volume_day`, `rvol_day`).
"""

import math
from typing import Final, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params

# One row per symbol and day with bars: what detecting a later day needs of the earlier ones.
DAILY: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "dollar_volume_day": pl.Float64()})


class FeatureParams(Params):
    """Look-back lengths, in bars that exist unless said otherwise."""

    baseline_bars: int = Field(gt=1)
    min_history: int = Field(gt=0)
    return_bars: int = Field(gt=0)
    base_bars: int = Field(gt=1)
    rvol_days: int = Field(gt=0)
    rvol_min_days: int = Field(gt=0)
    vwap_decimals: int = Field(ge=4, le=15)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_history > self.baseline_bars:
            raise ValueError(f"min_history {self.min_history} exceeds baseline_bars {self.baseline_bars}: lower it")
        if self.rvol_min_days > self.rvol_days:
            raise ValueError(f"rvol_min_days {self.rvol_min_days} exceeds rvol_days {self.rvol_days}: lower it")
        return self


def consecutive(condition: pl.Expr) -> pl.Expr:
    """How many bars in a row, ending here and within the day, hold `condition` (0 where it does not)."""
    last_miss = pl.when(condition.fill_null(False)).then(pl.col("day_start") - 1).otherwise(pl.col("bar"))
    return pl.col("bar") - last_miss.cum_max()


def last_bar_where(condition: pl.Expr) -> pl.Expr:
    """Number of the last bar up to here that holds `condition`; -1 where there is none (it may be of another day)."""
    return pl.when(condition.fill_null(False)).then(pl.col("bar")).otherwise(-1).cum_max()


def before(expression: pl.Expr, bars: int = 1) -> pl.Expr:
    """The value `bars` bars earlier on the same day, null where there is none."""
    return pl.when(pl.col("bar") - bars >= pl.col("day_start")).then(expression.shift(bars))


def daily_dollar_volume(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Dollar volume of each symbol and day (DAILY) from sorted bars with `day`, in order of symbol and day.

    Summed bar after bar: a grouped sum is spread over threads, and its last digit changes from run to run.
    """
    running = (pl.col("close") * pl.col("volume")).cum_sum().over("symbol", "day")
    return (
        bars.select("symbol", "day", dollar_volume_day=running)
        .group_by("symbol", "day", maintain_order=True)
        .agg(pl.col("dollar_volume_day").last())
    )


def relative_volume(daily: pl.LazyFrame, params: FeatureParams) -> pl.LazyFrame:
    """`daily` (DAILY, sorted) with `rvol_day`: the day against the mean of the days with bars before it."""
    mean = pl.col("dollar_volume_day").shift(1).rolling_mean(params.rvol_days, min_samples=params.rvol_min_days)
    return daily.with_columns(rvol_day=pl.col("dollar_volume_day") / mean.over("symbol"))


def _rolling(expression: pl.Expr, how: str, bars: int, least: int) -> pl.Expr:
    """A rolling statistic of the `bars` bars before each bar of its day; null with fewer than `least`."""
    shifted = expression.shift(1)
    rolled: pl.Expr = getattr(shifted, f"rolling_{how}")(bars, min_samples=least)
    return rolled.over("day_start")


def _vwap(since: pl.Expr, decimals: int) -> pl.Expr:
    """Volume-weighted mean typical price of the day's bars so far that hold `since`; null where a bar does not."""
    traded = pl.when(since).then(pl.col("typical") * pl.col("volume")).otherwise(0.0).cum_sum().over("day_start")
    shares = pl.when(since).then("volume").otherwise(0.0).cum_sum().over("day_start")
    return pl.when(since).then((traded / shares).round(decimals))


def with_features(bars: pl.LazyFrame, params: FeatureParams) -> pl.LazyFrame:
    """Bars inside the sessions, sorted by (symbol, timestamp), with `day` and `session`, and the features added.

    Besides the features of the specification there are `bar` (running number), `day_start` (number of the first bar
    of its day), `base_high`, `base_low` (of the `base_bars` before) and `transactions_baseline`.
    """
    open_, high, low, close, volume = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
    day_changes = pl.any_horizontal(pl.col(name) != pl.col(name).shift(1) for name in ("symbol", "day"))
    baseline, least, base = params.baseline_bars, params.min_history, params.base_bars
    numbered = (
        bars.with_columns(bar=pl.int_range(pl.len(), dtype=pl.Int64))
        .with_columns(day_start=pl.when(day_changes.fill_null(True)).then("bar").forward_fill())
        .with_columns(typical=(high + low + close) / 3, dollar_volume=close * volume, range_share=(high - low) / open_)
    )
    regular = pl.col("session") != "PM"
    windows = numbered.with_columns(
        volume_baseline=_rolling(volume, "median", baseline, least),
        transactions_baseline=_rolling(pl.col("transactions").cast(pl.Float64), "mean", baseline, least),
        bar_atr=_rolling(pl.col("range_share"), "median", baseline, least),
        high_20=_rolling(high, "max", baseline, least),
        low_20=_rolling(low, "min", baseline, least),
        base_high=_rolling(high, "max", base, base),
        base_low=_rolling(low, "min", base, base),
        day_high=high.cum_max().over("day_start"),
        green_run=consecutive(close > open_),
        red_run=consecutive(close < open_),
        return_5=close / before(close, params.return_bars) - 1,
        dollar_volume_to_event=pl.col("dollar_volume").cum_sum().over("day_start"),
        vwap_rth=_vwap(regular, params.vwap_decimals),
        vwap_premarket=_vwap(~regular, params.vwap_decimals),
    )
    one_bar = pl.when(pl.col("bar_atr") != 0).then(pl.col("bar_atr") * math.sqrt(base))
    return windows.with_columns(
        spike_x=pl.when(pl.col("volume_baseline") != 0).then(volume / pl.col("volume_baseline")),
        vwap_session=pl.coalesce("vwap_rth", "vwap_premarket"),
        flatness=(pl.col("base_high") - pl.col("base_low")) / before(close) / one_bar,
    ).drop("typical", "vwap_premarket")
