"""Locks for code that reads, merges and publishes files of a lake, across processes and threads.

The operating system releases a lock when its process ends, however it ends. The empty lock file stays.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from smallcaps_assets.lake.files.publish import disk_errors, make_folders
from smallcaps_assets.lake.layout import Lake

# Lock files for all symbols together, so that a lake has few of them; two symbols rarely share one.
_LOCK_FILES: Final = 64


@contextmanager
def exclusive_lock(file: Path, *, below: Path | None = None) -> Iterator[None]:
    """Wait for the exclusive lock on `file` and hold it; the file is created if it does not exist.

    Args:
        file: the lock file.
        below: a folder that must exist: missing folders below it are created. By default none is created.

    Raises:
        LakeError: the file cannot be created.
    """
    lock = FileLock(file)
    with disk_errors("written", file):
        make_folders(file.parent, below or file.parent)
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
    number = zlib.crc32(name.encode()) % _LOCK_FILES
    with exclusive_lock(lake.locks / f"{number:02}.lock", below=lake.root):
        yield
