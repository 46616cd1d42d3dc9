"""The one way a file comes into being: written beside its place, checked, flushed to disk, renamed into it.

A file at its final path is complete by definition. A killed process leaves at most a hidden `.part` file, which the
next publication of the same file removes. Where there are too many small files for that, what their readers can do
without is not flushed, or added as a line.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
from pyarrow import parquet

from smallcaps_assets.errors import DiskFull, LakeError
from smallcaps_assets.runtime.processes import is_alive, process_identity

# The footer entry under which a parquet file of the lake says where it comes from, as JSON.
PROVENANCE: Final = "smallcaps"

Action = Literal["read", "written"]
# no space left, quota exceeded, file too large; the same of Windows
_FULL: Final = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_FULL_ON_WINDOWS: Final = (39, 112)
_REMEDIES: Final[dict[Action, str]] = {
    "read": "Check that it is there, whole, and may be read by this user; put it back, or remove it and run again.",
    "written": "Check that the folder is there, that this user may write to it and that the disk has space; then run "
    "again, nothing half-written was left in place.",
}


@contextmanager
def disk_errors(action: Action, path: Path, needs: int | None = None) -> Iterator[None]:
    """Turn what the operating system, Polars or JSON says of a file into a LakeError that names it.

    Args:
        action: what was being done to it.
        path: the file.
        needs: about how many bytes it takes, to tell how much is missing on a disk that is full.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, json.JSONDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        if action == "written" and _is_full(error):
            raise DiskFull(f"{path}: cannot be written ({reason}). {_missing(path, needs)}") from error
        raise LakeError(f"{path}: cannot be {action} ({reason}). {_REMEDIES[action]}") from error


def _is_full(error: BaseException) -> bool:
    """Whether there was no room: Polars tells it in words only."""
    said = re.search(r"os error (\d+)", str(error))
    number = getattr(error, "errno", None) or (int(said[1]) if said else None)
    return number in _FULL or getattr(error, "winerror", None) in _FULL_ON_WINDOWS


def _missing(path: Path, needs: int | None) -> str:
    place = next(place for place in path.parents if place.exists())
    free = shutil.disk_usage(place).free
    file = "" if needs is None else f"The file takes up to {needs / 1e6:,.2f} MB, "
    return (
        f"{file or 'The '}disk has {free / 1e6:,.2f} MB free (less where a quota or a limit of file sizes holds). Free "
        "space and run again: nothing half-written was left in place, and what is published is not fetched again."
    )


def make_folders(folder: Path, below: Path) -> None:
    """Create `folder` level by level below a folder that must exist, which is never created.

    Raises:
        LakeError: `below` does not exist, or the disk refuses.
    """
    level = below
    for part in folder.relative_to(below).parts:
        level /= part
        with disk_errors("written", level):
            try:
                level.mkdir(exist_ok=True)
            except FileNotFoundError as error:
                raise LakeError(
                    f"{below}: the folder is gone. If its disk was removed, mount it, then run again."
                ) from error


def publish(  # noqa: PLR0913 -- how to write, how much, and what to leave to the caller
    path: Path,
    write: Callable[[Path], None],
    needs: int | None = None,
    *,
    sweeps: bool = True,
    flushes: bool = True,
    below: Path | None = None,
) -> None:
    """Let `write` make a file beside `path`, of about `needs` bytes, then move it there.

    Without `sweeps` the caller removes what killed writers left: once, where it publishes many files in one folder.
    Without `flushes` a failure of power, not of a process, may tear the file: its readers can do without it.
    With `below`, that folder must exist and only folders below it are created; otherwise all of them are.

    Raises:
        LakeError: the disk refuses; `path` is as it was before.
    """
    part = path.with_name(f".{path.name}.{process_identity()}.{uuid.uuid4().hex}.part")
    with disk_errors("written", path, needs):
        try:
            if below is None:
                path.parent.mkdir(parents=True, exist_ok=True)
            else:
                make_folders(path.parent, below)
            write(part)
            if flushes:
                _flush(part)
            os.replace(part, path)  # noqa: PTH105 -- the one call that replaces on every system
        finally:
            part.unlink(missing_ok=True)
        if sweeps:
            sweep(path)


def sweep(path: Path) -> None:
    """Remove what killed writers of `path` left beside it; those that are still writing keep theirs."""
    sweep_below(path.parent, f".{path.name}.*.part")


