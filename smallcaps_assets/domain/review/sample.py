"""What a person looks at before trusting a manifest: which of its events, and what of the market around each."""

import hashlib
from typing import Final, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.events.features import (
    FeatureParams,
    before,
    with_days,
    with_features,
    with_spikes,
    with_windows,
)
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import MANIFEST, SESSIONS

STRATUM: Final = ("event_type", "session", "score_band")

# A sampled row of a manifest; `stratum_events` is the number of events of its stratum in the manifest.
SAMPLE: Final = pl.Schema({**MANIFEST, "score_band": pl.Int64(), "stratum_events": pl.Int64()})

# One traded minute of the chart of an event; `minute` counts from the minute of the event.
CHART_BARS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "minute": pl.Int64(),
        "session": pl.String(),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "vwap_session": pl.Float64(),
        "volume_baseline": pl.Float64(),
    }
)

# The price zone that the event left, [start, end) in minutes from the event: the opening range or the base, else null.
# `trouble` is what is wrong with the bars: `no_bars`, `no_event_bar`, `changed` (the bar of the event differs from the
# one it was detected on), else null.
CHARTS: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "zone_low": pl.Float64(),
        "zone_high": pl.Float64(),
        "zone_start": pl.Int64(),
        "zone_end": pl.Int64(),
        "trouble": pl.String(),
    }
)


class ReviewParams(Params):
    """Number of events to label, extent of their charts, and the minimum precision."""

    events: int = Field(gt=0, le=1_000)
    seed: int = Field(ge=0)
    score_bands: int = Field(gt=0)
    minutes_before: int = Field(gt=0, le=1_440)
    minutes_after: int = Field(gt=0, le=1_440)
    min_precision_pct: float = Field(gt=0, le=100)

    @model_validator(mode="after")
    def _room_for_every_stratum(self) -> Self:
        strata = len(EVENT_TYPES) * len(SESSIONS) * self.score_bands
        if self.events < strata:
            raise ValueError(
                f"events {self.events} cannot hold one of each of {strata} strata (types x sessions x score_bands): "
                "raise events or lower score_bands"
            )
        return self


class ChartRules(NamedTuple):
    """Settings of a chart: look-back lengths, minutes of the opening range, extent."""

    features: FeatureParams
    opening_range_min: int
    review: ReviewParams


class Charts(NamedTuple):
    """Chart data: the bars (CHART_BARS, by event and minute), and one row per event (CHARTS)."""

    bars: pl.DataFrame
    charts: pl.DataFrame


def draw_sample(manifest: pl.DataFrame, params: ReviewParams) -> pl.DataFrame:
    """The events of a manifest to label (SAMPLE), in an order whose every prefix is unbiased.

    A stratum is an event type, a session and a score band (equal parts of the manifest by score). Each
    contributes one event; the other places go to strata in proportion to their events (Sainte-Laguë). The choice and
    its order depend on the seed and the event ids only, so that an event tends to be sampled again from the next
    manifest.
    """
    edges = [pl.col("score").quantile(part / params.score_bands, "linear") for part in range(1, params.score_bands)]
    band = pl.sum_horizontal(pl.lit(1, dtype=pl.Int64), *((pl.col("score") > edge).cast(pl.Int64) for edge in edges))
    draw = [hashlib.sha256(f"{params.seed}|{name}".encode()).hexdigest() for name in manifest["event_id"]]
    place, size = pl.int_range(pl.len()).over(STRATUM), pl.len().over(STRATUM)
    return (
        manifest.with_columns(pl.Series("draw", draw, dtype=pl.String), score_band=band)
        .sort("draw", "event_id")
        .with_columns(
            stratum_events=size.cast(pl.Int64),
            claim=pl.when(place == 0).then(float("inf")).otherwise(size / (2 * place + 1)),
        )
        .sort("claim", *STRATUM, descending=[True, False, False, False], maintain_order=True)
        .head(params.events)
        .sort("draw", "event_id")
        .select(*SAMPLE)
        .match_to_schema(SAMPLE)
    )


