"""What is known to be up to date is not opened; whatever changes it is noticed."""

import os
from pathlib import Path

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.tape_scenes import FIRST, OPENING, SECOND, SYMBOL, manifest_with
from smallcaps_assets_tests.unit.pipeline.research.tape.step.computing import (
    ALL,
    PARAMS,
    compute,
    computed,
    date_inputs,
    garble,
    inputs,
    research,
    rows,
    shown,
)


def test_files_of_the_same_size_and_time_are_not_opened(lake: Lake) -> None:
    date_inputs(lake, -3600)
    first = compute(lake)
    intact = {path: path.read_bytes() for path in inputs(lake)}
    garble(lake)
    again = compute(lake)
    assert computed(again) == set()
    assert shown(again) == shown(first)
    # a copy has other times: the footers say that nothing is new, and are not read a second time
    for path, content in intact.items():
        path.write_bytes(content)
    date_inputs(lake, -1800)
    before = files_below(lake.research)
    assert computed(compute(lake)) == set()
    assert files_below(lake.research) == before
    garble(lake)
    assert computed(compute(lake)) == set()
    assert shown(compute(lake)) == shown(first)
    os.utime(inputs(lake)[-1])
    compute(lake)
    assert rows(lake, "micro_features").is_empty(), "what is no tape file counts as missing"


def test_files_that_changed_a_moment_ago_are_opened_again(lake: Lake) -> None:
    date_inputs(lake, 60)
    compute(lake)
    garble(lake)
    compute(lake)
    assert rows(lake, "micro_features").is_empty()


def test_other_events_settings_and_lost_parts_are_noticed_where_no_file_changed(lake: Lake) -> None:
    date_inputs(lake, -3600)
    compute(lake)
    assert computed(compute(lake, (OPENING, SECOND))) == set()
    assert set(rows(lake, "micro_features")["event_id"]) == {OPENING, SECOND}
    other = PARAMS.model_copy(update={"large_print_usd": 1_000.0})
    assert computed(compute(lake, (OPENING, SECOND), other)) == {OPENING, SECOND}
    lake.research_wave("core", "tape_halts", "RTH", SYMBOL).unlink()
    assert computed(compute(lake, (OPENING, SECOND), other)) == {OPENING, SECOND}
    assert computed(compute(lake, (OPENING, SECOND), other)) == set()


def test_a_damaged_list_of_states_costs_a_look_into_the_footers(lake: Lake) -> None:
    date_inputs(lake, -3600)
    compute(lake)
    (states,) = lake.cache.iterdir()
    states.write_bytes(b"{")
    assert computed(compute(lake)) == set()
    garble(lake)
    assert computed(compute(lake)) == set()


def test_partitions_with_tape_or_with_files_are_present(lake: Lake, tmp_path: Path) -> None:
    assert research(Lake(tmp_path / "empty")).present_pairs(manifest_with(*ALL)) == []
    assert research(lake).present_pairs(manifest_with(FIRST)) == [(SYMBOL, "RTH")]
    compute(lake)
    # EARLY has left the manifest, and its rows are still there
    assert research(lake).present_pairs(manifest_with(FIRST)) == [(SYMBOL, "PM"), (SYMBOL, "RTH")]
