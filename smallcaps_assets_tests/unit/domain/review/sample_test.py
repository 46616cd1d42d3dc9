"""The sample of events to label, and the chart of each."""

import json
import re
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.review.sample import (
    SAMPLE,
    STRATUM,
    ChartRules,
    Charts,
    ReviewParams,
    chart_frames,
    draw_sample,
    sample_id,
)
from smallcaps_assets.domain.tables import MANIFEST, SESSIONS
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.review.page import Heading, render_sheet
from smallcaps_assets.pipeline.review.review import Review
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.review_scenes import (
    MANIFEST_ID,
    consolidation_break,
    fill_lake,
    opening_range_break,
    scene_bars,
    scene_manifest,
    without_bars,
)
from smallcaps_assets_tests.scenarios import default_settings, sessions_of

PARAMS = default_settings().review


def params(**changes: Any) -> ReviewParams:
    return ReviewParams(**(PARAMS.model_dump() | changes))


def manifest_with(*groups: tuple[str, str, int], score: float = 0.8) -> pl.DataFrame:
    """So many events of each type and session."""
    rows = [
        event(event_type=kind, session=session, score=score, event_id=f"{kind} {session} {number}")
        for kind, session, count in groups
        for number in range(count)
    ]
    return manifest_of(*rows)


def drawn(sample: pl.DataFrame) -> dict[tuple[str, str], int]:
    return {(kind, session): rows for kind, session, rows in sample.group_by("event_type", "session").len().iter_rows()}


# ------------------------------------------------------------------------------------------------- the sample


def test_each_stratum_gives_one_and_the_rest_goes_by_size() -> None:
    """21 places: one each, and of the quotients 60/3, 60/5 ... and 30/3, 30/5 ... the 18 largest, 12 and 6."""
    manifest = manifest_with(("volume_spike", "RTH", 60), ("flush", "RTH", 30), ("tape_speed", "AH", 1))
    sample = draw_sample(manifest, params(events=21, score_bands=1))
    assert drawn(sample) == {("volume_spike", "RTH"): 13, ("flush", "RTH"): 7, ("tape_speed", "AH"): 1}
    sizes = sample.select("event_type", "stratum_events").unique().sort("event_type").rows()
    assert sizes == [("flush", 30), ("tape_speed", 1), ("volume_spike", 60)]


def test_score_bands_are_equal_parts_of_the_manifest_and_equal_scores_share_one() -> None:
    scores = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]  # thirds lie at 0.5667 and 0.7333
    manifest = manifest_of(*(event(score=score, event_id=f"{score}") for score in scores))
    bands = dict(draw_sample(manifest, PARAMS).select("event_id", "score_band").iter_rows())
    assert bands == {"0.4": 1, "0.5": 1, "0.6": 2, "0.7": 2, "0.8": 3, "0.9": 3}
    alike = draw_sample(manifest_with(("flush", "PM", 9)), PARAMS)
    assert alike["score_band"].unique().to_list() == [1]


def test_a_small_manifest_is_judged_whole_and_an_empty_one_gives_nothing() -> None:
    manifest = manifest_with(("flush", "PM", 40), ("tape_speed", "RTH", 60))
    assert set(draw_sample(manifest, PARAMS)["event_id"]) == set(manifest["event_id"])
    assert draw_sample(MANIFEST.to_frame(), PARAMS).schema == SAMPLE


def test_the_order_is_a_draw_and_another_seed_draws_others() -> None:
    manifest = manifest_with(("volume_spike", "RTH", 400))
    sample, other = draw_sample(manifest, PARAMS), draw_sample(manifest, params(seed=8))
    assert sample["event_id"].to_list() != sorted(sample["event_id"])
    # of two draws of 100 among 400 about 25 are the same
    assert len(set(sample["event_id"]) & set(other["event_id"])) < 50
    assert sample_id(MANIFEST_ID, sample) != sample_id(MANIFEST_ID, other)
    assert sample_id(MANIFEST_ID, sample) != sample_id("core_20251202_031501", sample)
    assert re.fullmatch("[0-9a-f]{16}", sample_id(MANIFEST_ID, sample))


