"""Requests for less where an answer is bad: every part is accounted for, and the number of requests is bounded."""

from datetime import date, timedelta

import pytest

from smallcaps_assets.errors import BadPage, VendorUnavailable
from smallcaps_assets.market_data.narrowing import MOST_FURTHER, Served, Unserved, narrow


@pytest.mark.parametrize("count", range(1, 24))
@pytest.mark.parametrize("bad", [[], [0], [3], [1, 7], [2, 3, 11], list(range(23))], ids=str)
def test_narrowing_finds_bad_sessions_within_its_bound(count: int, bad: list[int]) -> None:
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(count)]
    bad_days = {days[number] for number in bad if number < count}
    asked: list[list[date]] = []

    def fetch(some: list[date]) -> int:
        asked.append(some)
        if bad_days.intersection(some):
            raise BadPage("bad")
        return len(some)

    results = list(narrow(days, fetch))
    assert sorted(day for result in results for day in result.parts) == days
    served = {day for result in results if isinstance(result, Served) for day in result.parts}
    unserved = {day for result in results if isinstance(result, Unserved) for day in result.parts}
    assert len(asked) <= 1 + MOST_FURTHER
    if len(bad_days) < 4:
        assert (served, unserved) == (set(days) - bad_days, bad_days)
    elif len(bad_days) == count:
        assert (served, len(asked) <= 7) == (set(), True)


def test_only_bad_answers_are_narrowed() -> None:
    def fetch(some: list[date]) -> int:  # noqa: ARG001
        raise VendorUnavailable("down")

    with pytest.raises(VendorUnavailable):
        list(narrow([date(2025, 1, 1), date(2025, 1, 2)], fetch))
