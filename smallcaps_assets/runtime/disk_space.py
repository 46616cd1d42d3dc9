"""Whether a disk has no room for a file, however the refusal is worded, and what to say then."""

import errno
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

# No space left, quota exceeded, file too large; on POSIX and on Windows.
_FULL: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_FULL_ON_WINDOWS: Final = (39, 112)
_PROBED_BYTES: Final = 65_536
# why a disk takes nothing
FULL: Final = "the disk is full"
NO_INODES: Final = "the disk has no free inodes"
READ_ONLY: Final = "the disk is mounted read-only"
_SMALL_BYTES: Final = 1_000_000
# how ext4 marks a disk to which it writes nothing any more
_EMERGENCY: Final = "emergency_ro"


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full; errors of Polars carry the error number in their text only."""
    if getattr(error, "errno", None) in _FULL or getattr(error, "winerror", None) in _FULL_ON_WINDOWS:
        return True
    in_text = re.search(r"os error (\d+)", str(error))
    return in_text is not None and int(in_text[1]) in (_FULL_ON_WINDOWS if os.name == "nt" else _FULL)


def probe_room(file: Path) -> OSError | None:
    """Why the disk has no room to extend `file`, which is created if it does not exist; None where it has.

    A library may report a full disk as something else, such as an invalid footer. The file is of no use afterwards.
    """
    try:
        with file.open("ab") as opened:
            # a file system that compresses has room for any number of zeros
            opened.write(os.urandom(_PROBED_BYTES))
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        return error if is_full(error) else None
    return None


def has_room(folder: Path) -> bool:
    """Whether the disk of a folder has room for small files; true where the system does not report it."""
    return why_unwritable(folder) in {None, READ_ONLY}


def why_unwritable(folder: Path) -> str | None:
    """Why nothing can be written to the disk of a folder; None where it can, or the system does not report it."""
    if _is_read_only(folder):
        return READ_ONLY
    if _free_inodes(folder) == 0:
        return NO_INODES
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    return FULL if free < _SMALL_BYTES else None


def describe_room(path: Path, needs: int | None) -> str:
    """What a full disk lacks for the file `path`, and what to do.

    Args:
        path: the file.
        needs: its approximate size in bytes, where it is known.
    """
    folder = next(folder for folder in path.parents if folder.exists())
    if _is_read_only(folder):
        return (
            "Its disk is mounted for reading only, as systems do when a disk reports errors: look into the log of the "
            "system, mount it for writing and run again: published data is not fetched again."
        )
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
    room = "an unknown number of MB" if free is None else f"{free / 1e6:,.2f} MB"
    if _free_inodes(folder) == 0:
        return (
            f"The disk has no free inodes: {room} are free, but it can hold no further file. Remove files that are not "
            "needed from it, or move the lake to a disk with more inodes, and run again: no incomplete file was left "
            "in place, and published data is not fetched again."
        )
    disk = "The disk" if needs is None else f"The file needs up to {needs / 1e6:,.2f} MB and the disk"
    return (
        f"{disk} has {room} free (less where a quota or a file size limit applies). Free "
        "space and run again: no incomplete file was left in place, and published data is not fetched again."
    )


def _is_read_only(folder: Path) -> bool:
    """Whether the disk is mounted for reading only; false where the system does not report it."""
    if not hasattr(os, "statvfs"):
        return False
    with suppress(OSError):
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY) or _refuses_after_errors(folder)
    return False


def _refuses_after_errors(folder: Path) -> bool:
    """Whether Linux lets nothing be written to a disk that reported errors; recent kernels leave the mount writable."""
    device, mounts = folder.stat().st_dev, Path("/proc/self/mountinfo")
    if not mounts.is_file():
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(number == line.split(" ", 3)[2] and _EMERGENCY in line.rpartition(" ")[2].split(",") for line in lines)


def _free_inodes(folder: Path) -> int | None:
    """How many more files the disk can hold; None where it has no such limit or the system does not report it."""
    if not hasattr(os, "statvfs"):
        return None
    with suppress(OSError):
        found = os.statvfs(folder)
        return found.f_favail if found.f_files else None
    return None
