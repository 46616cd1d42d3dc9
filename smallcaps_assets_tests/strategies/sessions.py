"""Sessions of ordinary and of irregular weeks."""

from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from smallcaps_assets_tests.slow_spec import xnys

EASTERN: Final = ZoneInfo("America/New_York")
Row = dict[str, Any]

# ordinary days, both DST weeks, the half days 2024-07-03 and 2025-11-28 with the days around them
PLAIN_WEEKS: Final = (date(2025, 5, 12), date(2025, 6, 12))
DST_WEEKS: Final = ((date(2025, 3, 7), date(2025, 3, 14)), (date(2025, 10, 31), date(2025, 11, 7)))
HALF_DAYS: Final = ((date(2024, 7, 1), date(2024, 7, 5)), (date(2025, 11, 25), date(2025, 12, 1)))


def sessions_between(first: date, last: date) -> list[date]:
    return list(xnys(first, last))
