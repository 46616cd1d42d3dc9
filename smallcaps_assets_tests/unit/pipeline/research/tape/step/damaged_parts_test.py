"""Damaged parts and footers: named, set aside and made again, at no cost to other events."""

from pathlib import Path

import polars as pl

from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import Span
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import flip_bit
from smallcaps_assets_tests.tape_scenes import (
    FIRST,
    OPENING,
    SECOND,
    SYMBOL,
    TRADES_OF_MINUTE,
    manifest_with,
    tape_of,
    window_of,
)
from smallcaps_assets_tests.unit.pipeline.research.tape.step.computing import (
    ALL,
    PAIRS,
    capture_minute,
    compute,
    computed,
    flip_footer,
    research,
    rows,
)


def test_a_damaged_part_is_set_aside_and_made_again(lake: Lake) -> None:
    compute(lake)
    path = lake.research_wave("core", "micro_features", "RTH", SYMBOL)
    intact = path.read_bytes()
    flip_bit(path)
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}
    assert pl.read_parquet(path)["event_id"].n_unique() == 3
    assert path.read_bytes() != intact
    assert list(lake.damaged_path(path).parent.glob(f"{path.name}*"))


def test_a_damaged_part_is_made_again_although_nothing_else_changed(lake: Lake) -> None:
    compute(lake)
    sound = files_below(lake.research)
    path = lake.research_wave("core", "micro_features", "RTH", SYMBOL)
    flip_bit(path)
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in sound.items()
    }


def test_a_folder_in_the_place_of_a_part_costs_no_other_part(lake: Lake) -> None:
    path = lake.research_wave("core", "tape_halts", "RTH", SYMBOL)
    path.mkdir(parents=True)
    made = {found.pair[1]: found.outcomes for found in compute(lake)}
    (problem,) = {problem for outcome in made["RTH"].values() for problem in outcome.problems}
    assert (
        problem
        == f"{SYMBOL} RTH: {path}: is a folder, where a file belongs: move the folder away. " + how_to_restore(path)
    )
    assert not [problem for outcome in made["PM"].values() for problem in outcome.problems]
    assert rows(lake, "micro_features", "PM").height
    path.rmdir()
    assert computed(compute(lake)) == {FIRST, OPENING, SECOND}


def test_a_file_without_a_readable_footer_is_named_and_costs_no_other_event(lake: Lake) -> None:
    compute(lake)
    folder, (start, _) = lake.tape_wave("core", "quotes", "RTH", SYMBOL), window_of(SECOND)
    damaged = next(path for path in folder.iterdir() if path.name.startswith(f"{start:%Y%m%dT%H%M%S}"))
    sound = damaged.read_bytes()
    flip_footer(damaged)
    for _ in range(2):
        by_wave = {found.pair[1]: found.outcomes for found in compute(lake)}
        for asset, outcome in by_wave["RTH"].items():
            (problem,) = outcome.problems
            assert problem.startswith(f"{SYMBOL} RTH: {damaged}: cannot be read ("), asset
            assert how_to_restore(damaged) in problem
        assert not [outcome.problems for outcome in by_wave["PM"].values() if outcome.problems]
    micro = rows(lake, "micro_features").filter(segment="bar").rows_by_key("event_id", named=True, unique=True)
    assert {event: found["capture_state"] for event, found in micro.items()} == {
        FIRST: "complete/complete",
        OPENING: "complete/complete",
        SECOND: "complete/missing",
    }
    damaged.write_bytes(sound)
    assert computed(compute(lake)) == {SECOND}


def test_a_file_that_is_gone_since_it_was_listed_costs_no_other_event(lake: Lake) -> None:
    listing = tape_of(lake).listing()
    path = Path(listing["trades"].filter(start=window_of(SECOND)[0])["path"].item())
    path.unlink()
    made = list(research(lake).run(manifest_with(*ALL), PAIRS, listing=listing))
    problems = {f"{problem}" for found in made for outcome in found.outcomes.values() for problem in outcome.problems}
    assert len(problems) == 1
    assert f"{path}: cannot be read (No such file or directory)" in problems.pop()
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, OPENING}


def test_a_damaged_record_of_a_failed_window_is_named_and_costs_nothing_else(lake: Lake) -> None:
    tape, (start, end) = tape_of(lake), window_of(SECOND)
    next(lake.tape_wave("core", "quotes", "RTH", SYMBOL).glob(f"{start:%Y%m%dT%H%M%S}*")).unlink()
    tape.record_failure("quotes", Span(SYMBOL, "RTH", start, end, (SECOND,)), "failed", "HTTP 503")
    (record,) = lake.quarantine.rglob("*.json")
    record.write_text("{}", encoding="utf-8")
    problems = {
        f"{problem}" for found in compute(lake) for outcome in found.outcomes.values() for problem in outcome.problems
    }
    assert problems == {f"{SYMBOL} RTH: {record}: has no usable state, cause, wave, events. {how_to_restore(record)}"}
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, OPENING, SECOND}
