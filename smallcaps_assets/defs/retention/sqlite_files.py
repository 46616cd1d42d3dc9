"""Files of SQLite: what they could give back to the disk, and how."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

# below that, free pages are what the next nights fill again
_LEAST_FREE_BYTES: Final = 256_000_000
_LEAST_FREE_SHARE: Final = 0.5


class Pages(NamedTuple):
    """Bytes of a file that hold rows, and bytes that removed rows left."""

    used: int
    free: int


def pages_of(file: Path) -> Pages:
    """The pages of a file of SQLite; none where it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (size,), (count,), (free,) = (
                connection.execute(f"PRAGMA {name}").fetchone()
                for name in ("page_size", "page_count", "freelist_count")
            )
    except sqlite3.Error:
        return Pages(0, 0)
    return Pages(size * (count - free), size * free)


def vacuum(file: Path) -> bool:
    """Give the free pages of a file of SQLite back to the disk; False where another process is at work in it."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    return True


def compact(folder: Path, log: Callable[[str], None], least: int = _LEAST_FREE_BYTES) -> None:
    """Shrink the files of SQLite in a folder of which half is free; to be called while nothing writes to them.

    A file is rewritten as a whole, so the disk needs room for what it holds; where it has not, the file stays as it is.

    Args:
        folder: the folder, with all below it.
        log: called before each file is shrunk.
        least: the fewest free bytes of a file that is worth it.
    """
    for file in sorted(folder.rglob("*.db")):
        if file.stat().st_size < least:
            continue
        used, free = pages_of(file)
        if free < max(least, _LEAST_FREE_SHARE * (used + free)):
            continue
        # the new content is written to a file beside it first, and then to its write-ahead log
        if shutil.disk_usage(file.parent).free < 2 * used + least:
            continue
        log(f"shrinking {file.name} of Dagster's state from {(used + free) / 1e6:,.0f} to {used / 1e6:,.0f} MB ...")
        vacuum(file)
