"""Price leaves its recent range within a few minutes."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.events.features import before
from smallcaps_assets.domain.params import Params


class PriceMomentumParams(Params):
    """Specification, section 3.3. Returns are fractions of 1; `down_max_return` is negative."""

    up_min_return: float = Field(gt=0)
    up_min_spike_x: float = Field(ge=0)
    down_max_return: float = Field(lt=0)
    down_min_acceleration_x: float = Field(ge=0)
    down_acceleration_bars: int = Field(gt=0)
    down_min_earlier_return: float = Field(gt=0)


def price_momentum(params: PriceMomentumParams) -> Signals:
    """Edges of a close outside the recent range after a fast move: a rise on volume, a fall that accelerates."""
    close, change = pl.col("close"), pl.col("return_5")
    earlier = pl.col("earlier_return").abs()
    # max_horizontal ignores nulls, but an unknown earlier return must stay unknown
    base = pl.when(earlier.is_not_null()).then(pl.max_horizontal(earlier, params.down_min_earlier_return))
    accelerates = change.abs() / base >= params.down_min_acceleration_x
    return Signals(
        up=Rule(change >= params.up_min_return, params.up_min_spike_x, confirmed=close > pl.col("high_20")),
        down=Rule(change <= params.down_max_return, confirmed=accelerates & (close < pl.col("low_20"))),
        features={"earlier_return": before(change, params.down_acceleration_bars)},
    )
