"""Waves after events: legs, momentum, excursions and outcome (research specification, sections 3.1 to 3.4)."""

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import FloatArray, IntArray
from smallcaps_assets.domain.research.outcome_params import OutcomeParams
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN, BarsAfter
from smallcaps_assets.domain.research.outcomes.excursions import excursions
from smallcaps_assets.domain.research.outcomes.legs import US_PER_S, count_legs, leg_rows
from smallcaps_assets.domain.research.outcomes.nulls import nullable
from smallcaps_assets.domain.research.outcomes.zigzag import BarPoints, Paths, find_legs, least_turn, order_points
from smallcaps_assets.domain.research.prices import BPS, MICRO
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES, VELOCITY_MIN

# events that are computed together, which bounds what is in memory besides the tables
_EVENTS_AT_ONCE: Final = 20_000
_OUTCOME_MIN: Final = 15
# theta: bar_atr times the factor within its bounds; where bar_atr is null the default
_ATR_FACTOR: Final = 3.0
_LEAST_THETA: Final = 0.01
_MOST_THETA: Final = 0.10
_DEFAULT_THETA: Final = 0.02
_FROM_FEATURES: Final = ("bar_atr", "velocity_pre_5", "acceleration_pre_5")
_FROM_EVENTS: Final = ("event_id", "symbol", "timestamp", "event_type", "in_master")


class WaveTables(NamedTuple):
    """What follows events that have a bar.

    Attributes:
        waves: EVENT_WAVES, by event in the order given and leg.
        outcomes: EVENT_OUTCOMES, in the order given.
    """

    waves: pl.DataFrame
    outcomes: pl.DataFrame


def event_waves(after: BarsAfter, features: pl.DataFrame, params: OutcomeParams) -> WaveTables:
    """Legs and figures of the path of each event, which begins when the event's minute is over.

    Args:
        after: events (RESEARCH_EVENTS) that have a bar, and the bars that follow them.
        features: BAR_FEATURES of these events, in any order.
        params: the horizon of the waves.
    """
    points = order_points(after.bars)
    of_events = features.select("event_id", "symbol", *_FROM_FEATURES)
    parts = [
        _part(after.part(slice(start, start + _EVENTS_AT_ONCE)), points, of_events, params)
        for start in range(0, len(after), _EVENTS_AT_ONCE)
    ]
    waves = pl.concat([EVENT_WAVES.to_frame(), *(part.waves for part in parts)])
    return WaveTables(waves, pl.concat([EVENT_OUTCOMES.to_frame(), *(part.outcomes for part in parts)]))


def _part(after: BarsAfter, points: BarPoints, features: pl.DataFrame, params: OutcomeParams) -> WaveTables:
    """The tables of some events."""
    events = after.events.select(_FROM_EVENTS)
    rows = events.join(features, on=["event_id", "symbol"], how="left", maintain_order="left", validate="1:1")
    is_default = rows["bar_atr"].is_null()
    theta = rows["bar_atr"].fill_null(_DEFAULT_THETA / _ATR_FACTOR).to_numpy() * _ATR_FACTOR
    theta = np.where(is_default, _DEFAULT_THETA, np.clip(theta, _LEAST_THETA, _MOST_THETA))
    threshold = np.floor(MICRO * theta + 0.5).astype(np.int64)
    # where after-hours end within a minute, K may be later
    horizon = np.maximum(after.until(params.wave_horizon_min), after.known_at)
    paths = Paths(after.first, after.count_until(horizon), threshold)
    legs = find_legs(points, paths)
    waves = leg_rows(after, points, legs)
    outcomes = rows.with_columns(
        pl.Series("theta", theta),
        is_default.alias("theta_default"),
        pl.Series("wave_horizon_s", (horizon - after.known_at) / US_PER_S),
        pl.Series("path_ambiguous_bars", _count_ambiguous(points, paths)),
        *count_legs(len(after), legs, waves),
        *_momentum(after, points),
        *excursions(after, points),
        _outcome(after, points, threshold),
    )
    return WaveTables(waves, outcomes.select(*EVENT_OUTCOMES).match_to_schema(EVENT_OUTCOMES))


def _count_ambiguous(points: BarPoints, paths: Paths) -> IntArray:
    """How many bars of each path are as high as the threshold: in these the order of points can change the legs."""
    owner = np.repeat(np.arange(len(paths.first)), paths.bars)
    before = np.cumsum(paths.bars) - paths.bars
    position = np.arange(len(owner)) + np.repeat(paths.first - before, paths.bars)
    # the points between open and close are low and high
    extremes = points.micros[1:3, position]
    low, high = extremes.min(axis=0), extremes.max(axis=0)
    is_wide = high - low >= least_turn(low, paths.threshold[owner])
    return np.bincount(owner[is_wide], minlength=len(paths.first)).astype(np.int64)


def _momentum(after: BarsAfter, points: BarPoints) -> list[pl.Series]:
    """Velocities and acceleration; null without a bar, or where K + k min is after the end of after-hours."""
    close = points.usd[-1]
    at, known = {0: close[after.own]}, {}
    for minutes in VELOCITY_MIN:
        bound = after.known_at + minutes * US_PER_MIN
        bars = after.count_until(bound)
        at[minutes], known[minutes] = close[after.first + bars - 1], (bars > 0) & (bound <= after.end_of_day)

    def velocity(since: int, until: int) -> FloatArray:
        found: FloatArray = after.sign * BPS * np.log(at[until] / at[since]) / (until - since) + 0.0
        return found

    velocities = [nullable(f"velocity_{k}_bps_per_min", velocity(0, k), known[k]) for k in VELOCITY_MIN]
    acceleration = (velocity(5, 10) - velocity(0, 5)) / 5
    return [*velocities, nullable("acceleration_10_bps_per_min2", acceleration, known[5] & known[10])]


def _outcome(after: BarsAfter, points: BarPoints, threshold: IntArray) -> pl.Series:
    """Which way the price first went by theta within 15 minutes, whatever the horizon of the waves is."""
    bound = after.known_at + _OUTCOME_MIN * US_PER_MIN
    bars = after.count_until(bound)
    legs = find_legs(points, Paths(after.first, bars, threshold))
    first = np.flatnonzero(legs.number == 1)
    towards = np.zeros(len(after), dtype=np.int64)
    towards[legs.event[first]] = legs.sign[first]
    close = points.micros[-1]
    gained = after.sign * (close[after.first + bars - 1] - close[after.own])
    names = np.select(
        [towards == 0, towards == -after.sign, gained > 0],
        ["stall", "reversal", "continuation"],
        default="failed_continuation",
    )
    return nullable("outcome", names, bound <= after.end_of_day)
