"""Locks for code that reads, merges and publishes files of a lake, across processes and threads.

The operating system releases a lock when its process ends, however it ends. The empty lock file stays.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors

# Lock files for all symbols together, so that a lake has few of them; two symbols rarely share one.
_LOCK_FILES: Final = 64


@contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Wait for the exclusive lock on `file` and hold it; the file is created if it does not exist.

    Raises:
        LakeError: it cannot be created.
    """
    lock = FileLock(file)
    with disk_errors("written", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def symbol_lock(lake: Lake, name: str) -> Iterator[None]:
    """Hold the lock on the files of `name`, such as a symbol, in a lake; not reentrant: a thread waits for itself.

    Raises:
        LakeError: see `exclusive_lock`.
    """
    with exclusive_lock(lake.locks / f"{zlib.crc32(name.encode()) % _LOCK_FILES:02}.lock"):
        yield