def sample_id(manifest_id: str, events: pl.DataFrame) -> str:
    """Identity of a sample: 16 hex digits of a hash over the manifest id and the sampled events."""
    text = "\n".join([manifest_id, *events["event_id"]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def chart_frames(events: pl.DataFrame, bars: pl.DataFrame, sessions: pl.DataFrame, rules: ChartRules) -> Charts:
    """The market around each event, recomputed from bars as detection does.

    Args:
        events: SAMPLE.
        bars: BARS of the whole days of the events, sorted by symbol and timestamp; days may be missing.
        sessions: SESSION_TABLE of these days.
        rules: settings of the charts.
    """
    inside = with_session(bars, sessions).filter(pl.col("session").is_not_null())
    base_start = before(pl.col("timestamp"), rules.features.base_bars)
    features = with_features(with_days(inside), rules.features).with_columns(base_start=base_start)
    computed = with_windows(with_spikes(features, features, rules.features), features, rules.features).lazy()
    stored = events.lazy().select(
        "event_id", "symbol", "event_type", at="timestamp", day=pl.col("date").str.to_date("%Y-%m-%d")
    )
    around = stored.join(computed, on=["symbol", "day"], maintain_order="left_right").with_columns(
        minute=_minutes(pl.col("timestamp"))
    )
    day = around.collect()
    zones = _zones(day, rules.opening_range_min)
    charts = _with_trouble(events.select("event_id", "close", "volume").join(zones, on="event_id", how="left"), day)
    first = pl.min_horizontal(
        -rules.review.minutes_before, pl.when(pl.col("event_type") == "consolidation_break").then("zone_start")
    )
    shown = day.join(zones, on="event_id", how="left", maintain_order="left").filter(
        pl.col("minute").is_between(first, pl.lit(rules.review.minutes_after))
    )
    named = shown.with_columns(pl.col("session").cast(pl.String))
    return Charts(named.select(*CHART_BARS).match_to_schema(CHART_BARS), charts.select(*CHARTS).match_to_schema(CHARTS))


def _minutes(moment: pl.Expr) -> pl.Expr:
    """Whole minutes from the event to a moment."""
    return (moment - pl.col("at")).dt.total_minutes()


def _zones(day: pl.DataFrame, opening_range_min: int) -> pl.DataFrame:
    """The opening range of each opening-range break, the base of each consolidation break."""
    opened = pl.col("regular_open")
    closed = opened + pl.duration(minutes=opening_range_min)
    ranges = (
        day.filter(
            pl.col("event_type") == "opening_range_break",
            pl.col("session") == "RTH",
            pl.col("timestamp") < closed,
        )
        .group_by("event_id")
        .agg(
            zone_low=pl.col("low").min(),
            zone_high=pl.col("high").max(),
            zone_start=_minutes(opened).first(),
            zone_end=_minutes(closed).first(),
        )
    )
    bases = day.filter(pl.col("event_type") == "consolidation_break", pl.col("minute") == 0).select(
        "event_id",
        zone_low="base_low",
        zone_high="base_high",
        zone_start=_minutes(pl.col("base_start")),
        zone_end=pl.lit(0, dtype=pl.Int64),
    )
    return pl.concat([ranges, bases.drop_nulls()])


def _with_trouble(charts: pl.DataFrame, day: pl.DataFrame) -> pl.DataFrame:
    """`charts` with the column `trouble`."""
    at_event = day.filter(pl.col("minute") == 0).select("event_id", close_now="close", volume_now="volume")
    there = day.select("event_id", there=pl.lit(value=True)).unique()
    same = (pl.col("close") == pl.col("close_now")) & (pl.col("volume") == pl.col("volume_now"))
    return (
        charts.join(there, on="event_id", how="left", maintain_order="left")
        .join(at_event, on="event_id", how="left", maintain_order="left")
        .with_columns(
            trouble=pl.when(pl.col("there").is_null())
            .then(pl.lit("no_bars"))
            .when(pl.col("close_now").is_null())
            .then(pl.lit("no_event_bar"))
            .when(~same)
            .then(pl.lit("changed"))
        )
    )
