"""Price leaves the range of the first minutes of regular trading."""

from datetime import timedelta

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.params import Params


class OpeningRangeBreakParams(Params):
    """Specification, section 3.5. Shares are fractions of the edge of the range."""

    range_min: int = Field(gt=0, le=1_440)
    min_range_bars: int = Field(gt=0)
    min_spike_x: float = Field(ge=0)
    up_min_above_share: float = Field(ge=0)
    down_min_below_share: float = Field(ge=0, lt=1)


def opening_range_break(params: OpeningRangeBreakParams) -> Signals:
    """The first close beyond the opening range, in regular hours and on volume; one per direction and day."""
    close, timestamp, regular = pl.col("close"), pl.col("timestamp"), pl.col("session") == "RTH"
    range_end = pl.col("regular_open") + timedelta(minutes=params.range_min)
    inside = regular & (timestamp < range_end)
    after = regular & (timestamp >= range_end) & (pl.col("range_bars") >= params.min_range_bars)
    above, below = 1 + params.up_min_above_share, 1 - params.down_min_below_share
    return Signals(
        up=Rule(after & (close >= pl.col("range_high") * above), params.min_spike_x, since=pl.col("day_start")),
        down=Rule(after & (close <= pl.col("range_low") * below), params.min_spike_x, since=pl.col("day_start")),
        features={
            "range_bars": inside.sum().over("day_start"),
            "range_high": pl.when(inside).then("high").max().over("day_start"),
            "range_low": pl.when(inside).then("low").min().over("day_start"),
        },
    )
