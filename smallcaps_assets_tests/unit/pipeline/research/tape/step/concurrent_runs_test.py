"""Two runs at the same time."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.research.tape.tape_parts import PartResult
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.tape_scenes import FIRST, OPENING, SECOND, SYMBOL, TRADES_OF_MINUTE, manifest_with
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


def test_two_runs_at_the_same_time_make_the_same_files(lake: Lake) -> None:
    compute(lake)
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    others = list[PartResult]()
    meanwhile = replace(research(lake), tick=lambda: others.extend(compute(lake)))
    assert computed(list(meanwhile.run(manifest_with(*ALL), PAIRS))) == {FIRST}
    assert computed(others) == {FIRST}
    made = files_below(lake.research)
    assert computed(compute(lake)) == set()
    shutil.rmtree(lake.research)
    compute(lake)
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in made.items()
    }


@pytest.mark.parametrize("others", [(SECOND,), ()], ids=["other events", "none"])
def test_rows_that_another_run_removed_meanwhile_are_not_taken_for_kept(lake: Lake, others: tuple[str, ...]) -> None:
    compute(lake)
    before = rows(lake, "micro_features")
    capture_minute(lake, TRADES_OF_MINUTE[:1])
    meanwhile = replace(research(lake), tick=lambda: [*compute(lake, others)])
    found = {result.pair[1]: result for result in meanwhile.run(manifest_with(*ALL), PAIRS)}
    problems = found["RTH"].outcomes["micro_features"].problems
    assert problems
    assert all(f"{SYMBOL}.parquet: another run replaced it meanwhile" in problem for problem in problems)
    assert set(rows(lake, "micro_features")["event_id"]) == {FIRST, *others}
    # what is missing is stale, and nothing else
    assert computed(compute(lake)) >= {OPENING}
    others_of = pl.col("event_id") != FIRST
    assert_frame_equal(rows(lake, "micro_features").filter(others_of), before.filter(others_of))
    assert computed(compute(lake)) == set()


def test_runs_that_find_the_same_damage_at_the_same_time_all_end_well(lake: Lake) -> None:
    compute(lake)
    sound = files_below(lake.research)
    for path in lake.research.rglob("*.parquet"):
        flip_footer(path)
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(compute, lake) for _ in range(4)]:
            computed(made.result())
    assert {name: content for name, (_, content) in files_below(lake.research).items()} == {
        name: content for name, (_, content) in sound.items()
    }
