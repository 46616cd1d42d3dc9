"""What the system and SQLite report of disks and files, as errors of this package: a sentence instead of a stack trace.

Dagster keeps its state in files of SQLite, whose errors arrive wrapped by SQLAlchemy and name no file.
"""

import errno
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import DiskFull, InputError, LakeError, SettingsError, SmallcapsError
from smallcaps_assets.runtime.disk_space import describe_room, is_full, probe_room

# what a disk that is full, read-only, unreadable to this user, defective or gone refuses with
_OF_THE_DISK: Final = frozenset(
    getattr(errno, name, errno.EIO) for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EIO", "ESTALE")
)
_MOST_SHOWN: Final = 100
_CHECK_THE_DISK: Final = "Check that its disk is there, has space and lets this user read and write."
_RESTORE: Final = (
    "Restore it, or move this folder away to begin with an empty state: the lake stays as it is, and nothing is "
    "fetched again."
)
# SQLite's primary result codes
_READ_ONLY, _IO_ERROR, _DAMAGED, _DATABASE_FULL, _CANNOT_OPEN, _NO_DATABASE = 8, 10, 11, 13, 14, 26
_PRIMARY_CODE: Final = 0xFF


def system_error(error: BaseException, state: Path | None = None) -> SmallcapsError | None:
    """The error of this package that says what a disk or a database refused; None where neither is the cause.

    Args:
        error: what was raised.
        state: the folder of Dagster's state; by default that of this process.
    """
    if isinstance(error, OSError):
        return _of_the_system(error)
    refused = next((cause for cause in _causes(error) if isinstance(cause, sqlite3.Error)), None)
    return None if refused is None else _of_the_database(refused, state)


def _of_the_system(error: OSError) -> SmallcapsError | None:
    file = error.filename if isinstance(error.filename, str) else None
    if file is None:
        if not is_full(error):
            return None
        return DiskFull(
            f"a file cannot be written ({error.strerror}). Free space on the disks of the lake, of Dagster's state and "
            "of the working folder, and run again: published data is not fetched again."
        )
    if is_full(error):
        return DiskFull(f"{file}: cannot be written ({error.strerror}). {describe_room(Path(file), None)}", Path(file))
    if error.errno == errno.ENAMETOOLONG:
        return InputError(f"{file[:_MOST_SHOWN]}...: is longer than a path may be. Give a shorter one.")
    if error.errno not in _OF_THE_DISK:
        return None
    return LakeError(f"{file}: cannot be read or written ({error.strerror}). {_CHECK_THE_DISK}", Path(file))


def _of_the_database(error: sqlite3.Error, state: Path | None) -> SmallcapsError | None:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    home = os.environ.get("DAGSTER_HOME")  # noqa: TID251 -- no setting: where Dagster has its state in this process
    folder = state or (None if home is None else Path(home))
    name = folder or "Dagster's folder"
    if code in {_DAMAGED, _NO_DATABASE}:
        file = None if folder is None else _damaged_database(folder)
        which = "one of its files" if file is None else str(file)
        return SettingsError(f"{name}: Dagster's state cannot be read ({error}): {which} is damaged. {_RESTORE}")
    if code not in {_READ_ONLY, _IO_ERROR, _DATABASE_FULL, _CANNOT_OPEN}:
        return None
    if code == _CANNOT_OPEN and folder and (fault := _closed_database(folder)):
        return SettingsError(f"{name}: Dagster's state cannot be opened ({error}): {fault}")
    happened = f"{name}: Dagster's state cannot be written ({error})."
    if code == _DATABASE_FULL or (folder and _has_no_room(folder)):
        room = describe_room(folder / "state", None) if folder else "Free space on its disk and run again."
        return DiskFull(f"{happened} {room}", folder)
    return LakeError(f"{happened} {_CHECK_THE_DISK}", folder)


def _damaged_database(folder: Path) -> Path | None:
    """The first file of a state whose tables SQLite cannot list; None where it can list all."""
    for file in sorted(folder.rglob("*.db")):
        try:
            with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
                if opened.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                    return file
        except sqlite3.DatabaseError:
            return file
    return None


def _closed_database(folder: Path) -> str | None:
    """The first file of a state that is a folder or closed to this user, and the remedy; None where there is none."""
    for file in sorted(folder.rglob("*.db")):
        if file.is_dir():
            return f"{file} is a folder, where a file belongs. {_RESTORE}"
        if not os.access(file, os.R_OK | os.W_OK):
            return f"{file} is closed to this user. Let this user read and write it."
    return None


def _has_no_room(folder: Path) -> bool:
    probe = folder / f".probe-{uuid.uuid4().hex}"
    try:
        return probe_room(probe) is not None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it; SQLAlchemy names the error of the database `orig`."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        context = None if one.__suppress_context__ else one.__context__
        waiting += [
            cause for cause in (getattr(one, "orig", None), one.__cause__, context) if isinstance(cause, BaseException)
        ]
