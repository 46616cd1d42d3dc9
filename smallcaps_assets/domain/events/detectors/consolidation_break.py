"""Price leaves a flat base: half an hour whose range is small compared with that of single minutes."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.detectors.common import Rule, Signals
from smallcaps_assets.domain.events.features import before
from smallcaps_assets.domain.params import Params


class ConsolidationBreakParams(Params):
    """Specification, section 3.4. Shares are fractions of the edge of the base."""

    max_flatness: float = Field(gt=0)
    min_spike_x: float = Field(ge=0)
    up_min_above_share: float = Field(ge=0)
    down_min_below_share: float = Field(ge=0, lt=1)


def consolidation_break(params: ConsolidationBreakParams) -> Signals:
    """Edges of a close beyond the preceding base, on volume."""
    close, coiled = pl.col("close"), pl.col("flatness") <= params.max_flatness
    above, below = 1 + params.up_min_above_share, 1 - params.down_min_below_share
    # a close beyond the whole base is beyond its last bar
    return Signals(
        up=Rule(
            candidate=close >= before(pl.col("high")) * above,
            min_spike_x=params.min_spike_x,
            confirmed=coiled & (close >= pl.col("base_high") * above),
        ),
        down=Rule(
            candidate=close <= before(pl.col("low")) * below,
            min_spike_x=params.min_spike_x,
            confirmed=coiled & (close <= pl.col("base_low") * below),
        ),
    )
