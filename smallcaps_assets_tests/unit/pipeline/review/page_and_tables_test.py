"""The figures on the page of an event are those of the research tables, for every state of the capture."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets.lake.controls import ControlStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.pipeline.research.tape.tape_step import TapeResearch
from smallcaps_assets.pipeline.review.drawn_tape import TapeReader
from smallcaps_assets.pipeline.review.review import EVENT_LIMITS
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import LATER
from smallcaps_assets_tests.scenarios import default_settings, new_york
from smallcaps_assets_tests.tape_scenes import (
    EARLY,
    FIRST,
    OPENING,
    SECOND,
    SYMBOL,
    capture,
    manifest_with,
    quote_rows,
    tape_of,
    window_of,
)

RELEASE_0_1 = Path(__file__).parents[3] / "data" / "release_0_1"
CONTROL = f"{SYMBOL}_control_20251105_150500_00000000"
_KEYS = ("event_id", "capture_state", "quotes_hz", "quote_size_unit", "corrections_known")


def figures(tape: TapeStore, settings: Settings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """MICRO_FEATURES of the events of the current manifest: those of the table, and those of the page."""
    research = TapeResearch(tape, settings.research.params, settings.sessions)
    captured = tape.captured()
    pairs = research.present_pairs(captured)
    problems = [
        outcome.problems
        for result in research.run(captured, pairs, ["micro_features"])
        for outcome in result.outcomes.values()
    ]
    assert not any(problems)
    manifest = ManifestStore.in_lake(tape.lake, tape.profile).load()
    files = sorted((tape.lake.research / tape.profile / "micro_features").rglob("*.parquet"))
    table = pl.concat(pl.read_parquet(file, hive_partitioning=False) for file in files)
    table = table.filter(pl.col("event_id").is_in(manifest["event_id"].implode()))
    page, damage = TapeReader(tape, manifest, settings, EVENT_LIMITS).read()
    assert not damage
    order = ["event_id", "available_at", "seconds"]
    return table.sort(order), page.micro.sort(order)


def thinned_after(event: str) -> dict[str, Any]:
    """The footer of quotes of which those after an event were thinned to one a second."""
    return {"budget_events": [event], "budget_hz": [1.0], "budget_from": "known_at"}


def lake_of_many_captures(root: Path) -> TapeStore:
    """Quotes thinned after a control; sizes in lots; a file without corrections; trades that failed."""
    root.mkdir()
    tape = tape_of(Lake(root))
    ManifestStore.in_lake(tape.lake, "core").freeze(
        Selection(manifest_with(EARLY, OPENING, FIRST, SECOND), [{"step": "max_events", "rows": 4}], {}),
        config_hash="0" * 16,
        master_sha256="0" * 64,
        now=LATER,
    )
    # the control is known at 10:06, in the window of FIRST and after FIRST itself is known
    known = {
        "control_id": CONTROL, "event_type": "control", "symbol": SYMBOL, "timestamp": new_york("2025-11-05 10:05"),
        "session": "RTH", "date": "2025-11-05", "direction": "up", "window_before_min": 3, "window_after_min": 7,
        "extended": False, "control_of": SECOND, "rank": 4,
    }  # fmt: skip
    ControlStore(tape.lake, "core").publish(pl.DataFrame([known], schema=CONTROL_MANIFEST), {"manifest_id": "m"})
    publish(tape, EARLY, ("trades", "quotes"))
    publish(tape, FIRST, ("trades",))
    publish(tape, FIRST, ("quotes",), **thinned_after(CONTROL))
    publish(replace(tape, quote_sizes_in_shares_from=date(2026, 1, 1)), SECOND, ("trades", "quotes"))
    publish(tape, OPENING, ("quotes",))
    start, end = window_of(OPENING)
    tape.record_failure("trades", Span(SYMBOL, "RTH", start, end, (OPENING,)), "denied", "HTTP 403")
    return tape


def publish(tape: TapeStore, event: str, kinds: Sequence[str], **certificate: Any) -> None:
    if not certificate:
        for kind in kinds:
            capture(tape, event, kind)  # type: ignore[arg-type]
        return
    start, end = window_of(event)
    span = Span(SYMBOL, "RTH", start, end, (event,))
    tape.publish("quotes", span, quote_rows(start, end), {"fetched_at": LATER.isoformat(), **certificate})


def states(micro: pl.DataFrame, segment: str) -> dict[str, tuple[Any, ...]]:
    return {event: tuple(found) for event, *found in micro.filter(segment=segment).select(_KEYS).iter_rows()}


def test_the_page_shows_the_figures_of_the_tables(tmp_path: Path) -> None:
    table, page = figures(lake_of_many_captures(tmp_path / "lake"), default_settings())
    assert_frame_equal(page, table, check_exact=True)
    # 5 quotes a second before, one from the minute on in which the control is known
    assert states(table, "bar") == {
        EARLY: ("complete/complete", 5.0, "shares", True),
        OPENING: ("denied/complete", 5.0, "shares", False),
        FIRST: ("complete/complete", 5.0, "shares", True),
        SECOND: ("complete/complete", 5.0, "lots", True),
    }
    assert states(table, "post_all")[FIRST] == ("complete/complete", 1.0, "shares", True)


def test_the_setting_of_size_units_decides_on_both(tmp_path: Path) -> None:
    tape = lake_of_many_captures(tmp_path / "lake")
    for first, unit in ((date(2025, 11, 5), "shares"), (date(2025, 11, 6), "lots")):
        table, page = figures(tape, load_settings(overrides={"research": {"quote_sizes_in_shares_from": f"{first}"}}))
        assert_frame_equal(page, table, check_exact=True)
        assert set(table["quote_size_unit"]) == {unit}


def test_tape_of_release_0_1_shows_the_figures_of_the_tables(tmp_path: Path) -> None:
    shutil.copytree(RELEASE_0_1, tmp_path / "old")
    settings = default_settings()
    table, page = figures(TapeStore(Lake(tmp_path / "old"), "core", settings.profiles["core"]), settings)
    assert_frame_equal(page, table, check_exact=True)
    assert table["event_id"].n_unique() == 10
    assert set(table["corrections_known"]) == {False}
