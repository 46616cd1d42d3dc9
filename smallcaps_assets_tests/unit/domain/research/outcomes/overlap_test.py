"""Overlap of labels: example H, against slow rules, and on subsets (research specification, section 4.6)."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.research.outcomes.overlap import OVERLAP, overlap
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets_tests.slow_spec.outcomes_labels import overlaps

START = datetime(2025, 11, 12, 15, tzinfo=UTC)
SCHEMA = {"symbol": pl.String, "label_spec": pl.String, "entry_at": UTC_US, "t1": UTC_US}


def intervals(*bounds: tuple[int, int], symbol: str = "AAA", spec: str = "15,1,1") -> pl.DataFrame:
    rows = [(symbol, spec, *(START + timedelta(minutes=minute) for minute in pair)) for pair in bounds]
    return pl.DataFrame(rows, SCHEMA, orient="row")


def test_example() -> None:
    found = overlap(intervals((0, 10), (4, 12), (20, 25)))
    # 4 minutes alone and 6 shared: (4 + 3) / 10; 6 shared and 2 alone: (3 + 2) / 8
    assert found.rows() == [(0.7, 2), (0.625, 2), (1.0, 1)]
    assert found["uniqueness"].sum() == pytest.approx(2.325)


def test_a_subset_is_computed_by_itself() -> None:
    rows = intervals((0, 10), (4, 12), (20, 25))
    assert overlap(rows[::2]).rows() == [(1.0, 1), (1.0, 1)]


def test_groups_do_not_meet() -> None:
    rows = [intervals((0, 10)), intervals((0, 10), symbol="BBB"), intervals((0, 10), spec="5,1,1")]
    assert overlap(pl.concat(rows)).rows() == [(1.0, 1)] * 3
    assert overlap(pl.concat(rows), ("symbol",)).rows() == [(0.5, 2), (1.0, 1), (0.5, 2)]
    # neither do intervals that follow each other
    assert overlap(intervals((0, 10), (10, 11))).rows() == [(1.0, 1), (1.0, 1)]


def test_nothing_overlaps_nothing() -> None:
    assert overlap(intervals()).schema == OVERLAP


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_overlap_equals_the_slow_rules(seed: int, size: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    starts = [rng.randrange(60) for _ in range(size)]
    groups = [(rng.choice("AB"), rng.choice(["5,1,1", "60,1,1"])) for _ in range(size)]
    rows = pl.concat(
        intervals((start, start + rng.randrange(1, 20)), symbol=symbol, spec=spec)
        for start, (symbol, spec) in zip(starts, groups, strict=True)
    )
    expected: list[tuple[float, int] | None] = [None] * size
    for group in set(groups):
        places = [place for place, other in enumerate(groups) if other == group]
        for place, found in zip(places, overlaps(rows[places].rows(named=True)), strict=True):
            expected[place] = found
    found = overlap(rows)
    assert found.rows() == [(pytest.approx(one[0], rel=1e-14), one[1]) for one in expected if one]
    assert found["uniqueness"].is_between(0, 1, closed="right").all()
