"""Files of the vendor's bucket: one a session, `PREFIX/2025/11/2025-11-03.csv.gz`."""

import re
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"(\d{4}-\d{2}-\d{2})\.csv\.gz", re.ASCII)
_DECEMBER: Final = 12


class RemoteFile(NamedTuple):
    """A file of the bucket as it was listed; the ETag, without quotes, changes when the file is replaced."""

    day: date
    key: str
    size: int
    etag: str
    modified: datetime


def remote_key(prefix: str, day: date) -> str:
    """The key of the file of a session, below `prefix` without a slash at its end."""
    return f"{prefix}/{day:%Y/%m/%Y-%m-%d}.csv.gz"


def remote_day(prefix: str, key: str) -> date | None:
    """The session of a key; None for keys of other files."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    if found is None:
        return None
    try:
        day = date.fromisoformat(found[1])
    except ValueError:
        return None
    return day if key == remote_key(prefix, day) else None


def folders_of(prefix: str, first: date, last: date) -> Iterator[str]:
    """The folders that hold the files of `first` to `last`: whole calendar years, else months."""
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        if month == 1 and last >= date(year, _DECEMBER, monthrange(year, _DECEMBER)[1]) and first <= date(year, 1, 1):
            yield f"{prefix}/{year:04d}"
            year += 1
            continue
        yield f"{prefix}/{year:04d}/{month:02d}"
        year, month = (year + 1, 1) if month == _DECEMBER else (year, month + 1)
