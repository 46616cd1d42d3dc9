"""Every number that detectors look at, computed once per bar (specification, section 2).

Features are computed within one symbol and ET date, over the bars that exist; none looks at a later bar but the two
that say so (`dollar_volume_day`, `rvol_day`). What is cheap is computed for every bar (`with_features`); medians and
ranges of the bars before, which are not, only for bars that may be events (`with_spikes`, `with_windows`).
"""

import math
from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Final, Literal, NamedTuple, Self

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


def daily_dollar_volume(features: pl.DataFrame) -> pl.DataFrame:
    """Dollar volume of each symbol and day (DAILY), in order of symbol and day: what was traded up to the last bar."""
    last = (pl.col("day_start") != pl.col("day_start").shift(-1)).fill_null(value=True)
    return features.filter(last).select("symbol", "day", dollar_volume_day="dollar_volume_to_event")


def relative_volume(daily: pl.LazyFrame, params: FeatureParams) -> pl.LazyFrame:
    """`daily` (DAILY, sorted) with `rvol_day`: the day against the mean of the days with bars before it."""
    mean = pl.col("dollar_volume_day").shift(1).rolling_mean(params.rvol_days, min_samples=params.rvol_min_days)
    return daily.with_columns(rvol_day=pl.col("dollar_volume_day") / mean.over("symbol"))


class Window(NamedTuple):
    """A statistic of a column over the `bars` bars before a bar on its day; null with fewer than `least` of them."""

    column: str
    statistic: Literal["median", "max", "min"]
    bars: int
    least: int


def _vwap(decimals: int) -> pl.Expr:
    """Volume-weighted mean typical price since `vwap_start`."""
    traded, shares = pl.col("typical") * pl.col("volume"), pl.col("volume")
    return (traded.cum_sum().over("vwap_start") / shares.cum_sum().over("vwap_start")).round(decimals)


def _total_before(values: pl.Expr) -> pl.Expr:
    """Sum of all values above: what a window adds is the difference of two such sums, exact for integers."""
    return values.cum_sum() - values


def _transactions_baseline(least: int) -> pl.Expr:
    """Mean of the known transactions from `baseline_start` to the bar before; null with fewer than `least` known."""
    known, traded = (
        pl.col(name) - pl.col(name).gather("baseline_start") for name in ("known_before", "transactions_before")
    )
    return pl.when(known >= least).then(traded / known)


def _may_spike(params: FeatureParams, least_spike_x: float) -> pl.Expr:
    """False only where `spike_x` cannot reach `least_spike_x`, which takes no median to know.

    A median that is small enough has half of its bars at or below it, and they are counted. With fewer bars before
    than a full window, only a missing baseline rules a bar out.
    """
    # a little more than what is asked for, so that rounding rules nothing out
    enough = pl.col("volume") / (least_spike_x * (1 - 1e-9)) if least_spike_x else pl.lit(math.inf)
    bars, earlier = params.baseline_bars, pl.col("bar") - pl.col("day_start")
    quiet = reduce(add, ((pl.col("volume").shift(back) <= enough).cast(pl.UInt16) for back in range(1, bars + 1)))
    return (earlier >= params.min_history) & ((earlier < bars) | (quiet >= (bars + 1) // 2))


def with_features(bars: pl.DataFrame, params: FeatureParams, least_spike_x: float = 0) -> pl.DataFrame:
    """Bars inside the sessions, sorted by (symbol, timestamp), with `day` and `session`, and cheap features added.

    Besides features of the specification there are `bar` (running number), `day_start` (number of the first bar of
    its day), `range_share` ((high - low) / open), `transactions_baseline` (mean of the bars before) and `may_spike`,
    which is false only where `spike_x` (see `with_spikes`) is below `least_spike_x` or unknown.
    """
    open_, high, low, close, volume = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))
    changes = [pl.col(name) != pl.col(name).shift(1) for name in ("symbol", "day")]
    regular, first = pl.col("session") != "PM", pl.col("bar") == pl.col("day_start")
    return (
        bars.with_columns(bar=pl.int_range(pl.len(), dtype=pl.Int64))
        .with_columns(
            day_start=pl.when(pl.any_horizontal(changes).fill_null(True)).then("bar").forward_fill(),
            typical=(high + low + close) / 3,
            dollar_volume=close * volume,
            range_share=(high - low) / open_,
        )
        .with_columns(
            vwap_start=pl.when(first | (regular & ~regular.shift(1))).then("bar").forward_fill(),
            baseline_start=pl.max_horizontal(pl.col("bar") - params.baseline_bars, "day_start").cast(pl.UInt32),
            transactions_before=_total_before(pl.col("transactions").fill_null(0)),
            known_before=_total_before(pl.col("transactions").is_not_null().cast(pl.Int32)),
        )
        .with_columns(
            day_high=high.cum_max().over("day_start"),
            dollar_volume_to_event=pl.col("dollar_volume").cum_sum().over("day_start"),
            vwap_session=_vwap(params.vwap_decimals),
            green_run=consecutive(close > open_),
            red_run=consecutive(close < open_),
            return_5=close / before(close, params.return_bars) - 1,
            transactions_baseline=_transactions_baseline(params.min_history),
            may_spike=_may_spike(params, least_spike_x),
        )
        .with_columns(vwap_rth=pl.when(regular).then("vwap_session"))
        .drop("typical", "vwap_start", "baseline_start", "transactions_before", "known_before")
    )