def sweep_below(folder: Path, pattern: str, of: Collection[str] | None = None) -> None:
    """Remove what killed writers left of the files that match; those that are still writing keep theirs.

    What cannot be removed now, such as what a virus scanner looks at, stays until the next time: it harms nobody.

    Args:
        folder: where to look.
        pattern: of the hidden files.
        of: names of the files whose remains are removed; of all if not given.
    """
    for left in folder.glob(pattern):
        name, writer, *_ = left.name.removeprefix(".").rsplit(".", 3)
        if (of is None or name in of) and not is_alive(writer):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def publish_frame(
    path: Path,
    frame: pl.DataFrame,
    provenance: Mapping[str, Any] | None = None,
    *,
    sweeps: bool = True,
    below: Path | None = None,
) -> None:
    """Publish `frame` as parquet (zstd, statistics) with `provenance` in its footer; checked by reading it back.

    See `publish` for `sweeps` and `below`.

    Raises:
        LakeError: the disk refuses, or what was written does not read back as it should.
    """

    def write(part: Path) -> None:
        metadata = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
        frame.write_parquet(part, compression="zstd", statistics=True, metadata=metadata, mkdir=False)
        _require_whole(path, part, frame.schema, frame.height)

    publish(path, write, needs=int(frame.estimated_size()), sweeps=sweeps, below=below)


def publish_changed(path: Path, frame: pl.DataFrame, provenance: Mapping[str, Any] | None = None) -> bool:
    """Publish `frame` unless the file says exactly the same already; returns whether it was written.

    Raises:
        LakeError: see `publish_frame`.
    """
    if path.is_file() and provenance_of(path) == json.loads(json.dumps(provenance)):
        with disk_errors("read", path):
            before = pl.read_parquet(path, hive_partitioning=False)
        if before.schema == frame.schema and before.equals(frame):
            return False
    publish_frame(path, frame, provenance)
    return True


def publish_lazy(path: Path, frame: pl.LazyFrame, rows: int) -> None:
    """Publish a frame of so many rows that need not fit into memory; otherwise as `publish_frame`.

    Raises:
        LakeError: the disk refuses, or what was written does not read back as it should.
    """

    def write(part: Path) -> None:
        frame.sink_parquet(part, compression="zstd", statistics=True, mkdir=False)
        _require_whole(path, part, frame.collect_schema(), rows)

    publish(path, write)


def _require_whole(path: Path, part: Path, schema: pl.Schema, rows: int) -> None:
    with part.open("rb") as written:
        held = parquet.read_metadata(written).num_rows
    if pl.read_parquet_schema(part) != schema or held != rows:
        raise LakeError(f"{path}: what was written does not read back. Check the disk, then run again.")


def publish_text(
    path: Path, text: str, *, sweeps: bool = True, flushes: bool = True, below: Path | None = None
) -> None:
    """Publish a small text file (UTF-8, line feeds on every system). See `publish` for the flags."""

    def write(part: Path) -> None:
        part.write_bytes(text.encode())

    publish(path, write, needs=len(text.encode()), sweeps=sweeps, flushes=flushes, below=below)


def append_line(path: Path, text: str) -> None:
    """Add a line to a text file in place, which takes a fraction of the time of a file made anew.

    Only for files whose readers do without a line of which a killed process, or a failure of power, left a part.

    Raises:
        LakeError: the disk refuses; the file is as it was before.
    """
    line = f"\n{text}".encode()
    with disk_errors("written", path, len(line)), path.open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(line) < len(line):
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def provenance_of(path: Path) -> dict[str, Any] | None:
    """What the footer of a parquet file of the lake says; None where it says nothing. Reads the footer only."""
    with disk_errors("read", path):
        text = pl.read_parquet_metadata(path, credential_provider=None).get(PROVENANCE)
        result: dict[str, Any] | None = None if text is None else json.loads(text)
    return result


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file of the lake.

    Raises:
        LakeError: it is not there, cannot be read or is no JSON.
    """
    with disk_errors("read", path):
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with disk_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_writable(root: Path) -> None:
    """Make sure that files can be made below `root`.

    Raises:
        LakeError: the folder cannot be made or written to.
    """
    probe = root / f".probe-{uuid.uuid4().hex}"
    with disk_errors("written", root):
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
