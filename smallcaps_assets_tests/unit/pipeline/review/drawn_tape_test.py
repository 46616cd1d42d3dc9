"""What the page shows of the tape of an event, computed by hand from a few trades and quotes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.domain.review.tape_drawing import DrawingLimits
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.review.review import SHEET_LIMITS, Review, tapes_of_page
from smallcaps_assets.pipeline.review.tape_document import describe_figures
from smallcaps_assets_tests.review_scenes import (
    MANIFEST_ID,
    capture_break,
    consolidation_break,
    fill_lake,
    opening_range_break,
    scene_manifest,
)
from smallcaps_assets_tests.scenarios import default_settings, flip_bit

EVENT = opening_range_break()["event_id"]
NORMAL, LOCKED, CROSSED, ONE_SIDED = range(4)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake")
    fill_lake(made)
    return made


def tape_of(lake: Lake, limits: DrawingLimits = SHEET_LIMITS) -> dict[str, Any]:
    """What is shown of the event with tape; the other two have none."""
    store = capture_break(lake)
    entries = tapes_of_page(store, scene_manifest(), default_settings(), limits)
    assert list(entries) == [EVENT]
    return entries[EVENT]


def figure(entry: dict[str, Any], segment: str, name: str) -> Any:
    names = [column["name"] for column in describe_figures()["columns"]]
    return entry["figures"][segment][names.index(name)]


def test_trades_quotes_and_volume_of_the_window(lake: Lake) -> None:
    entry = tape_of(lake)
    assert (entry["from"], entry["to"], entry["step"], entry["state"]) == (-180_000, 420_000, 1, ["complete"] * 2)
    # steps of milliseconds and of ten-thousandths of a dollar; the message is no trade
    assert entry["trades"] == {
        "of": 6,
        "t": [-90_000, 10_000, 35_000, 65_000, 500, 500],
        "p": [101_000, -900, 500, 2_500, 900, -2_000],
        "s": [100, 50, 40, 300, 200, 100],
        # buyer; seller off-exchange; buyer, as the price rose; seller; no side; no side and no volume
        "k": [1, 2 + 3, 1, 2, 0, 6],
    }
    # the first quote is in force when the window begins; the bid that is missing is null
    assert entry["book"] == {
        "of": 8,
        "t": [-180_000, 80_000, 50_000, 10_000, 10_000, 10_000, 10_000, 20_000],
        "b": [100_000, 200, 400, 200, -400, None, 0, 2_600],
        "a": [101_000, 0, -400, 0, 600, 0, -300, 3_100],
        "k": [NORMAL, NORMAL, LOCKED, CROSSED, NORMAL, ONE_SIDED, NORMAL, NORMAL],
    }
    assert entry["volumes"] == {
        "at": [90, 10, 35, 65],
        "buy": [100, 0, 40, 0],
        "sell": [0, 50, 0, 300],
        "other": [0, 0, 0, 200],
    }
    assert (entry["halts"], entry["ssr"]) == ([], None)


def test_figures_are_those_of_the_research_tables(lake: Lake) -> None:
    entry = tape_of(lake)
    assert list(entry["figures"]) == ["pre3", "pre_all", "bar", "m5", "post_all"]
    # before the event 140 shares were bought and 50 sold, in its minute 300 were sold
    assert figure(entry, "pre3", "imbalance_shares") == pytest.approx(90 / 190, rel=1e-5)
    assert figure(entry, "pre3", "trf_volume_share") == pytest.approx(50 / 190, rel=1e-5)
    assert (figure(entry, "pre3", "trades"), figure(entry, "bar", "trades")) == (3, 2)
    assert figure(entry, "bar", "imbalance_shares") == -1
    # the book at the end of the minute: 0.10 at a middle of 10.35
    assert figure(entry, "bar", "spread_bps_at_end") == pytest.approx(1_000 / 10.35, rel=1e-5)
    assert figure(entry, "m5", "imbalance_shares") is None


def test_of_too_many_rows_the_largest_trades_and_every_state_of_the_book_are_shown(lake: Lake) -> None:
    entry = tape_of(lake, DrawingLimits(trades=3, quotes=5, volumes=300))
    # one slice of the window: its three largest trades, in order of time
    assert (entry["trades"]["of"], entry["trades"]["s"]) == (6, [100, 300, 200])
    # all lie in the first of two slices: the last step of each state, then the last but one
    assert (entry["book"]["of"], entry["book"]["k"]) == (8, [LOCKED, CROSSED, ONE_SIDED, NORMAL, NORMAL])
    assert entry["book"]["t"] == [-50_000, 10_000, 20_000, 10_000, 20_000]
    # two seconds a step, and no share left out
    assert (entry["step"], sum(sum(entry["volumes"][side]) for side in ("buy", "sell", "other"))) == (2, 690)


@pytest.mark.parametrize(("kind", "states"), [("trades", ["complete", "missing"]), ("quotes", ["missing", "complete"])])
def test_half_a_tape_is_shown_without_what_needs_the_other(lake: Lake, kind: str, states: list[str]) -> None:
    store = capture_break(lake, kinds=[kind])
    entry = tapes_of_page(store, scene_manifest(), default_settings(), SHEET_LIMITS)[EVENT]
    assert entry["state"] == states
    assert figure(entry, "pre3", "imbalance_shares") is None
    if kind == "trades":
        assert (entry["book"], entry["trades"]["k"]) == (None, [0, 3, 0, 0, 0, 6])
        assert figure(entry, "pre3", "trades") == 3
    else:
        assert entry["trades"] is None
        assert figure(entry, "pre3", "locked_share") == pytest.approx(10 / 180, rel=1e-5)


def test_damaged_tape_is_named_and_the_sheet_is_made(lake: Lake) -> None:
    capture_break(lake)
    (file,) = lake.tape("core", "quotes").rglob("*.parquet")
    flip_bit(file)
    review = Review(lake, "core", default_settings())
    made = review.make()
    assert made.tapes == 0
    document = json.loads(data_of(made.path.read_text(encoding="utf-8")))
    shown = {event["id"]: event["tape"] for event in document["events"]}
    assert str(file) in shown.pop(EVENT)["damage"]
    assert set(shown.values()) == {None}
    assert consolidation_break()["event_id"] in shown


def test_a_sheet_keeps_its_sample_when_tape_is_captured(lake: Lake) -> None:
    review = Review(lake, "core", default_settings())
    before = review.make()
    capture_break(lake)
    after = review.make()
    assert (before.tapes, after.tapes) == (0, 1)
    # so that labels of the earlier page belong to the later one
    assert after.sheet.sample_id == before.sheet.sample_id
    assert review.store.sheet(MANIFEST_ID).sample_id == before.sheet.sample_id


def test_charts_of_large_samples_share_the_limits() -> None:
    limits = DrawingLimits(2_000, 1_500, 600)
    assert limits.shared_by(3, 100) == limits
    assert limits.shared_by(1_000, 100) == (200, 150, 60)


def data_of(page: str) -> str:
    match = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    return match[1]
