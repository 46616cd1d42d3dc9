"""Capitulation: a run of falling bars to new lows, far below the high of the day, on rising volume."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.events.features import Window, before
from smallcaps_assets.domain.params import Params


class FlushParams(Params):
    """Specification, section 3.7. Shares are fractions of the high of the day."""

    min_drop_share: float = Field(ge=0, lt=1)
    lowest_close_bars: int = Field(gt=0)
    min_spike_x: float = Field(ge=0)
    min_red_run_bars: int = Field(ge=0)


def flush(params: FlushParams) -> Signals:
    """Edges of a flush, which is always downward."""
    close, day_high, volume = pl.col("close"), pl.col("day_high"), pl.col("volume")
    falls = ((day_high - close) / day_high >= params.min_drop_share) & (pl.col("red_run") >= params.min_red_run_bars)
    # the first bar of a day has the lowest close so far
    lowest = (close <= pl.col("lowest_close")).fill_null(value=True)
    return Signals(
        up=None,
        down=Rule(falls & (volume > before(volume)), params.min_spike_x, confirmed=lowest),
        windows={"lowest_close": Window("close", "min", params.lowest_close_bars - 1, 1)},
    )
