"""Statistics over many ranges of one array, against loops."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.research.micro.ranges import expand, flagged_sums

LENGTH = 12
RANGES = st.lists(st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)), max_size=6)
# ranges that follow each other, some of them empty
ADJACENT = st.lists(st.integers(0, LENGTH), min_size=2, max_size=6).map(sorted).map(lambda at: list(zip(at, at[1:])))  # noqa: B905, RUF007 -- pairs


def as_arrays(ranges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    starts, ends = (np.array([bounds[side] for bounds in ranges], dtype=np.int64) for side in (0, 1))
    return starts, ends


@given(ranges=RANGES | ADJACENT)
def test_members_are_the_elements_range_by_range(ranges: list[tuple[int, int]]) -> None:
    values = np.arange(100, 100 + LENGTH)
    members = expand(*as_arrays(ranges))
    expected = [(number, element) for number, (start, end) in enumerate(ranges) for element in range(start, end)]
    assert list(zip(members.owner.tolist(), members.element.tolist(), strict=True)) == expected
    assert members.of(values).tolist() == [100 + element for _, element in expected]


@given(ranges=ADJACENT)
def test_ranges_that_follow_each_other_are_one_block(ranges: list[tuple[int, int]]) -> None:
    assert expand(*as_arrays(ranges)).block == slice(ranges[0][0], ranges[-1][1])


def test_ranges_with_a_gap_or_an_overlap_are_none() -> None:
    for ranges in ([(0, 3), (4, 6)], [(0, 3), (2, 6)], [(3, 6), (0, 3)], []):
        assert expand(*as_arrays(ranges)).block is None


@given(ranges=RANGES, flags=st.lists(st.booleans(), min_size=LENGTH, max_size=LENGTH))
def test_flagged_sums_leave_out_the_other_elements(ranges: list[tuple[int, int]], flags: list[bool]) -> None:
    values = np.arange(1.0, 1 + LENGTH)
    found = flagged_sums(values, np.array(flags), *as_arrays(ranges))
    assert found.tolist() == [sum(values[i] for i in range(start, end) if flags[i]) for start, end in ranges]
