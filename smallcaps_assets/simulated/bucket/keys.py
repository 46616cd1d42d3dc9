"""Keys of the vendor's bucket: `us_stocks_sip/minute_aggs_v1/2025/11/2025-11-03.csv.gz`."""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date
from typing import Final

MINUTES: Final = "minute_aggs_v1"
DAYS: Final = "day_aggs_v1"
ROOT: Final = "us_stocks_sip"
# The vendor's first file of minute bars.
FIRST_DAY: Final = date(2003, 9, 10)
_KEY: Final = re.compile(rf"{ROOT}/({MINUTES}|{DAYS})/(\d{{4}})/(\d{{2}})/(\d{{4}}-\d{{2}}-\d{{2}})\.csv\.gz", re.ASCII)
_PART: Final = re.compile(r"(\d{4})/(?:(\d{2})/)?", re.ASCII)


def stored_key(kind: str, day: date) -> str:
    """The key of the file of a session; `kind` is MINUTES or DAYS."""
    return f"{ROOT}/{kind}/{day:%Y/%m/%Y-%m-%d}.csv.gz"


def stored_day(key: str) -> tuple[str, date] | None:
    """Kind and session of a key; None for keys of no such file."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    try:
        day = date.fromisoformat(found[4])
    except ValueError:
        return None
    return (found[1], day) if key == stored_key(found[1], day) else None


def days_of_prefix(prefix: str, first: date, last: date) -> Iterator[tuple[str, date, date]]:
    """Kind, first and last day, both included, of the keys in [first, last] that may begin with `prefix`."""
    for kind in (DAYS, MINUTES):
        folder = f"{ROOT}/{kind}/"
        if not (folder.startswith(prefix) or prefix.startswith(folder)):
            continue
        begin, end = _span(prefix[len(folder) :], first, last)
        if begin <= end:
            yield kind, begin, end


def _span(rest: str, first: date, last: date) -> tuple[date, date]:
    found = _PART.match(rest)
    if found is None:
        return first, last
    year, month = int(found[1]), int(found[2] or 0)
    if year < 1 or month > 12:  # noqa: PLR2004
        return last, first
    begin = date(year, month or 1, 1)
    until = month or 12
    return max(first, begin), min(last, date(year, until, monthrange(year, until)[1]))
