"""Detection of events in minute bars (specification, sections 2 to 4)."""

import hashlib
import json
from collections.abc import Collection
from datetime import timedelta
from typing import Final, NamedTuple, Self

import polars as pl
from pydantic import Field, model_validator

from smallcaps_assets.domain.events.candidates import find_events
from smallcaps_assets.domain.events.condition_bars import with_condition_bars
from smallcaps_assets.domain.events.cooldown import CooldownParams, keep_best_of_windows
from smallcaps_assets.domain.events.detectors import EVENT_TYPES, DetectorParams
from smallcaps_assets.domain.events.features import (
    DAILY,
    FeatureParams,
    daily_dollar_volume,
    relative_volume,
    select_days,
    with_days,
    with_features,
)
from smallcaps_assets.domain.events.score import ScoreParams, score, tier
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS, CANDIDATES, REFERENCE, SHARD
from smallcaps_assets.domain.universe import known_reference

BAR_DURATION: Final = timedelta(minutes=1)
# The columns that detection reads; it does not use the vendor's VWAP.
BARS_READ: Final = tuple(name for name in BARS if name != "vwap")


class FilterParams(Params):
    """Filters of the events of all detectors. Dollars, shares, fractions of 1, days."""

    min_close_usd: float = Field(ge=0)
    max_close_usd: float = Field(gt=0)
    min_dollar_volume_day_bullish_usd: float = Field(ge=0)
    min_dollar_volume_day_bearish_usd: float = Field(ge=0)
    min_float_bullish_shares: float = Field(ge=0)
    min_float_bearish_shares: float = Field(ge=0)
    max_short_interest_share: float = Field(ge=0)
    max_days_to_cover: float = Field(ge=0)

    @model_validator(mode="after")
    def _closes_in_order(self) -> Self:
        if self.min_close_usd > self.max_close_usd:
            raise ValueError(f"min_close_usd {self.min_close_usd} exceeds max_close_usd {self.max_close_usd}")
        return self

    @property
    def least_dollar_volume_day_usd(self) -> float:
        """The lowest dollar volume of a day on which an event can pass: days below it are skipped."""
        return min(self.min_dollar_volume_day_bullish_usd, self.min_dollar_volume_day_bearish_usd)


# number of an edge among those of a detection
_EDGE: Final = "edge"
# Parameters whose effect on a symbol is part of its `reference_verdicts`.
_REFERENCE_PARAMS: Final = {
    "min_float_bullish_shares",
    "min_float_bearish_shares",
    "max_short_interest_share",
    "max_days_to_cover",
}


class DetectionParams(Params):
    """All parameters that determine the events and their columns."""

    features: FeatureParams
    detectors: DetectorParams
    filters: FilterParams
    score: ScoreParams
    cooldown: CooldownParams
    tier_min_scores: list[float]

    def dump_for(self, event_type: str) -> str:
        """The parameters that determine the events of one type, as JSON; without tiers, groups and reference data."""
        shared = self.model_dump(mode="json", exclude={"detectors", "tier_min_scores", "cooldown", "filters"})
        filters = self.filters.model_dump(mode="json", exclude=_REFERENCE_PARAMS)
        cooldown = self.cooldown.model_dump(mode="json", exclude={"group_window_min"})
        detector: Params = getattr(self.detectors, event_type)
        return json.dumps([shared, filters, cooldown, detector.model_dump(mode="json")], sort_keys=True)


DETECTION_COUNTS: Final = (
    "bars_outside_sessions",
    "days_filtered",
    "events_found",
    "events_filtered",
    "events_cooled_down",
    "reference_unknown",
)


