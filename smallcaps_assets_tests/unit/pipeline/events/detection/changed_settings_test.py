"""Changed settings: which events are detected again, and which shards stay."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.unit.pipeline.events.detection.detecting import (
    BARS_OF_ONE,
    DAYS,
    ONE,
    altered,
    detector,
    expected_of,
    of_type,
    run,
    store,
)


def test_changed_threshold_redetects_only_its_type_in_every_session(detected: Lake) -> None:
    stricter = altered(detectors={"volume_spike": {"min_range_share": 0.05}})
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE], stricter)
    assert outcome.figures["sessions_detected"] == len(DAYS)
    assert outcome.figures["event_types_detected"] == 1
    after = ShardStore(detected).read(ONE)
    assert outcome.figures["events_detected"] == of_type(after, "volume_spike").height
    assert 0 < of_type(after, "volume_spike").height < of_type(before, "volume_spike").height
    others = [name for name in EVENT_TYPES if name != "volume_spike"]
    assert_frame_equal(of_type(after, *others), of_type(before, *others))
    assert_frame_equal(after, expected_of(detected, stricter))
    assert run(detected, [ONE], stricter)[0].figures["event_types_detected"] == 0
    run(detected, [ONE])
    assert_frame_equal(ShardStore(detected).read(ONE), before)


def test_changed_threshold_together_with_a_new_session(lake: Lake) -> None:
    store(lake, BARS_OF_ONE.filter(DAYS[-1] != DAY), DAYS[:-1])
    run(lake, [ONE])
    store(lake, BARS_OF_ONE, DAYS)
    stricter = altered(detectors={"flush": {"min_spike_x": 5.0}, "tape_speed": {"min_speed_x": 3.5}})
    (outcome,) = run(lake, [ONE], stricter)
    assert outcome.figures["event_types_detected"] == len(EVENT_TYPES)
    assert_frame_equal(ShardStore(lake).read(ONE), expected_of(lake, stricter), rel_tol=1e-9, abs_tol=1e-9)


def test_changed_tiers_apply_without_detection(detected: Lake) -> None:
    higher = altered(profiles={"core": {"min_event_score": 0.7}})
    before = ShardStore(detected).read(ONE)
    (outcome,) = run(detected, [ONE], higher)
    assert (outcome.figures["sessions_detected"], outcome.figures["event_types_detected"]) == (0, 0)
    after = ShardStore(detected).read(ONE)
    assert_frame_equal(after, expected_of(detected, higher))
    assert_frame_equal(after.drop("tier"), before.drop("tier"))
    assert after.filter(tier=1).height < before.filter(tier=1).height
    changed = files_below(detected.root)
    run(detected, [ONE], higher)
    assert files_below(detected.root) == changed


@pytest.mark.parametrize(
    "change",
    [
        {"sessions": {"regular_open": "09:35"}},
        {"cooldown": {"window_min": 30}},
        {"score": {"full_spike_x": 40.0}},
        {"features": {"rvol_days": 19}},
        {"filters": {"max_close_usd": 400.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_determine_events_cause_detection(detected: Lake, change: dict[str, object]) -> None:
    figures = run(detected, [ONE], altered(**change))[0].figures
    assert (figures["sessions_detected"], figures["event_types_detected"]) == (len(DAYS), len(EVENT_TYPES))


@pytest.mark.parametrize(
    "change",
    [
        {"fetch_threads": 1},
        {"profiles": {"core": {"max_events": 7}}},
        {"kpis": {"min_success_pct": 1.0}},
        {"cooldown": {"group_window_min": 6}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_settings_that_determine_no_event_leave_shards_unchanged(detected: Lake, change: dict[str, object]) -> None:
    before = files_below(detected.root)
    run(detected, [ONE], altered(**change))
    assert files_below(detected.root) == before


def test_changed_reference_verdict_causes_detection(detected: Lake) -> None:
    tiny = pl.DataFrame([(ONE, 1000.0, None, None), ("OTHER", 1.0, None, None)], schema=REFERENCE, orient="row")
    (outcome,) = detector(detected, reference=tiny.filter(pl.col("symbol") == "OTHER")).run([ONE])
    assert outcome.figures["sessions_detected"] == 0
    (outcome,) = detector(detected, reference=tiny).run([ONE])
    # a float of a thousand shares is too small for any event
    assert (outcome.figures["sessions_detected"], outcome.figures["events"]) == (len(DAYS), 0)
