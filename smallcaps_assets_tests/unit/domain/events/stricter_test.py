"""Stricter thresholds make other edges; the bars at which the conditions of candidates hold decide them exactly."""

from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.condition_bars import list_condition_bars
from smallcaps_assets.domain.events.detection import Detection, DetectionParams, detect
from smallcaps_assets.domain.events.stricter import LOWERED, RAISED, detect_in_candidates, needs_bars
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.pipeline.calendar import sessions_and_earlier
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.scenarios import bars_from, default_settings, flat
from smallcaps_assets_tests.strategies.bars import bars_frames, references

BASE = default_settings().detection
Changes = dict[str, Any]


def changed(**values: object) -> DetectionParams:
    """The default settings with some replaced; `__` in a name stands for the dot of a key."""
    changes: Changes = {}
    for key, value in values.items():
        *path, last = key.split("__")
        place = changes
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return load_settings(overrides=changes).detection


def value_of(name: str) -> float:
    node: Any = BASE.detectors
    for part in name.split("."):
        node = getattr(node, part)
    assert isinstance(node, int | float)
    return node


def found(bars: pl.DataFrame, params: DetectionParams, reference: pl.DataFrame | None = None) -> Detection:
    days = bars.select(first=new_york_date(pl.col("timestamp")).min(), last=new_york_date(pl.col("timestamp")).max())
    first, last = days.row(0)
    sessions = sessions_and_earlier(first, last, 60, default_settings().sessions)
    return detect(bars, sessions, params, reference=reference, keep_conditions=True)


def assert_both_roads_agree(bars: pl.DataFrame, params: DetectionParams, reference: pl.DataFrame | None = None) -> None:
    kept = found(bars, BASE, reference)
    assert kept.candidates is not None
    judged, detected = (
        detect_in_candidates(list_condition_bars(kept.candidates), kept.daily, params, reference),
        found(bars, params, reference),
    )
    assert_frame_equal(judged.events, detected.events, check_exact=True)
    assert judged.by_symbol == {
        symbol: counts | {"bars_outside_sessions": 0}
        for symbol, counts in detected.by_symbol.items()
        if counts != dict.fromkeys(counts, 0) | {"bars_outside_sessions": counts["bars_outside_sessions"]}
        or symbol in judged.by_symbol
    }


# ------------------------------------------------------------------------------------- edges are not a subset of edges

# A minute of 7 times the usual volume, up 2 %, and one of 25 times, up 2 % again: the second continues the first.
SPIKES = [(10.0, 10.21, 10.0, 10.2, 70_000.0, 300), (10.2, 10.42, 10.2, 10.4, 250_000.0, 900)]
# Closes 1 % and 4 % above the opening range of 10.01, both on three times the volume.
BREAKS = [(10.0, 10.12, 10.0, 10.11, 30_000.0, 40), (10.11, 10.42, 10.1, 10.41, 30_000.0, 40)]
# 60 and 300 trades after a mean of 20.
SPEEDS = [(10.0, 10.01, 10.0, 10.01, 10_000.0, 60), (10.01, 10.02, 10.01, 10.02, 10_000.0, 300)]


@pytest.mark.parametrize(
    ("event_type", "rows", "stricter"),
    [
        ("volume_spike", [*flat(40), *SPIKES], {"detectors__volume_spike__regular__min_spike_x": 10.0}),
        ("opening_range_break", [*flat(40), *BREAKS], {"detectors__opening_range_break__up_min_above_share": 0.03}),
        ("tape_speed", [*flat(40, transactions=20), *SPEEDS], {"detectors__tape_speed__min_transactions": 100}),
    ],
)
def test_a_stricter_threshold_makes_an_event_where_none_was(
    event_type: str, rows: list[Any], stricter: Changes
) -> None:
    # the last minute begins nothing under the defaults, since the minute before it is an event already; under the
    # stricter threshold, which the minute before does not reach, it does
    bars = bars_from("2025-10-27 09:30", [*rows, *flat(60, rows[-1][3])])
    params = changed(**stricter, filters__min_dollar_volume_day_bullish_usd=500_000)
    last = bars["timestamp"][len(rows) - 1]
    before, after = (
        found(bars, one).events.filter(event_type=event_type, direction="up")["timestamp"] for one in (BASE, params)
    )
    assert last not in before
    assert last in after
    assert_both_roads_agree(bars, params)


def test_condition_bars_are_the_edge_and_those_that_continue_it() -> None:
    bars = bars_from("2025-10-27 09:30", [*flat(40), *SPIKES, *flat(60, 10.4)])
    candidates = found(bars, BASE).candidates
    assert candidates is not None
    (held,) = candidates.filter(event_type="volume_spike")["condition_bars"]
    assert held.struct.field("timestamp").to_list() == bars["timestamp"][40:42].to_list()
    assert held.struct.field("bar").to_list() == [40, 41]
    assert held.struct.field("spike_x").to_list() == [7.0, 25.0]
    # of a day too small for any event only the edge is kept
    small = found(bars.with_columns(pl.col("volume") / 100), BASE).candidates
    assert small is not None
    assert small.height > 0
    assert small["condition_bars"].list.len().to_list() == [0] * small.height