def with_spikes(rows: pl.DataFrame, features: pl.DataFrame, params: FeatureParams) -> pl.DataFrame:
    """`rows`, some of those of `features` (see `with_features`), with `volume_baseline` and `spike_x`."""
    baseline = {"volume_baseline": Window("volume", "median", params.baseline_bars, params.min_history)}
    spike_x = pl.when(pl.col("volume_baseline") != 0).then(pl.col("volume") / pl.col("volume_baseline"))
    return rows.hstack(_looking_back(rows, features, baseline)).with_columns(spike_x=spike_x)


def with_windows(
    rows: pl.DataFrame, features: pl.DataFrame, params: FeatureParams, also: Mapping[str, Window] | None = None
) -> pl.DataFrame:
    """`rows`, some of those of `features` (see `with_features`), with what the bars before them say of prices.

    Adds `bar_atr`, `high_20`, `low_20`, `flatness`, `base_high` and `base_low` (highest high and lowest low of the base
    before), and the windows of `also`.
    """
    recent, least, base = params.baseline_bars, params.min_history, params.base_bars
    windows = {
        "bar_atr": Window("range_share", "median", recent, least),
        "high_20": Window("high", "max", recent, least),
        "low_20": Window("low", "min", recent, least),
        "base_high": Window("high", "max", base, base),
        "base_low": Window("low", "min", base, base),
        "close_before": Window("close", "max", 1, 1),
    }
    one_bar = pl.when(pl.col("bar_atr") != 0).then(pl.col("bar_atr") * math.sqrt(base))
    flatness = (pl.col("base_high") - pl.col("base_low")) / pl.col("close_before") / one_bar
    found = _looking_back(rows, features, windows | dict(also or {}))
    return rows.hstack(found).with_columns(flatness=flatness).drop("close_before")


def _looking_back(rows: pl.DataFrame, features: pl.DataFrame, windows: Mapping[str, Window]) -> pl.DataFrame:
    """Each window of each row: the bars before are gathered by their numbers."""
    reach = max(window.bars for window in windows.values())
    bar, earlier = pl.col("bar"), pl.col("bar") - pl.col("day_start")
    numbers = rows.select(pl.when(earlier >= back).then(bar - back).alias(f"{back}") for back in range(1, reach + 1))

    def statistic(window: Window) -> pl.Expr:
        known = pl.lit(features[window.column])
        values = [known.gather(pl.col(f"{back}")) for back in range(1, window.bars + 1)]
        if not values:
            return pl.lit(None, dtype=pl.Float64)
        if window.statistic == "median":
            return pl.concat_arr(values).arr.median()
        return (pl.max_horizontal if window.statistic == "max" else pl.min_horizontal)(values)

    found = numbers.select(statistic(window).alias(name) for name, window in windows.items())
    enough = rows.select((earlier >= window.least).alias(name) for name, window in windows.items())
    return found.select(pl.when(enough[name]).then(name).alias(name) for name in windows)
