"""The unit of quote sizes, by the day in New York."""

from datetime import UTC, date, datetime

import pytest

from smallcaps_assets.domain.tape.size_units import size_unit

MONDAY = date(2025, 11, 3)


@pytest.mark.parametrize(
    ("start", "shares_from", "unit"),
    [
        # Monday in New York begins at 05:00 UTC
        (datetime(2025, 11, 3, 4, 59, tzinfo=UTC), MONDAY, "lots"),
        (datetime(2025, 11, 3, 5, 0, tzinfo=UTC), MONDAY, "shares"),
        (datetime(2003, 1, 2, 15, tzinfo=UTC), MONDAY, "lots"),
        (datetime(2003, 1, 2, 15, tzinfo=UTC), None, "shares"),
    ],
)
def test_sizes_are_lots_before_the_day(start: datetime, shares_from: date | None, unit: str) -> None:
    assert size_unit(start, shares_from) == unit
