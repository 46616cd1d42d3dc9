"""Features: every number that the detectors use, computed once per bar (specification, section 2).

Features are computed within one symbol and ET date, over the bars that exist. Only `dollar_volume_day` and `rvol_day`
use later bars. Cheap features are computed for every bar (`with_features`); medians and ranges of preceding bars only
for bars that may be events (`with_spikes`, `with_windows`).
"""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field, model_validator

from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.params import Params

Integers = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]

# One row per symbol and day with bars: the history that the detection of later days needs.
DAILY: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date(), "dollar_volume_day": pl.Float64()})


class FeatureParams(Params):
    """Look-back lengths in existing bars, unless a name gives another unit."""

    baseline_bars: int = Field(gt=1)
    min_history: int = Field(gt=0)
    return_bars: int = Field(gt=0)
    base_bars: int = Field(gt=1)
    rvol_days: int = Field(gt=0)
    rvol_min_days: int = Field(gt=0)
    # files of release 0.1 lack it
    rvol_sessions: int = Field(default=60, gt=0)
    vwap_decimals: int = Field(ge=4, le=15)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.min_history > self.baseline_bars:
            raise ValueError(f"min_history {self.min_history} exceeds baseline_bars {self.baseline_bars}: lower it")
        if self.rvol_min_days > self.rvol_days:
            raise ValueError(f"rvol_min_days {self.rvol_min_days} exceeds rvol_days {self.rvol_days}: lower it")
        if self.rvol_min_days > self.rvol_sessions:
            raise ValueError(f"rvol_min_days {self.rvol_min_days} exceeds rvol_sessions {self.rvol_sessions}: lower it")
        return self


def consecutive(condition: pl.Expr) -> pl.Expr:
    """Number of consecutive bars of the day, ending here, that meet `condition` (0 where it is false or null)."""
    last_miss = pl.when(condition.fill_null(False)).then(pl.col("day_start") - 1).otherwise(pl.col("bar"))
    return pl.col("bar") - last_miss.cum_max()


def last_bar_where(condition: pl.Expr) -> pl.Expr:
    """Number of the last bar up to here that meets `condition`, which may be on an earlier day; -1 without one."""
    return pl.when(condition.fill_null(False)).then(pl.col("bar")).otherwise(-1).cum_max()


def before(expression: pl.Expr, bars: int = 1) -> pl.Expr:
    """The value `bars` bars earlier on the same day, null without such a bar."""
    return pl.when(pl.col("bar") - bars >= pl.col("day_start")).then(expression.shift(bars))


def _group_start(begins: pl.Expr) -> pl.Expr:
    """Number of the first bar of the current group; a group starts at each bar where `begins` is true."""
    return _flag_sorted(pl.when(begins).then("bar").forward_fill())


def _flag_sorted(numbers: pl.Expr) -> pl.Expr:
    """Non-decreasing `numbers`, flagged as sorted, which speeds up grouping by them."""
    return numbers.set_sorted()


