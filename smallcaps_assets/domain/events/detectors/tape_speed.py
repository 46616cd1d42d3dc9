"""The tape speeds up: many more trades in a minute than in the preceding minutes."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.params import Params


class TapeSpeedParams(Params):
    """Specification, section 3.6."""

    min_transactions: int = Field(ge=0)
    min_speed_x: float = Field(ge=0)


def tape_speed(params: TapeSpeedParams) -> Signals:
    """Edges of a burst of trades, in the direction of the bar; none where the number of trades is unknown."""
    transactions, close, open_ = pl.col("transactions"), pl.col("close"), pl.col("open")
    # 0 trades over a mean of 0 is not a speed, and Polars sorts NaN above every number
    speed_x = (transactions / pl.col("transactions_baseline")).fill_nan(None)
    fast = (transactions >= params.min_transactions) & (speed_x >= params.min_speed_x)
    return Signals(
        up=Rule(pl.col("fast") & (close > open_)),
        down=Rule(pl.col("fast") & (close < open_)),
        features={"fast": fast},
    )
