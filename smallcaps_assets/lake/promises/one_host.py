"""Promises that one host can test: renames, names, times, flushing, mapping, links, room, locks of killed processes."""

import hashlib
import mmap
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import publish, publish_text
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.promises.file_system import FileSystem
from smallcaps_assets.lake.promises.promises import (
    FLUSH,
    LINKS,
    LONG_NAMES,
    MAPPING,
    RELEASE,
    REPLACE,
    RESOLUTION,
    SPACE,
    Promise,
    PromiseResult,
    PromiseVerdict,
)
from smallcaps_assets.runtime.disk_space import describe_room, has_room

_BYTES_PER_GB: Final = 1e9
# above the size from which files of the lake are mapped
_MAPPED_BYTES: Final = 2 << 20
_FEW_INODES: Final = 100_000
_COARSE_S: Final = 0.1
_TOO_COARSE_S: Final = 0.9
_MEASURED_S: Final = 2.5
_STEPS: Final = 4
_RELEASED_WITHIN_S: Final = 20.0
# holds a lock until it is killed
_HOLDER: Final = (
    "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); "
    "lock.acquire(); print(flush=True); time.sleep(600)"
)

Check = Callable[[Path], PromiseResult]


def check_one_host(folder: Path, system: FileSystem | None) -> Iterator[PromiseResult]:
    """Test what one host can, in an empty folder that exists; its files are left to the caller."""
    checks: tuple[tuple[Promise, Check], ...] = (
        (SPACE, _check_space),
        (REPLACE, _check_replace),
        (LONG_NAMES, _check_names),
        (RESOLUTION, _check_resolution),
        (FLUSH, _check_flush),
        (MAPPING, _check_mapping),
        (LINKS, _check_links),
        (RELEASE, _check_release),
    )
    for number, (promise, check) in enumerate(checks):
        place = folder / f"{number}"
        try:
            place.mkdir()
            result = check(place)
        except (OSError, LakeError, NotImplementedError) as error:
            result = problem(promise, f"the file system refuses it: {describe_refusal(error)}")
        yield with_mount_remedy(result, promise, system)


def describe_refusal(error: Exception) -> str:
    """What a file system said, without the path of a test's file."""
    cause = error.__cause__ if isinstance(error, LakeError) and isinstance(error.__cause__, OSError) else error
    return getattr(cause, "strerror", None) or str(cause)


def problem(promise: Promise, message: str) -> PromiseResult:
    """The result of a promise that does not hold."""
    return PromiseResult(promise.name, "problem", message, promise.breaks)


def with_mount_remedy(result: PromiseResult, promise: Promise, system: FileSystem | None) -> PromiseResult:
    """A result with what to do, where its promise does not hold and the test does not say it."""
    if result.verdict == "ok" or result.remedy or not result.breaks:
        return result
    known = system or FileSystem("", "", Path())
    return result._replace(remedy=known.remedy(promise.subject))


def _check_space(folder: Path) -> PromiseResult:
    free = shutil.disk_usage(folder).free / _BYTES_PER_GB
    message, remedy = f"{free:,.1f} GB free", ""
    verdict: PromiseVerdict = "ok"
    if hasattr(os, "statvfs"):
        found = os.statvfs(folder)
        if found.f_files:  # else there is no limit
            message += f", {found.f_favail:,} inodes free"
            if found.f_favail < _FEW_INODES:
                verdict, remedy = (
                    "note",
                    "A lake has thousands of files: free inodes before they end.",
                )
    if not has_room(folder):
        return problem(SPACE, message)._replace(remedy=describe_room(folder / "file", None))
    return PromiseResult(SPACE.name, verdict, message, remedy=remedy)


def _check_replace(folder: Path) -> PromiseResult:
    path = folder / "file"
    publish_text(path, "before")
    publish_text(path, "after")
    if path.read_text(encoding="utf-8") != "after":
        return problem(REPLACE, "a file renamed over another is not the one that is read then")
    with path.open("rb") as opened:
        try:
            publish_text(path, "last")
        except LakeError as error:
            if not isinstance(error.__cause__, PermissionError) or os.name != "nt":
                raise
            message = "replaces files, but none that another program has open, as Windows does"
            return PromiseResult(REPLACE.name, "note", message, remedy="Close such programs before a run.")
        if opened.read() != b"after":
            return problem(REPLACE, "a file that is open changed when another was renamed over it")
    return PromiseResult(REPLACE.name, "ok", "replaces files, also while they are read")


