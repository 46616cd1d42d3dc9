"""Who may change what in a lake at a time: of processes and threads that read, merge and publish, one after the other.

The lock is the system's, so that it ends with its process, however that ends. Its empty file stays.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.publish import disk_errors

# of all symbols, so that a lake has few such files; two symbols seldom share one
LOCKS: Final = 64


@contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Wait until nobody else holds the lock that `file` is, and hold it.

    Raises:
        LakeError: it cannot be made.
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
    """Hold the right to change what `name`, such as a symbol, has in a lake; not to be asked for twice by one thread.

    Raises:
        LakeError: see `exclusive_lock`.
    """
    with exclusive_lock(lake.locks / f"{zlib.crc32(name.encode()) % LOCKS:02}.lock"):
        yield