class Detection(NamedTuple):
    """Events after cooldown (SHARD), dollar volume of each day (DAILY), and rows removed by each rule per symbol.

    `candidates` are every edge (CANDIDATES, or KEPT_CANDIDATES), sorted like the events; None unless asked for.
    """

    events: pl.DataFrame
    daily: pl.DataFrame
    by_symbol: dict[str, dict[str, int]]
    candidates: pl.DataFrame | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows that each rule removed, over all symbols."""
        return {name: sum(of_symbol[name] for of_symbol in self.by_symbol.values()) for name in DETECTION_COUNTS}


def detect(  # noqa: PLR0913 -- all but the first three are optional
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    params: DetectionParams,
    *,
    reference: pl.DataFrame | None = None,
    earlier_days: pl.DataFrame | None = None,
    types: Collection[str] = EVENT_TYPES,
    keep_candidates: bool = False,
    keep_conditions: bool = False,
    borders: ListingBorders = NO_BORDERS,
) -> Detection:
    """Detect events in clean bars (BARS, sorted by symbol and timestamp), all days of all symbols in one pass.

    Args:
        bars: usable bars, see `quality.clean_bars`.
        sessions: SESSION_TABLE that covers the dates of the bars, and with `earlier_days` the `rvol_sessions` sessions
            before them; bars outside it are dropped and counted.
        params: thresholds.
        reference: REFERENCE of the known symbols; unknown values pass and are counted.
        earlier_days: DAILY of days before the first bar, so that detection by day equals detection of all days.
        types: event types to detect.
        keep_candidates: also return every edge, on all days; the events are the same.
        keep_conditions: return the candidates with their `condition_bars` (KEPT_CANDIDATES).
        borders: where tickers change their owners; no baseline reaches over one.

    Returns:
        Events sorted by symbol, timestamp, event_type, and DETECTION_COUNTS.
    """
    labeled = with_session(bars.select(*BARS_READ), sessions)
    all_days = with_days(labeled.filter(pl.col("day").is_not_null()))
    daily = daily_dollar_volume(all_days)
    eligible = daily["dollar_volume_day"] >= params.filters.least_dollar_volume_day_usd
    keep_candidates |= keep_conditions
    features = with_features(all_days if keep_candidates else select_days(all_days, eligible), params.features)
    if keep_conditions:
        features = features.with_columns(eligible=eligible.gather(features["day_start"].rle_id()))
        rows = find_events(features, params.detectors, params.features, types, keep=pl.col("eligible"))
    else:
        rows = find_events(features, params.detectors, params.features, types)
    edges = rows.filter("begins")
    found = edges.join(daily.filter(eligible), on=["symbol", "day"], how="semi") if keep_candidates else edges
    history = DAILY.to_frame() if earlier_days is None else earlier_days.match_to_schema(DAILY)
    every_day = pl.concat([history, daily]).sort("symbol", "day")
    days = relative_volume(every_day, sessions, params.features, borders)
    verdicts = reference_verdicts(REFERENCE.to_frame() if reference is None else reference, params.filters)
    judged = judge_edges(_with_days(edges, days), verdicts, params)
    candidates = _as_candidates(judged, params.tier_min_scores) if keep_candidates else None
    events = (
        as_shard(judged.kept, params.tier_min_scores)
        if candidates is None
        else candidates.filter("kept_by_cooldown").select(*SHARD)
    )
    if candidates is not None and keep_conditions:
        candidates = with_condition_bars(candidates, rows)
    return Detection(
        events=events,
        daily=daily,
        by_symbol=count_removed(
            outside=labeled.filter(pl.col("day").is_null()),
            days=daily,
            eligible_days=daily.filter(eligible),
            found=found,
            passed=judged.passed,
            kept=judged.kept,
        ),
        candidates=candidates,
    )


class JudgedEdges(NamedTuple):
    """Edges after each step: all of them with `passes_filters`, those that pass, and those that the cooldown keeps."""

    all: pl.DataFrame
    passed: pl.DataFrame
    kept: pl.DataFrame


def judge_edges(edges: pl.DataFrame, verdicts: pl.DataFrame, params: DetectionParams) -> JudgedEdges:
    """Score edges, and apply the filters and the cooldown.

    Args:
        edges: `symbol`, `event_type`, `direction`, the figures of their bars, `dollar_volume_day` and `rvol_day`.
        verdicts: see `reference_verdicts`.
        params: thresholds.
    """
    judged = (
        edges.lazy()
        .join(verdicts.lazy(), on="symbol", how="left")
        .with_columns(passes_filters=_passes(params.filters).fill_null(value=False), score=score(params.score))
        .sort("symbol", "event_type", "timestamp", "direction", descending=[False, False, False, True])
        .collect()
        .with_row_index(_EDGE)
    )
    passed = judged.filter("passes_filters")
    return JudgedEdges(judged, passed, keep_best_of_windows(passed, params.cooldown))


def _with_days(edges: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Edges with the dollar and relative volume of their day."""
    return edges.join(days, on=["symbol", "day"], how="left")


def _as_candidates(judged: JudgedEdges, tier_min_scores: list[float]) -> pl.DataFrame:
    """All edges (CANDIDATES), sorted like a shard."""
    kept_by_cooldown = pl.col(_EDGE).is_in(judged.kept[_EDGE].implode())
    return as_shard(judged.all.with_columns(kept_by_cooldown=kept_by_cooldown), tier_min_scores, CANDIDATES)


def with_tiers(events: pl.DataFrame, params: DetectionParams) -> pl.DataFrame:
    """`events` (SHARD) with `tier` set from their scores."""
    return events.with_columns(tier=tier(params.tier_min_scores))


