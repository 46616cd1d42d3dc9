"""Windows of the events of a manifest: how long, and which are extended (specification, section 5)."""

from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params

ExtensionFigures = dict[str, float | int | None]
# guards floor(share x rows) against products such as 0.29 x 100 = 28.999...
FLOOR_GUARD: Final = 1e-9


class WindowParams(Params):
    """Minutes before and after the event."""

    before_min: int = Field(gt=0, le=1_440)
    after_min: int = Field(gt=0, le=1_440)


class ExtensionParams(Params):
    """Which events get the longer window."""

    speed_percentile: float = Field(ge=0, le=100)
    spread_percentile: float = Field(ge=0, le=100)
    min_spike_x: float = Field(ge=0)
    max_extended_share: float = Field(ge=0, le=1)


def bar_spread() -> pl.Expr:
    """Range of the event's bar as a share of its VWAP."""
    return (pl.col("high") - pl.col("low")) / pl.col("vwap_at_event")


def window_minutes(extended: int, ordinary: int) -> pl.Expr:
    """Minutes of the window, by `extended`."""
    return pl.when("extended").then(pl.lit(extended, dtype=pl.Int64)).otherwise(pl.lit(ordinary, dtype=pl.Int64))


def extend_windows(rows: pl.DataFrame, params: ExtensionParams) -> tuple[pl.Series, ExtensionFigures]:
    """Which rows (MANIFEST, in rank order) get the extended window, and the figures that decided it."""
    speed = rows.select(pl.col("transactions").quantile(params.speed_percentile / 100, "linear")).item()
    spread = rows.select(bar_spread().quantile(params.spread_percentile / 100, "linear")).item()
    triggered = pl.any_horizontal(
        pl.col("transactions") >= pl.lit(speed, dtype=pl.Float64),
        bar_spread() >= pl.lit(spread, dtype=pl.Float64),
        pl.col("spike_x") >= params.min_spike_x,
    ).fill_null(value=False)
    most = int(params.max_extended_share * rows.height + FLOOR_GUARD)
    marks = rows.select(triggered=triggered).with_columns(
        extended=pl.col("triggered") & (pl.col("triggered").cum_sum() <= most)
    )
    return marks["extended"], {
        "transactions_threshold": speed,
        "spread_threshold": spread,
        "spike_x_threshold": params.min_spike_x,
        "triggered": int(marks["triggered"].sum()),
        "extended": int(marks["extended"].sum()),
    }
