"""Holders give up: a falling run to new lows, far below the high of the day, on swelling volume."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.detectors.common import NEVER, Signals, edge
from smallcaps_assets.domain.features import before
from smallcaps_assets.domain.params import Params


class FlushParams(Params):
    """Specification, section 3.7. Shares are fractions of the high of the day."""

    min_drop_share: float = Field(ge=0, lt=1)
    lowest_close_bars: int = Field(gt=0)
    min_spike_x: float = Field(ge=0)
    min_red_run_bars: int = Field(ge=0)


def flush(params: FlushParams) -> Signals:
    """Edges of a flush. There is no upward one."""
    close, day_high, volume = pl.col("close"), pl.col("day_high"), pl.col("volume")
    lowest = close.rolling_min(params.lowest_close_bars, min_samples=1).over("day_start")
    falls = ((day_high - close) / day_high >= params.min_drop_share) & (close <= lowest)
    swells = (pl.col("spike_x") >= params.min_spike_x) & (volume > before(volume))
    return Signals(up=NEVER, down=edge(falls & swells & (pl.col("red_run") >= params.min_red_run_bars)))