def _check_names(folder: Path) -> PromiseResult:
    """Publish a file at the longest path of a lake."""
    lake = Lake(folder)
    tape = lake.tape_wave("premium", "quotes", "RTH", "BCpC.WS") / "20251120T150400_20251120T151400.parquet"
    path = lake.damaged_path(tape)
    path = path.with_name(f"{path.name}.{'0' * 8}.damaged.json")
    publish_text(path, "{}", below=folder)
    if [found.name for found in path.parent.iterdir()] != [path.name]:
        return problem(LONG_NAMES, f"lists a file by another name than {path.name}")
    message = f"keeps names and paths of {len(str(path)):,} characters"
    (folder / "Case").touch()
    if (folder / "case").exists():
        message += "; ignores case, for which names of symbols are prepared"
    return PromiseResult(LONG_NAMES.name, "ok", message)


def _check_resolution(folder: Path) -> PromiseResult:
    """How far apart two changes must be for different times."""
    path, end = folder / "file", time.monotonic() + _MEASURED_S
    times: list[int] = []
    while len(times) <= _STEPS and time.monotonic() < end:
        path.write_bytes(b"x")
        if (now := path.stat().st_mtime_ns) not in times:
            times.append(now)
    steps = [(after - before) / 1e9 for before, after in pairwise(times)]
    if not steps:
        return problem(RESOLUTION, f"times of files do not change within {_MEASURED_S:g} s")
    step, off = min(steps), times[-1] / 1e9 - time.time()
    message = f"tells changes apart that follow after {max(step, 1e-4) * 1000:,.1f} ms"
    if step >= _TOO_COARSE_S:
        return problem(RESOLUTION, f"changes less than {step:,.1f} s apart have the same time")
    if abs(off) > _MEASURED_S:
        message += f"; its clock is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'} this host's"
        return PromiseResult(RESOLUTION.name, "note", message, remedy="Keep both clocks with NTP (chrony).")
    verdict: PromiseVerdict = "note" if step > _COARSE_S else "ok"
    return PromiseResult(RESOLUTION.name, verdict, message)


def _check_flush(folder: Path) -> PromiseResult:
    path = folder / "file"
    with path.open("wb") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    if os.name != "nt":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        except OSError as error:
            message = f"flushes files, but not folders ({error.strerror})"
            remedy = "After a power cut the newest files may be missing: `smallcaps status` shows what is."
            return PromiseResult(FLUSH.name, "note", message, remedy=remedy)
        finally:
            os.close(opened)
    return PromiseResult(FLUSH.name, "ok", "flushes files and folders to the disk")


def _check_mapping(folder: Path) -> PromiseResult:
    path, content = folder / "file", secrets.token_bytes(_MAPPED_BYTES)
    publish(path, lambda part: part.write_bytes(content))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if hashlib.sha256(mapped).digest() != hashlib.sha256(content).digest():
            return problem(MAPPING, "a file that is mapped into memory has other bytes than were written")
    return PromiseResult(MAPPING.name, "ok", "maps files into memory")


def _check_links(folder: Path) -> PromiseResult:
    path = folder / "file"
    path.touch()
    try:
        os.link(path, folder / "link")
    except OSError as error:
        message = f"has no hard links ({error.strerror})"
        return PromiseResult(
            LINKS.name, "note", message, remedy="Backups into it copy unchanged files instead of linking them."
        )
    return PromiseResult(LINKS.name, "ok", "links files, which backups into it use")


def _check_release(folder: Path) -> PromiseResult:
    """Kill a process that holds a lock, and take it."""
    path = folder / "lock"
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(path)], stdout=subprocess.PIPE) as holder:  # noqa: S603
        assert holder.stdout is not None  # noqa: S101 -- a pipe
        try:
            if not holder.stdout.readline():
                return problem(RELEASE, "a process cannot take a lock")
            if path.stat().st_size:  # a file with its holder's name, which nobody removes when the holder is killed
                return problem(RELEASE, "has no locks that the system releases when their process is killed")
            if _takes(path, 0):
                return problem(RELEASE, "two processes of this host hold the same lock")
        finally:
            holder.kill()
    began = time.monotonic()
    if not _takes(path, _RELEASED_WITHIN_S):
        return problem(RELEASE, f"the lock of a killed process is not released within {_RELEASED_WITHIN_S:g} s")
    return PromiseResult(
        RELEASE.name, "ok", f"releases the lock of a killed process, in {time.monotonic() - began:,.2f} s"
    )


def _takes(path: Path, within_s: float) -> bool:
    """Whether this process can take a lock; it is released again."""
    try:
        with FileLock(path, timeout=within_s):
            return True
    except Timeout:
        return False