def count_removed(**steps: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Rows that each rule removed (DETECTION_COUNTS) by symbol, from the rows that remain after each step."""
    unknown = steps["passed"].filter(~pl.col("float_known").fill_null(value=False))
    steps |= {"unknown": unknown}
    rows = pl.concat(left.select("symbol", step=pl.lit(name)) for name, left in steps.items())
    left_by_step = {name: (pl.col("step") == name).sum() for name in steps}
    removed = {}
    for row in rows.group_by("symbol").agg(**left_by_step).iter_rows(named=True):
        removed[row["symbol"]] = {
            "bars_outside_sessions": row["outside"],
            "days_filtered": row["days"] - row["eligible_days"],
            "events_found": row["found"],
            "events_filtered": row["found"] - row["passed"],
            "events_cooled_down": row["passed"] - row["kept"],
            "reference_unknown": row["unknown"],
        }
    return removed


def reference_verdicts(reference: pl.DataFrame, params: FilterParams) -> pl.DataFrame:
    """The directions that reference data (REFERENCE) permit: `symbol`, `may_rise`, `may_fall`, `float_known`.

    Unknown values pass: nulls, a float that is not positive, and a short interest or days to cover below 0.
    """

    def holds(condition: pl.Expr) -> pl.Expr:
        return condition.fill_null(value=True)

    float_shares = pl.col("float_shares")
    short_share = pl.col("short_interest_shares") / float_shares
    return reference.with_columns(known_reference(reference.columns)).select(
        "symbol",
        may_rise=holds(float_shares >= params.min_float_bullish_shares),
        may_fall=holds(float_shares >= params.min_float_bearish_shares)
        & holds(short_share <= params.max_short_interest_share)
        & holds(pl.col("days_to_cover") <= params.max_days_to_cover),
        float_known=float_shares.is_not_null(),
    )


def _passes(params: FilterParams) -> pl.Expr:
    bullish = pl.col("direction") == "up"
    needed_dollars = (
        pl.when(bullish)
        .then(params.min_dollar_volume_day_bullish_usd)
        .otherwise(params.min_dollar_volume_day_bearish_usd)
    )
    return (
        pl.col("close").is_between(params.min_close_usd, params.max_close_usd)
        & (pl.col("dollar_volume_day") >= needed_dollars)
        & pl.when(bullish).then("may_rise").otherwise("may_fall").fill_null(value=True)
    )


def as_shard(events: pl.DataFrame, tier_min_scores: list[float], schema: pl.Schema = SHARD) -> pl.DataFrame:
    """Events with their ids and the columns of `schema`, sorted by symbol, timestamp, event_type."""
    close, open_ = pl.col("close"), pl.col("open")
    colour = pl.when(close > open_).then(pl.lit("green")).when(close < open_).then(pl.lit("red"))
    complete = events.with_columns(
        date=pl.col("day").dt.to_string("%Y-%m-%d"),
        event_bias=pl.when(pl.col("direction") == "up").then(pl.lit("bullish")).otherwise(pl.lit("bearish")),
        close_vs_open=colour.otherwise(pl.lit("flat")),
        tier=tier(tier_min_scores),
        known_at=pl.col("timestamp") + BAR_DURATION,
        vwap_at_event="vwap_session",
        flatness_score="flatness",
        session=pl.col("session").cast(pl.String),
        is_premarket=pl.col("session") == "PM",
        is_afterhours=pl.col("session") == "AH",
    )
    return (
        complete.with_columns(event_id=event_ids(complete))
        .select(*schema)
        .match_to_schema(schema)
        .sort("symbol", "timestamp", "event_type", "direction", descending=[False, False, False, True])
    )


def event_ids(events: pl.DataFrame) -> pl.Series:
    """`{symbol}_{event_type}_{YYYYMMDD_HHMMSS}_{h}`: UTC, `h` = the first 8 hex digits of a SHA-1.

    The hash is over `{symbol}|{event_type}|{timestamp.isoformat()}`, computed row by row because Polars has no SHA-1.
    """
    timestamp = pl.col("timestamp")
    iso, in_a_second = timestamp.dt.strftime("%Y-%m-%dT%H:%M:%S"), timestamp.dt.microsecond() != 0
    # both branches would format every row
    if events.select(in_a_second.any()).item():
        iso = pl.when(in_a_second).then(timestamp.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")).otherwise(iso)
    parts = events.select(
        key=pl.concat_str("symbol", "event_type", iso + "+00:00", separator="|"),
        stem=pl.concat_str("symbol", "event_type", timestamp.dt.strftime("%Y%m%d_%H%M%S"), separator="_"),
    )
    keys = parts["key"].cast(pl.Binary).to_list()
    digests = [hashlib.sha1(key, usedforsecurity=False).hexdigest()[:8] for key in keys]
    return (parts["stem"] + "_" + pl.Series(digests, dtype=pl.String)).alias("event_id")