# ---------------------------------------------------------------------------------------------------- both roads agree


@st.composite
def stricter_settings(draw: st.DrawFn) -> DetectionParams:
    """Some thresholds made stricter, and any filter, weight, cooldown and tier that candidates decide."""
    values: Changes = {}
    for name in draw(st.lists(st.sampled_from(sorted(RAISED | LOWERED)), min_size=0, max_size=6, unique=True)):
        value = value_of(name)
        if isinstance(value, int):
            values[f"detectors.{name}"] = value + draw(st.integers(0, 2))
        else:
            up = (name in RAISED) == (value > 0)
            values[f"detectors.{name}"] = value * draw(st.sampled_from([1.01, 1.3, 2.0])) ** (1 if up else -1)
    free: dict[str, list[Any]] = {
        "filters.min_close_usd": [0.1, 5.0],
        "filters.max_close_usd": [9.0, 1000.0],
        "filters.min_dollar_volume_day_bullish_usd": [500_000, 2_000_000],
        "filters.min_dollar_volume_day_bearish_usd": [500_000, 3_000_000],
        "filters.min_float_bullish_shares": [0, 9e6],
        "filters.min_float_bearish_shares": [0, 2e7],
        "filters.max_short_interest_share": [0.2, 1.0],
        "filters.max_days_to_cover": [2.0, 9.0],
        "score.weights.volume_spike_magnitude": [0.0, 0.7],
        "score.weights.price_change_magnitude": [0.0, 0.6],
        "score.weights.consecutive_bars": [0.0, 0.9],
        "score.weights.distance_from_vwap": [0.3],
        "score.full_spike_x": [20.0],
        "score.full_price_change": [0.05],
        "score.dollar_volume_floor_usd": [20_000],
        "score.full_run_bars": [3],
        "score.full_vwap_distance": [0.1],
        "cooldown.window_min": [1, 30],
        "cooldown.keep_share_of_best": [0.0, 1.0],
        "profiles.core.min_event_score": [0.7],
    }
    for name in draw(st.lists(st.sampled_from(sorted(free)), max_size=4, unique=True)):
        values[name] = draw(st.sampled_from(free[name]))
    return changed(**{name.replace(".", "__"): value for name, value in values.items()})


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bars_frames(spoil=False), stricter_settings(), st.integers(0, 10**6))
def test_stricter_settings_find_the_same_in_candidates_as_in_bars(
    bars: pl.DataFrame, params: DetectionParams, seed: int
) -> None:
    if bars.is_empty():
        return
    assert needs_bars(BASE, params) == []
    assert_both_roads_agree(bars, params, references(seed, bars))


# ----------------------------------------------------------------------------------------------------- what needs bars


@pytest.mark.parametrize("name", sorted(RAISED | LOWERED))
def test_a_looser_threshold_needs_bars(name: str) -> None:
    key, value = f"detectors__{name.replace('.', '__')}", value_of(name)
    step = 1 if isinstance(value, int) else abs(value) / 10
    higher, lower = changed(**{key: value + step}), changed(**{key: value - step})
    stricter, looser = (higher, lower) if name in RAISED else (lower, higher)
    assert needs_bars(BASE, stricter) == []
    assert needs_bars(BASE, looser) == [f"detectors.{name}"]
    assert needs_bars(looser, BASE) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("detectors.vwap_break.up_min_above_share", 0.01),
        ("detectors.vwap_break.down_min_below_share", 0.02),
        ("detectors.vwap_break.require_failed_reclaim", False),
        ("detectors.vwap_break.failed_reclaim_bars", 5),
        ("detectors.price_momentum.down_acceleration_bars", 6),
        ("detectors.opening_range_break.range_min", 30),
        ("detectors.flush.lowest_close_bars", 20),
        ("features.baseline_bars", 30),
        ("features.vwap_decimals", 9),
        ("filters.min_dollar_volume_day_bullish_usd", 400_000),
    ],
)
def test_settings_that_candidates_do_not_decide_are_named(key: str, value: object) -> None:
    assert needs_bars(BASE, changed(**{key.replace(".", "__"): value})) == [key]


def test_every_setting_of_a_detector_is_stricter_one_way_or_needs_bars() -> None:
    names = set()
    nodes: list[tuple[str, Any]] = [("", BASE.detectors.model_dump())]
    while nodes:
        above, node = nodes.pop()
        for name, value in node.items():
            if isinstance(value, dict):
                nodes.append((f"{above}{name}.", value))
            else:
                names.add(above + name)
    assert names >= RAISED | LOWERED
    assert not RAISED & LOWERED
    assert len(names - RAISED - LOWERED) == 7  # those of the test above
