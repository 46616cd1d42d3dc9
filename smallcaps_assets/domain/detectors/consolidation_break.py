"""Price leaves a flat base: half an hour whose whole range is small against what single minutes move."""

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.detectors.common import Signals, edge
from smallcaps_assets.domain.params import Params


class ConsolidationBreakParams(Params):
    """Specification, section 3.4. Shares are fractions of the edge of the base."""

    max_flatness: float = Field(gt=0)
    min_spike_x: float = Field(ge=0)
    up_min_above_share: float = Field(ge=0)
    down_min_below_share: float = Field(ge=0, lt=1)


def consolidation_break(params: ConsolidationBreakParams) -> Signals:
    """Edges of a close beyond the base before it, on volume."""
    close = pl.col("close")
    coiled = (pl.col("flatness") <= params.max_flatness) & (pl.col("spike_x") >= params.min_spike_x)
    return Signals(
        up=edge(coiled & (close >= pl.col("base_high") * (1 + params.up_min_above_share))),
        down=edge(coiled & (close <= pl.col("base_low") * (1 - params.down_min_below_share))),
    )
