"""Files of a backup and of what is restored: written beside their place, flushed to disk, read back, and renamed."""

import hashlib
import os
import stat
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import disk_errors

# of a file in the making
PART: Final = ".part"
_CHUNK_BYTES: Final = 1 << 22


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hex, from the disk where the system lets its own copy in memory be dropped.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        forget_cached(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_whole(source: Path, target: Path, sha256: str, modified_ns: int) -> None:
    """Copy a file, prove the copy by its SHA-256, and rename it to `target`, whose folder is created.

    Raises:
        LakeError: the source is not what it was, or the copy cannot be written or does not read back.
    """
    part = target.with_name(f".{uuid.uuid4().hex}{PART}")
    try:
        with disk_errors("written", target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors("read", source), source.open("rb", buffering=0) as file:
            found, _ = write_hashed(part, reader_of(source, file.read))
        flush_file(part)
        with disk_errors("read", part):
            if found != sha256 or digest_of(part) != sha256:
                raise LakeError(
                    f"{source}: was read with SHA-256 {found}, not {sha256}, or its copy does not read back. Check "
                    "both disks, then run again.",
                    source,
                )
        with disk_errors("written", target):
            os.utime(part, ns=(modified_ns, modified_ns))
            os.replace(part, target)  # noqa: PTH105 -- of the files below it is the last step
    finally:
        remove_file(part)


def flush_file(path: Path) -> None:
    """Flush a file to disk, and drop the system's copy of it in memory, so that what is read next is on the disk."""
    with disk_errors("written", path), path.open("rb+") as file:
        os.fsync(file.fileno())
        forget_cached(file.fileno())


def forget_cached(descriptor: int) -> None:
    """Have the next reader read from the disk, where the system can do that."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    with disk_errors("written", folder):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_file(path: Path) -> None:
    """Remove a file, also one that is marked as read-only, which Windows keeps otherwise."""
    with disk_errors("written", path):
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            path.chmod(stat.S_IWRITE | stat.S_IREAD)
            path.unlink(missing_ok=True)


def reader_of(source: Path, read: Callable[[int], bytes | None]) -> Callable[[int], bytes]:
    """`read` of a file, whose errors name the file `source` and what to do."""

    def read_named(size: int) -> bytes:
        with disk_errors("read", source):
            return read(size) or b""

    return read_named


def read_all(read: Callable[[int], bytes], size: int) -> bytes:
    """Everything, one byte beyond the size that it should have at most."""
    chunks, left = list[bytes](), size + 1
    while left and (chunk := read(left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def write_hashed(part: Path, read: Callable[[int], bytes]) -> tuple[str, int]:
    """Write what is read; returns its SHA-256 and its size."""
    digest, size = hashlib.sha256(), 0
    with disk_errors("written", part), part.open("xb", buffering=0) as file:
        while chunk := read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
    return digest.hexdigest(), size
