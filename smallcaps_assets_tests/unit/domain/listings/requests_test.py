"""Bounds of requests, worked out by hand."""

import pytest

from smallcaps_assets.domain.listings.inference import Question
from smallcaps_assets.domain.listings.requests import most_requests


@pytest.mark.parametrize(
    ("count", "pages", "expected"),
    [
        # 20 sessions apart, 5 halvings of each ticker
        (1, 12, 5),
        (45, 12, 225),
        # 19 sessions between them, of each the list of 12 pages at most
        (46, 12, 228),
        (240, 12, 228),
        (240, 1, 19),
    ],
)
def test_a_session_between_two_lists_costs_no_more_than_its_list(count: int, pages: int, expected: int) -> None:
    month = [Question(f"S{number}", 0, 20) for number in range(count)]
    assert most_requests(month, pages) == expected
    # those of another month, 4 sessions apart, are halved by themselves: 2 requests each
    assert most_requests([*month, Question("A", 20, 24)], pages) == expected + 2
    assert most_requests([], pages) == 0
