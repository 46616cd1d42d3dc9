"""The package against a slow, independent row-by-row implementation of the specification, on random irregular bars."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tape.nbbo import Thinning, thin
from smallcaps_assets.domain.tape.windows import event_windows, merge_windows
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests import slow_spec
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.strategies.bars import bars_frames, lively_bars, references
from smallcaps_assets_tests.strategies.masters import masters, tight_limits
from smallcaps_assets_tests.strategies.quotes import quote_streams

pytestmark = pytest.mark.slow

SLOW = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def master_of(bars: pl.DataFrame, reference: pl.DataFrame | None = None) -> pl.DataFrame:
    settings = default_settings()
    good = clean_bars(bars).good
    first, last = good.select(
        a=new_york_date(pl.col("timestamp")).min(), b=new_york_date(pl.col("timestamp")).max()
    ).row(0)
    sessions = sessions_between(first or date(2025, 1, 2), last or date(2025, 1, 2), settings.sessions)
    return build_master(detect(good, sessions, settings.detection, reference=reference).events, settings.cooldown)


DEC_5 = date(2025, 12, 5)


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert_frame_equal(found, expected, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.slow
@SLOW
@given(bars_frames())
def test_master_equals_the_specification(bars: pl.DataFrame) -> None:
    assert_same(master_of(bars), slow_spec.master(bars))


@pytest.mark.slow
@SLOW
@given(bars_frames(), st.integers(0, 1_000))
def test_reference_data_filters_known_symbols(bars: pl.DataFrame, seed: int) -> None:
    reference = references(seed, bars)
    assert_same(master_of(bars, reference), slow_spec.master(bars, reference=reference))


@pytest.mark.slow
@SLOW
@given(bars_frames())
def test_quarantine_equals_the_specification(bars: pl.DataFrame) -> None:
    clean = clean_bars(bars)
    good, bad = slow_spec.clean(bars)
    assert_frame_equal(clean.good, good)
    assert clean.quarantined.height == bad.height == bars.height - good.height


@SLOW
@given(masters(), st.sampled_from(PROFILES), tight_limits())
def test_manifest_equals_the_specification(master: pl.DataFrame, profile: str, limits: dict[str, int]) -> None:
    settings = default_settings()
    params = settings.profiles[profile].model_copy(update=limits)
    expected, funnel = slow_spec.manifest(master, profile, slow_spec.altered({"profiles": {profile: limits}}))
    selection = select_events(master, params, settings.ranking)
    assert_same(selection.manifest, expected)
    assert [step["rows"] for step in selection.funnel] == [rows for _, rows in funnel]
    figures = slow_spec.extension(selection.manifest, profile, slow_spec.altered({"profiles": {profile: limits}}))
    assert selection.extension["triggered"] == figures["triggered"]
    assert selection.extension["extended"] == figures["extended"]


@SLOW
@given(masters(), st.sampled_from(PROFILES))
def test_spans_equal_the_specification(master: pl.DataFrame, profile: str) -> None:
    settings = default_settings()
    manifest = select_events(master, settings.profiles[profile], settings.ranking).manifest
    spans = merge_windows(event_windows(manifest))
    nanoseconds = spans.with_columns(pl.col("start", "end").dt.epoch("ns"))
    found = [(*row[:4], sorted(row[4])) for row in nanoseconds.iter_rows()]
    expected = [(symbol, wave, start, end, sorted(ids)) for symbol, wave, start, end, ids in slow_spec.spans(manifest)]
    assert sorted(found) == sorted(expected)


@SLOW
@given(quote_streams(), st.booleans(), st.sampled_from([1, 3, 5, 7, 20, 30, 50]))
def test_thinning_equals_the_specification(quotes: pl.DataFrame, by_change: bool, hz: int) -> None:
    thinned = thin(quotes.lazy(), Thinning(by_change_only=by_change, max_hz=hz)).collect()
    assert_frame_equal(thinned, slow_spec.thin(quotes, by_change=by_change, hz=hz))


def with_illiquid_days(bars: pl.DataFrame, seed: int) -> pl.DataFrame:
    """`bars` with the volumes of some days reduced, so that days lie on both sides of the limits."""
    day = pl.struct("symbol", new_york_date(pl.col("timestamp")))
    draw = day.hash(seed) % 4
    share = pl.when(draw == 0).then(1.0).when(draw == 1).then(0.1).when(draw == 2).then(0.03).otherwise(0.003)
    return bars.with_columns(volume=(pl.col("volume") * share).ceil())


@pytest.mark.slow
@SLOW
@given(bars_frames(), st.integers(0, 1_000))
def test_illiquid_days_equal_the_specification(bars: pl.DataFrame, seed: int) -> None:
    dull = with_illiquid_days(bars, seed)
    assert_same(master_of(dull), slow_spec.master(dull))


@pytest.mark.parametrize("seed", range(3))
def test_liquid_days_among_illiquid_ones_equal_the_specification(seed: int) -> None:
    days = [date(2025, 10, 30) + timedelta(days=offset) for offset in range(34)]
    trading = [day for day in days if day in slow_spec.xnys(days[0], days[-1])]
    bars = with_illiquid_days(lively_bars(seed, 3, trading), seed)
    sessions = sessions_between(trading[0], trading[-1], default_settings().sessions)
    found = detect(clean_bars(bars).good, sessions, default_settings().detection)
    assert_same(build_master(found.events, default_settings().cooldown), slow_spec.master(bars))
    assert found.counts["days_filtered"] > 10
    assert found.events["date"].n_unique() > 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_lively_weeks_months_apart(seed: int) -> None:
    """The baseline of relative volume reaches over a gap of 19 sessions, and not over one of 99."""
    parts = [(date(2025, 2, 3), date(2025, 3, 5)), (date(2025, 7, 29), date(2025, 8, 29)), (date(2025, 9, 29), DEC_5)]
    bars = lively_bars(seed, 2, [day for part in parts for day in slow_spec.xnys(*part)])
    found = master_of(bars)
    assert_same(found, slow_spec.master(bars))
    known = found.group_by("date").agg(pl.col("rvol_day").is_not_null().all()).sort("date")
    summer = known.filter(pl.col("date") >= "2025-07-29")["rvol_day"].to_list()
    assert summer[:4] == [False] * 4
    assert all(summer[8:])


@pytest.mark.parametrize("seed", range(4))
def test_weeks_with_a_half_day_or_a_dst_change_equal_the_specification(seed: int) -> None:
    days = [date(2025, 10, 30) + timedelta(days=offset) for offset in range(34)]
    trading = [day for day in days if day in slow_spec.xnys(days[0], days[-1])]
    bars = lively_bars(seed, 3, trading)
    found = master_of(bars)
    assert_same(found, slow_spec.master(bars))
    kinds = set(found.select(pl.struct("event_type", "direction").unique()).to_series().struct.unnest().iter_rows())
    assert len(kinds) == 13, "every type must occur in every direction it has, or this test compares nothing"
