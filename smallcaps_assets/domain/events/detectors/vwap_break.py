"""Price reclaims the session VWAP from below, or is rejected at it."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.events.features import consecutive, last_bar_where
from smallcaps_assets.domain.params import Params


class VwapBreakParams(Params):
    """Specification, section 3.2. Shares are fractions of the VWAP."""

    up_min_above_share: float = Field(ge=0)
    up_min_run_bars: int = Field(gt=0)
    up_min_spike_x: float = Field(ge=0)
    down_min_below_share: float = Field(ge=0, lt=1)
    down_min_run_bars: int = Field(gt=0)
    down_min_spike_x: float = Field(ge=0)
    require_failed_reclaim: bool
    failed_reclaim_bars: int = Field(gt=0)


def _once_per_run(run: str, min_bars: int, condition: pl.Expr, min_spike_x: float) -> Rule:
    """The first bar of each run, from its `min_bars`-th on, that has the volume spike and meets `condition`."""
    return Rule((pl.col(run) >= min_bars) & condition, min_spike_x, since=pl.col("bar") - pl.col(run) + 1)


def vwap_break(params: VwapBreakParams) -> Signals:
    """One event per run above (reclaim) or below (rejection) the regular-hours VWAP, which continues after hours."""
    close, vwap = pl.col("close"), pl.col("vwap_rth")
    # a run above has no close below the VWAP, so the last such bar of the day lies before the run
    was_below = last_bar_where(close < vwap) >= pl.col("day_start")
    failed = last_bar_where((pl.col("high") >= vwap) & (close < vwap)).shift(1, fill_value=-1)
    recently = failed >= pl.max_horizontal(pl.col("bar") - params.failed_reclaim_bars, "day_start")
    rejected = recently if params.require_failed_reclaim else pl.lit(value=True)
    return Signals(
        up=_once_per_run("run_above", params.up_min_run_bars, was_below, params.up_min_spike_x),
        down=_once_per_run("run_below", params.down_min_run_bars, rejected, params.down_min_spike_x),
        features={
            "run_above": consecutive(close >= vwap * (1 + params.up_min_above_share)),
            "run_below": consecutive(close <= vwap * (1 - params.down_min_below_share)),
        },
    )