def test_an_event_tends_to_be_drawn_again_from_the_next_manifest() -> None:
    before = draw_sample(manifest_with(("volume_spike", "RTH", 400)), PARAMS)
    after = draw_sample(manifest_with(("volume_spike", "RTH", 404)), PARAMS)
    assert len(set(before["event_id"]) & set(after["event_id"])) >= 96


groups = st.lists(
    st.tuples(st.sampled_from(EVENT_TYPES), st.sampled_from(SESSIONS), st.sampled_from([0.4, 0.55, 0.7, 0.71, 0.9])),
    max_size=300,
)


@given(groups, st.integers(63, 120), st.randoms())
def test_laws_of_the_sample(kinds: list[tuple[str, str, float]], places: int, random: Any) -> None:
    rows = [
        event(event_type=kind, session=session, score=score, event_id=f"event {number}")
        for number, (kind, session, score) in enumerate(kinds)
    ]
    manifest = manifest_of(*rows) if rows else MANIFEST.to_frame()
    wanted = params(events=places)
    sample = draw_sample(manifest, wanted)
    assert sample.height == min(places, manifest.height) == sample["event_id"].n_unique()
    # every stratum is there, none with more events than it has, and a larger one never with fewer places
    population = draw_sample(manifest, params(events=1_000)).group_by(STRATUM).len("size")
    seats = population.join(sample.group_by(STRATUM).len("seats"), on=STRATUM, how="left").sort("size", "seats")
    assert seats["seats"].null_count() == 0
    assert (seats["seats"] <= seats["size"]).all()
    assert seats["seats"].is_sorted()
    stated = sample.join(population, on=STRATUM)
    assert stated["stratum_events"].equals(stated["size"].cast(pl.Int64))
    # the order of the rows decides nothing
    order = list(range(manifest.height))
    random.shuffle(order)
    assert_frame_equal(draw_sample(manifest[order], wanted), sample)


def test_a_sheet_too_small_for_its_strata_is_rejected() -> None:
    with pytest.raises(SettingsError, match="review: events 62 cannot hold one of each of 63 strata"):
        load_settings(overrides={"review": {"events": 62}})


# ------------------------------------------------------------------------------------------------- the picture


def charts(manifest: pl.DataFrame | None = None, bars: pl.DataFrame | None = None, **changes: Any) -> Charts:
    rules = ChartRules(default_settings().features, 15, params(**changes))
    events = draw_sample(scene_manifest() if manifest is None else manifest, PARAMS)
    return chart_frames(events, scene_bars() if bars is None else bars, sessions_of("2025-11-05"), rules)


def chart_of(found: Charts, row: dict[str, Any]) -> dict[str, Any]:
    (chart,) = found.charts.filter(pl.col("event_id") == row["event_id"]).to_dicts()
    return chart


def test_an_opening_range_break_shows_its_range_and_vwap() -> None:
    found = charts()
    chart = chart_of(found, opening_range_break())
    assert (chart["zone_low"], chart["zone_high"]) == (9.99, 10.01)
    assert (chart["zone_start"], chart["zone_end"], chart["trouble"]) == (-40, -25, None)
    bars = found.bars.filter(pl.col("event_id") == opening_range_break()["event_id"])
    assert bars["minute"].to_list() == list(range(-40, 31))
    event_bar = bars.row(by_predicate=pl.col("minute") == 0, named=True)
    assert (event_bar["close"], event_bar["volume"], event_bar["volume_baseline"], event_bar["session"]) == (
        10.4,
        90_000,
        10_000,
        "RTH",
    )
    # 40 bars of 10,000 shares at 10.00 and this one of 90,000 at 10.30
    assert event_bar["vwap_session"] == pytest.approx((400_000 * 10 + 90_000 * 10.3) / 490_000, abs=1e-9)


def test_a_consolidation_break_always_shows_its_base() -> None:
    found = charts(minutes_before=5, minutes_after=3)
    chart = chart_of(found, consolidation_break())
    assert (chart["zone_low"], chart["zone_high"], chart["zone_start"], chart["zone_end"]) == (9.99, 10.01, -30, 0)
    minutes = dict(found.bars.group_by("event_id").agg("minute").iter_rows())
    assert minutes[consolidation_break()["event_id"]] == list(range(-30, 4))
    # an opening range may lie hours before: it is drawn as levels
    assert minutes[opening_range_break()["event_id"]] == list(range(-5, 4))


