"""Candidates of detection, and the causal sample."""

from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import Detection, detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.research.sample import SampleParams, research_events, with_causal_sample
from smallcaps_assets.domain.tables import CANDIDATES
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.scenarios import default_settings, sessions_of
from smallcaps_assets_tests.slow_spec.events import _cooled as cool_down
from smallcaps_assets_tests.slow_spec.events import detect as detect_slowly
from smallcaps_assets_tests.slow_spec.params import DEFAULTS, altered
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

Key = tuple[str, datetime, str, str]
DAYS = sessions_between(date(2025, 11, 24), date(2025, 12, 1))
NO_FILTERS = altered({"filters": {"close": (0, 1e15), "dollar_volume_day": {"bullish": 0, "bearish": 0}}}, DEFAULTS)


@cache
def bars() -> pl.DataFrame:
    return clean_bars(lively_bars(5, 3, DAYS)).good


def detected(*, keep_candidates: bool) -> Detection:
    sessions = sessions_of("2025-11-24", "2025-12-01")
    return detect(bars(), sessions, default_settings().detection, keep_candidates=keep_candidates)


@cache
def candidates() -> pl.DataFrame:
    found = detected(keep_candidates=True).candidates
    assert found is not None
    return found


def sampled() -> pl.DataFrame:
    return with_causal_sample(candidates(), default_settings().filters, SampleParams())


def keys(frame: pl.DataFrame) -> list[Key]:
    return frame.select("symbol", "timestamp", "event_type", "direction").rows()


def key_of(row: dict[str, Any]) -> Key:
    return row["symbol"], row["timestamp"], row["event_type"], row["direction"]


def test_candidates_are_every_edge_with_what_filters_and_cooldown_make_of_it() -> None:
    edges = detect_slowly(bars(), params=NO_FILTERS)
    passed = detect_slowly(bars())
    assert candidates().schema == CANDIDATES
    assert keys(candidates()) == [key_of(row) for row in edges]
    assert keys(candidates().filter("passes_filters")) == [key_of(row) for row in passed]
    assert sorted(keys(candidates().filter("kept_by_cooldown"))) == sorted(
        key_of(row) for row in cool_down(passed, DEFAULTS["cooldown"])
    )
    assert 0 < len(passed) < len(edges)


def test_events_do_not_change_by_keeping_candidates() -> None:
    without, with_them = detected(keep_candidates=False), detected(keep_candidates=True)
    assert without.candidates is None
    assert_frame_equal(without.events, with_them.events, check_exact=True)
    assert without.counts == with_them.counts
    assert_frame_equal(
        with_them.events, candidates().filter("kept_by_cooldown").select(with_them.events.columns), check_exact=True
    )


def test_the_causal_sample_against_a_scan_in_time() -> None:
    last: dict[tuple[str, str, str], datetime] = {}
    expected = []
    for row in sorted(candidates().rows(named=True), key=lambda row: (row["timestamp"], row["direction"] != "up")):
        if not (1.0 <= row["close"] <= 500 and row["dollar_volume_to_event"] >= 100_000):
            continue
        kind = row["symbol"], row["event_type"], row["date"]
        if kind in last and row["timestamp"] - last[kind] < timedelta(minutes=10):
            continue
        last[kind] = row["timestamp"]
        expected.append(key_of(row))
    found = sampled()
    assert sorted(keys(found.filter("in_causal_sample"))) == sorted(expected)
    assert keys(found) == keys(candidates())
    assert 0 < len(expected) < found.height


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [([0, 9, 10, 19, 20], [True, False, True, False, True]), ([0, 12, 21, 22], [True, True, False, True])],
)
def test_a_causal_event_blocks_those_of_the_next_ten_minutes(minutes: list[int], expected: list[bool]) -> None:
    first = candidates().filter(pl.col("close") >= 1).head(1).with_columns(dollar_volume_to_event=1e5)
    rows = pl.concat(first.with_columns(pl.col("timestamp") + pl.duration(minutes=minute)) for minute in minutes)
    found = with_causal_sample(rows, default_settings().filters, SampleParams())
    assert found["in_causal_sample"].to_list() == expected


def test_of_two_directions_in_one_minute_up_blocks_down() -> None:
    first = candidates().filter(pl.col("close") >= 1).head(1).with_columns(dollar_volume_to_event=1e5)
    both = pl.concat(first.with_columns(direction=pl.lit(direction)) for direction in ("down", "up"))
    found = with_causal_sample(both, default_settings().filters, SampleParams())
    assert found["in_causal_sample"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("close", "dollars", "expected"),
    [(1.0, 1e5, True), (500.0, 1e5, True), (0.99, 1e5, False), (500.01, 1e5, False), (5.0, 99_999.9, False)],
)
def test_a_causal_event_has_a_price_and_dollars_so_far(close: float, dollars: float, expected: bool) -> None:
    rows = candidates().head(1).with_columns(close=pl.lit(close), dollar_volume_to_event=pl.lit(dollars))
    later = rows.with_columns(pl.col("timestamp") + pl.duration(minutes=1), close=5.0, dollar_volume_to_event=2e5)
    found = with_causal_sample(pl.concat([rows, later]), default_settings().filters, SampleParams())
    # one that does not pass blocks none
    assert found["in_causal_sample"].to_list() == [expected, not expected]


def test_research_events_are_master_and_the_causal_candidates_that_it_lacks() -> None:
    master = build_master(detected(keep_candidates=False).events, default_settings().cooldown)
    found = research_events(master, sampled())
    ids = set(master["event_id"])
    assert set(found.filter("in_master")["event_id"]) == ids
    causal = sampled().filter("in_causal_sample")
    assert found.filter("in_causal_sample")["event_id"].sort().to_list() == causal["event_id"].sort().to_list()
    assert set(found.filter(~pl.col("in_master"))["event_id"]) == set(causal["event_id"]) - ids != set()
    assert found["event_id"].is_unique().all()
    assert found.select("symbol", "timestamp", "event_type").rows() == sorted(
        found.select("symbol", "timestamp", "event_type").rows()
    )


def test_without_candidates_the_sample_is_unknown() -> None:
    master = slow_spec.master(bars())
    found = research_events(master, None)
    assert found.height == master.height
    assert found["in_master"].all()
    assert found["in_causal_sample"].is_null().all()
