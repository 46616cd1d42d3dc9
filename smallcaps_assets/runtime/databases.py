"""Databases of SQLite: copied while others write to them, and checked."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

_HEADER: Final = b"SQLite format 3\0"
_WAIT_S: Final = 60.0
# what is written beside a database until it is in it
_BESIDE: Final = ("-wal", "-journal")


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite with content.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_HEADER)) == _HEADER


def has_pending_changes(path: Path) -> bool:
    """Whether changes of a database may lie in a file beside it, as while a process has it open."""
    return any(_size(path.with_name(f"{path.name}{suffix}")) for suffix in _BESIDE)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, by SQLite's own means, while others write to it.

    Raises:
        sqlite3.Error: it is damaged, or another process has locked it for a minute.
    """
    mode = "rw" if os.access(source, os.W_OK) else "ro"
    address = f"{source.resolve().as_uri()}?mode={mode}"
    with (
        closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S)) as opened,
        closing(sqlite3.connect(target)) as copy,
    ):
        opened.backup(copy)


def fault_of_database(path: Path) -> str | None:
    """What SQLite finds wrong with a database that no process has open; None where it is sound."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True)) as opened:
            found = str(opened.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