def test_problems_of_the_bars_are_shown() -> None:
    assert chart_of(charts(), without_bars())["trouble"] == "no_bars"
    event_bar = pl.col("volume") == 90_000
    assert chart_of(charts(bars=scene_bars().filter(~event_bar)), opening_range_break())["trouble"] == "no_event_bar"
    other = scene_bars().with_columns(close=pl.when(event_bar).then(10.3).otherwise("close"))
    assert chart_of(charts(bars=other), opening_range_break())["trouble"] == "changed"
    nothing = charts(bars=scene_bars().clear())
    assert nothing.charts["trouble"].to_list() == ["no_bars"] * 3
    assert nothing.bars.is_empty()


def test_two_events_of_one_day_have_separate_charts() -> None:
    later = event("2025-11-05 10:20", close=10.44, volume=10_000.0)
    found = charts(manifest_of(opening_range_break(), later), minutes_before=15, minutes_after=5)
    minutes = dict(found.bars.group_by("event_id").agg("minute").iter_rows())
    assert minutes == {opening_range_break()["event_id"]: list(range(-15, 6)), later["event_id"]: list(range(-15, 6))}
    assert found.charts["trouble"].null_count() == 2


# ------------------------------------------------------------------------------------------------- the page


def data_of(page: str) -> dict[str, Any]:
    """The data inside a page."""
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert block
    document: dict[str, Any] = json.loads(block[1])
    return document


def test_the_sheet_of_a_manifest_is_the_same_every_time(lake: Lake) -> None:
    fill_lake(lake)
    review = Review(lake, "core", default_settings())
    made = review.make()
    assert made.path == lake.root / "review" / "core" / f"{MANIFEST_ID}.html"
    page = made.path.read_bytes()
    assert len(page) == made.bytes
    assert review.make().path.read_bytes() == page
    document = data_of(page.decode())
    assert document["manifest_events"] == 3
    shown = {row["symbol"]: row for row in document["events"]}
    assert shown["AEMD"]["clock"] == 10 * 60 + 10
    assert shown["AEMD"]["zone"] == [9.99, 10.01, -40, -25]
    assert shown["AEMD"]["bars"]["vwap_session"][40] == 10.0551
    assert shown["GONE"]["bars"]["minute"] == []
    hindsight = [figure["label"] for figure in document["figures"] if figure["hindsight"]]
    assert hindsight == ["rank in manifest", "rvol of day", "dollars of day"]


def test_a_manifest_without_events_has_a_page(lake: Lake) -> None:
    fill_lake(lake, MANIFEST.to_frame())
    review = Review(lake, "core", default_settings())
    made = review.make()
    assert data_of(made.path.read_text(encoding="utf-8"))["events"] == []
    assert review.assess(made.sheet).verdict.words == "not judged: the manifest has no events"


def test_no_text_of_the_data_becomes_markup() -> None:
    hostile = "</script><script>alert(1)</script><!-- &amp;"
    manifest = manifest_of(event(symbol=hostile, event_id=hostile))
    sample = draw_sample(manifest, PARAMS)
    nothing = chart_frames(
        sample, scene_bars(), sessions_of("2025-11-05"), ChartRules(default_settings().features, 15, PARAMS)
    )
    page = render_sheet(Heading("core", hostile, "0" * 16, 1, PARAMS), sample, nothing)
    assert "alert(1)</script>" not in page
    assert page.count("</script>") == 5  # the data and four scripts
    document = data_of(page)
    assert (document["manifest_id"], document["events"][0]["symbol"]) == (hostile, hostile)


@pytest.mark.parametrize("name", ["events", "seed", "score_bands", "minutes_before", "minutes_after"])
def test_every_setting_of_the_sheet_changes_it(name: str, lake: Lake) -> None:
    rows = [
        event("2025-11-05 10:10", score=number / 200, event_id=f"event {number}", close=10.4, volume=90_000.0)
        for number in range(150)
    ]
    fill_lake(lake, manifest_of(*rows))
    value = {"events": 90, "score_bands": 2}.get(name, 9)
    pages = []
    for changes in ({}, {"review": {name: value}}):
        made = Review(lake, "core", load_settings(overrides=changes)).make()
        pages.append((made.sheet.sample_id, made.charts.bars.height, made.sheet.events["score_band"].max()))
    assert pages[0] != pages[1]
