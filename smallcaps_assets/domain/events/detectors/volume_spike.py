"""A minute whose volume is a multiple of that of the preceding minutes, and which moves the price."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.params import Params


class SpikeThresholds(Params):
    """The minima of a bar, in regular or in extended hours."""

    min_spike_x: float = Field(gt=0)
    min_volume_shares: float = Field(ge=0)
    min_dollar_volume_usd: float = Field(ge=0)


class VolumeSpikeParams(Params):
    """Specification, section 3.1. Shares are fractions of 1."""

    regular: SpikeThresholds
    extended: SpikeThresholds
    min_range_share: float = Field(ge=0)
    down_min_red_run_bars: int = Field(ge=0)
    down_min_drop_share: float = Field(ge=0)


def _reaches(thresholds: SpikeThresholds) -> pl.Expr:
    return (pl.col("volume") >= thresholds.min_volume_shares) & (
        pl.col("dollar_volume") >= thresholds.min_dollar_volume_usd
    )


def volume_spike(params: VolumeSpikeParams) -> Signals:
    """Edges of a volume spike; down only in a run of falling bars well below the high of the day."""
    close, day_high = pl.col("close"), pl.col("day_high")
    regular = pl.col("session") == "RTH"
    moves = (pl.col("range_share") >= params.min_range_share) & pl.when(regular).then(
        _reaches(params.regular)
    ).otherwise(_reaches(params.extended))
    min_spike_x = pl.when(regular).then(params.regular.min_spike_x).otherwise(params.extended.min_spike_x)
    fallen = (pl.col("red_run") >= params.down_min_red_run_bars) & (
        (day_high - close) / day_high >= params.down_min_drop_share
    )
    return Signals(
        up=Rule(pl.col("moves") & (close > pl.col("open")), min_spike_x),
        down=Rule(pl.col("moves") & (close < pl.col("open")) & fallen, min_spike_x),
        features={"moves": moves},
    )
