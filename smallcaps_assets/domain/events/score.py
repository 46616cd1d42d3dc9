"""Score of an event, its strength from 0 to 1, and the tier that follows from it (specification, section 4)."""

import math
from functools import reduce
from operator import add
from typing import Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.params import Params


class ScoreWeights(Params):
    """Weight of each component of the score; only the ratios matter."""

    volume_spike_magnitude: float = Field(ge=0)
    price_change_magnitude: float = Field(ge=0)
    volume_confirm: float = Field(ge=0)
    consecutive_bars: float = Field(ge=0)
    distance_from_vwap: float = Field(ge=0)

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("all weights are 0: give at least one component a weight")
        return self


class ScoreParams(Params):
    """Weights, and the value at which each component reaches 1."""

    weights: ScoreWeights
    full_spike_x: float = Field(gt=1)
    full_price_change: float = Field(gt=0)
    dollar_volume_floor_usd: float = Field(gt=0)
    dollar_volume_decades: float = Field(gt=0)
    full_run_bars: int = Field(gt=0)
    full_vwap_distance: float = Field(gt=0)


def score(params: ScoreParams) -> pl.Expr:
    """Weighted mean of the components, each clipped to [0, 1] and 0 where it is unknown."""
    close = pl.col("close")
    price_change = pl.coalesce(pl.col("return_5").abs(), (close / pl.col("open") - 1).abs())
    run = pl.when(pl.col("direction") == "up").then("green_run").otherwise("red_run")
    decades = _share(pl.col("dollar_volume"), params.dollar_volume_floor_usd).log10()
    components = {
        "volume_spike_magnitude": _share(pl.col("spike_x").log(), math.log(params.full_spike_x)),
        "price_change_magnitude": _share(price_change, params.full_price_change),
        "volume_confirm": _share(decades, params.dollar_volume_decades),
        "consecutive_bars": _share(run.cast(pl.Float64), params.full_run_bars),
        "distance_from_vwap": _share((close / pl.col("vwap_session") - 1).abs(), params.full_vwap_distance),
    }
    weights: dict[str, float] = params.weights.model_dump()
    weighted = [weights[name] * value.clip(0, 1).fill_null(0) for name, value in components.items()]
    # added one after the other: the order of `sum_horizontal` varies with the frame, and the last digit with it
    return _share(reduce(add, weighted), sum(weights.values()))


def _share(value: pl.Expr, full: float) -> pl.Expr:
    """`value` as a fraction of `full`.

    The divisor is a column: Polars replaces division by a number with multiplication by its inverse, except in frames
    of one or two rows, so the last digit would depend on the number of rows.
    """
    return value / (0 * pl.col("close") + full)


def tier(min_scores: list[float]) -> pl.Expr:
    """Tier (Int64): 1 where the score reaches the first of `min_scores`, else 2 for the second, and so on."""
    result = pl.lit(len(min_scores) + 1, dtype=pl.Int64)
    for number, min_score in reversed(list(enumerate(min_scores, start=1))):
        result = pl.when(pl.col("score") >= min_score).then(pl.lit(number, dtype=pl.Int64)).otherwise(result)
    return result