def with_days(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` with the start of their day and with dollar volumes.

    `bars` have `day` and `session`, lie inside the sessions and are sorted by (symbol, timestamp). Adds `bar` (running
    number), `day_start` (number of the first bar of the day), `dollar_volume` and `dollar_volume_to_event`.
    """
    changes = [pl.col(name) != pl.col(name).shift(1) for name in ("symbol", "day")]
    return (
        bars.with_columns(bar=pl.int_range(pl.len(), dtype=pl.Int32))
        .with_columns(
            day_start=_group_start(pl.any_horizontal(changes).fill_null(True)),
            dollar_volume=pl.col("close") * pl.col("volume"),
        )
        .with_columns(dollar_volume_to_event=pl.col("dollar_volume").cum_sum().over("day_start"))
    )


def daily_dollar_volume(days: pl.DataFrame) -> pl.DataFrame:
    """Dollar volume (DAILY) of each symbol and day of `days` (see `with_days`), in the same order."""
    last = (pl.col("day_start") != pl.col("day_start").shift(-1)).fill_null(value=True)
    return days.filter(last).select("symbol", "day", dollar_volume_day="dollar_volume_to_event")


def select_days(days: pl.DataFrame, selected: pl.Series) -> pl.DataFrame:
    """The bars of the selected days, with `bar` and `day_start` renumbered.

    Args:
        days: see `with_days`.
        selected: Boolean, one value per symbol and day, in the order of `days`.
    """
    if selected.all():
        return days
    starts = np.flatnonzero((days["bar"] == days["day_start"]).to_numpy())
    kept = days.filter(pl.Series(np.repeat(selected.to_numpy(), np.diff(starts, append=days.height))))
    bar = pl.int_range(pl.len(), dtype=pl.Int32)
    return kept.with_columns(bar=bar, day_start=_flag_sorted(pl.col("day_start") - pl.col("bar") + bar))


def relative_volume(
    daily: pl.DataFrame, sessions: pl.DataFrame, params: FeatureParams, borders: ListingBorders = NO_BORDERS
) -> pl.DataFrame:
    """`daily` (DAILY, sorted) with `rvol_day`: dollar volume over the mean of the preceding days with bars.

    These are the last `rvol_days` among the `rvol_sessions` sessions before; null with fewer than `rvol_min_days`. Days
    of another owner of the ticker are not among them.

    Args:
        daily: the days; those outside `sessions` are left out.
        sessions: SESSION_TABLE of every session from the first day of a baseline on.
        params: look-back lengths.
        borders: where tickers change their owners.
    """
    calendar = sessions.select(day=pl.col("date").sort()).with_row_index("number")
    days = daily.join(calendar, on="day", how="inner", maintain_order="left")
    # days of different symbols, or owners of one, are more sessions apart than a baseline reaches
    apart = sessions.height + params.rvol_sessions
    owner = borders.by_owner(days.select("symbol", "day"))["symbol"].rle_id().to_numpy().astype(np.int64)
    number = days["number"].to_numpy().astype(np.int64) + apart * owner
    earlier = _preceding(number, params.rvol_days, filler=-apart)
    in_reach = number[:, None] - earlier <= params.rvol_sessions
    dollars = np.where(in_reach, _preceding(days["dollar_volume_day"].to_numpy(), params.rvol_days, filler=0), 0.0)
    known = pl.Series("known", in_reach.sum(axis=1))
    mean = pl.when(known >= params.rvol_min_days).then(pl.Series("total", dollars.sum(axis=1)) / known)
    return days.select(*DAILY, rvol_day=pl.col("dollar_volume_day") / mean)


def _preceding(values: npt.NDArray[Any], rows: int, filler: int) -> npt.NDArray[Any]:
    """The `rows` values before each value, one row of a matrix each; `filler` in place of those before the first."""
    return sliding_window_view(np.concatenate((np.full(rows, filler, values.dtype), values)), rows)[: len(values)]


class Window(NamedTuple):
    """A statistic of a column over the `bars` preceding bars of the day; null with fewer than `min_bars` of them."""

    column: str
    statistic: Literal["median", "max", "min"]
    bars: int
    min_bars: int


def _vwap(decimals: int) -> pl.Expr:
    """Volume-weighted mean typical price since `vwap_start`."""
    traded, shares = pl.col("typical") * pl.col("volume"), pl.col("volume")
    return (traded.cum_sum().over("vwap_start") / shares.cum_sum().over("vwap_start")).round(decimals)


def _total_before(values: pl.Expr) -> pl.Expr:
    """Sum of all preceding values. The sum over a window is the difference of two such sums, exact for integers."""
    return values.cum_sum() - values


def _transactions_baseline(min_known: int) -> pl.Expr:
    """Mean of the known transactions from `baseline_start` to the preceding bar; null with fewer than `min_known`."""
    known, traded = (
        pl.col(name) - pl.col(name).gather("baseline_start") for name in ("known_before", "transactions_before")
    )
    return pl.when(known >= min_known).then(traded / known)


def with_features(days: pl.DataFrame, params: FeatureParams) -> pl.DataFrame:
    """`days` (see `with_days`) with the features that are cheap to compute for every bar.

    Besides features of the specification, adds `range_share` ((high - low) / open) and `transactions_baseline` (mean of
    the preceding bars).
    """
    open_, high, low, close = (pl.col(name) for name in ("open", "high", "low", "close"))
    regular, first = pl.col("session") != "PM", pl.col("bar") == pl.col("day_start")
    return (
        days.with_columns(
            typical=(high + low + close) / 3,
            range_share=(high - low) / open_,
            vwap_start=_group_start(first | (regular & ~regular.shift(1))),
            baseline_start=pl.max_horizontal(pl.col("bar") - params.baseline_bars, "day_start").cast(pl.UInt32),
            transactions_before=_total_before(pl.col("transactions").fill_null(0)),
            known_before=_total_before(pl.col("transactions").is_not_null().cast(pl.Int32)),
        )
        .with_columns(
            day_high=high.cum_max().over("day_start"),
            vwap_session=_vwap(params.vwap_decimals),
            green_run=consecutive(close > open_),
            red_run=consecutive(close < open_),
            return_5=close / before(close, params.return_bars) - 1,
            transactions_baseline=_transactions_baseline(params.min_history),
        )
        .with_columns(vwap_rth=pl.when(regular).then("vwap_session"))
        .drop("typical", "vwap_start", "baseline_start", "transactions_before", "known_before")
    )


def with_spikes(rows: pl.DataFrame, features: pl.DataFrame, params: FeatureParams) -> pl.DataFrame:
    """`rows`, a subset of `features` (see `with_features`), with `volume_baseline` and `spike_x`."""
    baseline = {"volume_baseline": Window("volume", "median", params.baseline_bars, params.min_history)}
    spike_x = pl.when(pl.col("volume_baseline") != 0).then(pl.col("volume") / pl.col("volume_baseline"))
    return rows.hstack(_compute_windows(rows, features, baseline)).with_columns(spike_x=spike_x)


def with_windows(
    rows: pl.DataFrame, features: pl.DataFrame, params: FeatureParams, extra: Mapping[str, Window] | None = None
) -> pl.DataFrame:
    """`rows`, a subset of `features` (see `with_features`), with price statistics of the preceding bars.

    Adds `bar_atr`, `high_20`, `low_20`, `flatness`, `base_high` and `base_low` (highest high and lowest low of the
    preceding base), and the windows of `extra`.
    """
    recent, at_least, base = params.baseline_bars, params.min_history, params.base_bars
    windows = {
        "bar_atr": Window("range_share", "median", recent, at_least),
        "high_20": Window("high", "max", recent, at_least),
        "low_20": Window("low", "min", recent, at_least),
        "base_high": Window("high", "max", base, base),
        "base_low": Window("low", "min", base, base),
        "close_before": Window("close", "max", 1, 1),
    }
    one_bar = pl.when(pl.col("bar_atr") != 0).then(pl.col("bar_atr") * math.sqrt(base))
    flatness = (pl.col("base_high") - pl.col("base_low")) / pl.col("close_before") / one_bar
    statistics = _compute_windows(rows, features, windows | dict(extra or {}))
    return rows.hstack(statistics).with_columns(flatness=flatness).drop("close_before")


def _compute_windows(rows: pl.DataFrame, features: pl.DataFrame, windows: Mapping[str, Window]) -> pl.DataFrame:
    """Each window of each row, computed by NumPy on a matrix whose rows are the preceding bars."""
    bar = rows["bar"].to_numpy()
    earlier = bar - rows["day_start"].to_numpy()
    found = {
        name: pl.Series(name, _statistic(features[window.column], window, bar, earlier)).set(
            pl.Series(earlier < window.min_bars), None
        )
        for name, window in windows.items()
    }
    return pl.DataFrame(found)


def _statistic(column: pl.Series, window: Window, bar: Integers, earlier: Integers) -> Floats:
    """One window of the bars numbered `bar`, which have `earlier` preceding bars on their day."""
    if not window.bars or not len(bar):
        return np.full(len(bar), np.nan)
    # in place of bars of another day: sorts last, and is never the maximum or minimum
    filler = -np.inf if window.statistic == "max" else np.inf
    padded = np.concatenate((np.full(window.bars, filler), column.to_numpy()))
    values: Floats = sliding_window_view(padded, window.bars)[bar]
    known = np.minimum(earlier, window.bars)
    short = np.flatnonzero(known < window.bars)
    values[short] = np.where(np.arange(window.bars) < window.bars - known[short, None], filler, values[short])
    if window.statistic == "median":
        values.sort(axis=1)
        row = np.arange(len(bar))
        found = (values[row, (known - 1) // 2] + values[row, known // 2]) / 2
    else:
        found = (np.max if window.statistic == "max" else np.min)(values, axis=1)
    return np.asarray(found, dtype=np.float64)
