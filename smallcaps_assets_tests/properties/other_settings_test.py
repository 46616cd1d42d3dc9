"""The package against the slow implementation of the specification under settings such as odd windows and zeros."""

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.properties.specification_test import assert_same
from smallcaps_assets_tests.scenarios import bars_from, flat
from smallcaps_assets_tests.strategies.bars import bars_frames

pytestmark = pytest.mark.slow

SLOW = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
Changes = dict[str, Any]


@st.composite
def both_spellings(draw: st.DrawFn) -> tuple[Changes, Changes]:
    """The same changes as settings of the package and of the slow implementation."""
    baseline = draw(st.integers(2, 25))
    least, base = draw(st.integers(1, baseline)), draw(st.integers(2, 31))
    spikes = {name: draw(st.sampled_from([0.0, 1.0, 1.8, 3.0])) for name in "abcdefgh"}
    lowest, red = draw(st.integers(1, 30)), draw(st.integers(0, 3))
    trades, speed = draw(st.sampled_from([0, 1, 50])), draw(st.sampled_from([0.0, 1.0, 3.0]))
    flatness, failed = draw(st.sampled_from([0.3, 1.5])), draw(st.booleans())
    ours = {
        "features": {"baseline_bars": baseline, "min_history": least, "base_bars": base},
        "detectors": {
            "volume_spike": {
                "regular": {"min_spike_x": spikes["a"] or 0.1},
                "extended": {"min_spike_x": spikes["b"] or 0.1},
            },
            "vwap_break": {
                "up_min_spike_x": spikes["c"],
                "down_min_spike_x": spikes["d"],
                "require_failed_reclaim": failed,
            },
            "price_momentum": {"up_min_spike_x": spikes["e"]},
            "consolidation_break": {"min_spike_x": spikes["f"], "max_flatness": flatness},
            "opening_range_break": {"min_spike_x": spikes["g"]},
            "tape_speed": {"min_transactions": trades, "min_speed_x": speed},
            "flush": {"min_spike_x": spikes["h"], "lowest_close_bars": lowest, "min_red_run_bars": red},
        },
    }
    theirs = {
        "features": {"baseline_bars": baseline, "min_history": least, "range_bars": base},
        "volume_spike": {
            "spike_x": {"PM": spikes["b"] or 0.1, "RTH": spikes["a"] or 0.1, "AH": spikes["b"] or 0.1},
        },
        "vwap_break": {
            "up": {"spike_x": spikes["c"]},
            "down": {"spike_x": spikes["d"], "require_failed_reclaim": failed},
        },
        "price_momentum": {"up": {"spike_x": spikes["e"]}},
        "consolidation_break": {"spike_x": spikes["f"], "flatness": flatness},
        "opening_range_break": {"spike_x": spikes["g"]},
        "tape_speed": {"transactions": trades, "ratio": speed},
        "flush": {"spike_x": spikes["h"], "lowest_of_bars": lowest, "red_run": red},
    }
    return ours, theirs


def master_of(bars: pl.DataFrame, changes: Changes) -> pl.DataFrame:
    settings, good = load_settings(overrides=changes), clean_bars(bars).good
    day = new_york_date(pl.col("timestamp"))
    first, last = good.select(a=day.min(), b=day.max()).row(0)
    sessions = sessions_between(first or date(2025, 1, 2), last or date(2025, 1, 2), settings.sessions)
    return build_master(detect(good, sessions, settings.detection).events, settings.cooldown)


@SLOW
@given(bars_frames(), both_spellings())
def test_events_equal_the_specification_under_other_settings(
    bars: pl.DataFrame, changes: tuple[Changes, Changes]
) -> None:
    ours, theirs = changes
    assert_same(master_of(bars, ours), slow_spec.master(bars, params=slow_spec.altered(theirs)))


@pytest.mark.parametrize("baseline", [255, 256, 300, 340])
def test_baseline_may_span_most_of_a_day(baseline: int) -> None:
    rows = flat(360)
    for place in range(40, 360, 53):
        rows[place] = (10.0, 10.3, 10.0, 10.3, 90_000.0, 40)
    bars = bars_from("2025-11-05 09:45", rows)
    found = master_of(bars, {"features": {"baseline_bars": baseline}})
    assert found.filter(event_type="volume_spike").height == len(range(40, 360, 53))
    assert_same(found, slow_spec.master(bars, params=slow_spec.altered({"features": {"baseline_bars": baseline}})))


def test_a_tape_speed_baseline_of_zero_trades_finds_no_event() -> None:
    changes = {"detectors": {"tape_speed": {"min_transactions": 0}}}
    green, red = (10.0, 10.02, 9.98, 10.01, 100_000.0, 0), (10.0, 10.02, 9.98, 9.99, 100_000.0, 0)
    assert (
        master_of(bars_from("2025-11-05 10:00", [green, red] * 30), changes).filter(event_type="tape_speed").is_empty()
    )
