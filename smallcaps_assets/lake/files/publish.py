"""Publishing files: written beside the final path, checked, flushed to disk, renamed.

A file at its final path is complete by definition. A killed process leaves at most a hidden `.part` file, which the
next publication of the same file removes.
"""

import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from smallcaps_assets.errors import DiskFull, InputError, LakeError
from smallcaps_assets.lake.files.content_hash import ProofState, proof_of, seal, unsealed_metadata
from smallcaps_assets.lake.files.misplaced import file_in_the_way, require_no_folder
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.runtime.disk_space import describe_room, is_full, probe_room
from smallcaps_assets.runtime.processes import is_alive, is_elsewhere, process_identity

# Key of the footer metadata of a parquet file that holds its provenance as JSON.
PROVENANCE: Final = "smallcaps"

# A file that a writer on another machine has not changed for so long is abandoned: none takes a day to write.
LEASE_S: Final = 86_400.0

Action = Literal["read", "written"]
Written = TypeVar("Written")
_CHECK_THE_DISK: Final = (
    "Check that the folder exists, that this user may write to it and that the disk has space; then run again: no "
    "incomplete file was left in place."
)
_LET_READ: Final = "Let this user read it. Otherwise: "
# as Polars quotes the system
_REFUSED: Final = re.compile(r"([^:]+) \(os error \d+\)")
# what damaged files and disks make the system, Polars, Arrow and JSON raise
UNREADABLE_FILE: Final = (
    OSError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    pa.ArrowException,
    json.JSONDecodeError,
    UnicodeDecodeError,
    RecursionError,
)


@dataclass(frozen=True)
class DerivedTable:
    """A table, and the provenance in its footer: what it was made from."""

    rows: pl.DataFrame
    provenance: Mapping[str, Any]


@contextmanager
def disk_errors(action: Action, path: Path, needs: int | None = None) -> Iterator[None]:
    """Convert errors of the operating system, Polars, Arrow or JSON into a LakeError that names the file.

    Args:
        action: the attempted action.
        path: the file.
        needs: approximate size in bytes, for the message on a full disk.

    Raises:
        DiskFull: there is no room for the file, or its disk is mounted for reading only.
        LakeError: any other failure; a file that is read lacks columns.
    """
    try:
        yield
    except MemoryError:
        raise
    except InputError as error:
        if action == "written":
            raise
        raise LakeError(f"{error} {how_to_restore(path)}", path).with_facts("has other columns") from error
    except UNREADABLE_FILE as error:
        reason = _reason(error)
        if action == "written" and (is_full(error) or getattr(error, "errno", None) == errno.EROFS):
            full = DiskFull(f"{path}: cannot be written ({reason}). {describe_room(path, needs)}", path)
            raise full.with_facts(f"cannot be written ({reason})") from error
        remedy = _CHECK_THE_DISK if action == "written" else _how_to_read(path, error)
        failure = LakeError(f"{path}: cannot be {action} ({reason}). {remedy}", path)
        raise failure.with_facts(f"cannot be {action} ({reason})") from error


def _how_to_read(path: Path, error: Exception) -> str:
    """How to get back what cannot be read. What is only closed to this user is intact, and need not be made again."""
    return f"{_LET_READ * isinstance(error, PermissionError)}{how_to_restore(path)}"


def _reason(error: Exception) -> str:
    """What the system said, without the words that Polars puts around it; else the first line of the message."""
    first = next(iter(str(error).splitlines()), type(error).__name__)
    refused = _REFUSED.search(first)
    return getattr(error, "strerror", None) or (refused[1].strip() if refused else first)


def make_folders(folder: Path, below: Path) -> None:
    """Create `folder` level by level below a folder that must exist, which is never created.

    A lake whose disk is removed, or whose folder is renamed, while it is written must not begin anew in its old place.

    Raises:
        LakeError: `below` does not exist, a file is in the place of a folder, or the disk refuses.
    """
    if folder.is_dir():
        return
    level = below
    for part in folder.relative_to(below).parts:
        level /= part
        with disk_errors("written", level):
            try:
                level.mkdir(exist_ok=True)
            except FileNotFoundError as error:
                raise _missing(below) from error
            except (FileExistsError, NotADirectoryError) as error:
                raise file_in_the_way(level) from error
    if not below.is_dir():
        raise _missing(below)


def _missing(folder: Path) -> LakeError:
    return LakeError(
        f"{folder}: the folder is gone. If its disk was removed, mount it; if it was moved or renamed, move it back; "
        "then run again.",
        folder,
    )


def publish(
    path: Path,
    write: Callable[[Path], Written],
    needs: int | None = None,
    *,
    sweeps: bool = True,
    below: Path | None = None,
) -> Written:
    """Write a file beside `path`, then rename it to `path`; returns what `write` returns.

    Args:
        path: the final path.
        write: writes the complete file to the path it is given.
        needs: approximate size in bytes, for the message on a full disk.
        sweeps: remove `.part` files that killed writers of `path` left. A caller that publishes many files in one
            folder sweeps it once instead.
        below: a folder that must exist, for a file of a lake its root: missing folders below it are created. By
            default none is created.

    Raises:
        LakeError: the file cannot be written; `path` is unchanged.
    """
    part = path.with_name(f".{path.name}.{process_identity()}.{uuid.uuid4().hex}.part")
    with disk_errors("written", path, needs):
        require_no_folder(path)
        try:
            make_folders(path.parent, below or path.parent)
            written = write(part)
            _flush(part)
            os.replace(part, path)  # noqa: PTH105 -- replaces an existing file on every system
        except (Exception, pl.exceptions.PanicException) as error:
            refusal = None if is_full(error) else probe_room(part)
            if refusal is not None:
                raise refusal from error
            raise
        finally:
            part.unlink(missing_ok=True)
        if sweeps:
            sweep(path)
    return written


def sweep(path: Path) -> None:
    """Remove the `.part` files of killed writers of `path`; those of running writers stay."""
    sweep_below(path.parent, f".{path.name}.*.part")


def sweep_below(folder: Path, pattern: str, of: Collection[str] | None = None) -> None:
    """Remove `.part` files of killed writers; those of running writers stay.

    A writer on another machine counts as running until its file has not changed for `LEASE_S`. A file that cannot be
    removed now, such as one open in a virus scanner, stays until the next call; it is harmless.

    Args:
        folder: the folder that is searched.
        pattern: glob of the hidden files, relative to `folder`.
        of: names of the published files whose `.part` files are removed; all if not given.
    """
    for part in folder.glob(pattern):
        name, writer, *_ = part.name.removeprefix(".").rsplit(".", 3)
        if (of is None or name in of) and (not is_alive(writer) or (is_elsewhere(writer) and _lease_is_over(part))):
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _lease_is_over(part: Path) -> bool:
    """Whether a file in the making, of a writer on another machine, was last written longer ago than `LEASE_S`.

    Both times are those of the file system, so that the clocks of two machines are never compared.
    """
    probe = part.with_name(f".clock-{uuid.uuid4().hex}")
    with suppress(OSError):
        try:
            probe.touch()
            return probe.stat().st_mtime - part.stat().st_mtime > LEASE_S
        finally:
            probe.unlink(missing_ok=True)
    return False


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def publish_frame(  # noqa: PLR0913 -- a table and how it is written
    path: Path,
    frame: pl.DataFrame,
    provenance: Mapping[str, Any] | None = None,
    *,
    sweeps: bool = True,
    below: Path | None = None,
    rows_per_group: int | None = None,
) -> str:
    """Publish `frame` as parquet (zstd, statistics), with `provenance` and its content hash in its footer.

    Schema and row count of what was written are verified. Returns the SHA-256 of the file.

    See `publish` for `sweeps` and `below`; `rows_per_group` is the size of its row groups, by default that of Polars.

    Raises:
        LakeError: the file cannot be written, or the written file has another schema or row count.
    """

    def write(part: Path) -> str:
        metadata = _metadata(provenance)
        frame.write_parquet(
            part,
            compression="zstd",
            statistics=True,
            row_group_size=rows_per_group,
            metadata=metadata,
            mkdir=False,
        )
        _verify_written(path, part, frame.schema, frame.height)
        return seal(part)

    return publish(path, write, needs=int(frame.estimated_size()), sweeps=sweeps, below=below)


def publish_changed(
    path: Path, frame: pl.DataFrame, provenance: Mapping[str, Any] | None = None, *, below: Path | None = None
) -> bool:
    """Publish `frame` unless the file is intact and holds the same rows and provenance; returns whether it was written.

    See `publish` for `below`.

    Raises:
        LakeError: see `publish_frame`.
    """
    with disk_errors("read", path):
        intact = path.is_file() and proof_of(path).state is ProofState.INTACT
        if intact and provenance_of(path) == json.loads(json.dumps(provenance)):
            before = pl.read_parquet(path, hive_partitioning=False, glob=False)
            if before.schema == frame.schema and before.equals(frame):
                return False
    publish_frame(path, frame, provenance, below=below)
    return True


def publish_lazy(  # noqa: PLR0913 -- as publish_frame, and the rows
    path: Path,
    frame: pl.LazyFrame,
    rows: int | Callable[[], int],
    provenance: Mapping[str, Any] | None = None,
    *,
    sweeps: bool = True,
    below: Path | None = None,
) -> str:
    """Publish a frame of `rows` rows that may be larger than memory; otherwise as `publish_frame`.

    Where only the frame knows how many rows it has, `rows` tells it when they are written.

    Raises:
        LakeError: the file cannot be written, or the written file has another schema or row count.
    """

    def write(part: Path) -> str:
        metadata = _metadata(provenance)
        frame.sink_parquet(part, compression="zstd", statistics=True, metadata=metadata, mkdir=False)
        _verify_written(path, part, frame.collect_schema(), rows if isinstance(rows, int) else rows())
        return seal(part)

    return publish(path, write, sweeps=sweeps, below=below)


def _metadata(provenance: Mapping[str, Any] | None) -> dict[str, str]:
    of_table = {} if provenance is None else {PROVENANCE: json.dumps(provenance, sort_keys=True)}
    return of_table | unsealed_metadata()


def _verify_written(path: Path, part: Path, schema: pl.Schema, rows: int) -> None:
    with part.open("rb") as written:
        written_rows = parquet.read_metadata(written).num_rows
    if pl.scan_parquet(part, hive_partitioning=False, glob=False).collect_schema() != schema or written_rows != rows:
        raise LakeError(f"{path}: what was written does not read back. Check the disk, then run again.", path)


def publish_text(path: Path, text: str, *, sweeps: bool = True, below: Path | None = None) -> None:
    """Publish a small text file (UTF-8, line feeds on every system). See `publish` for the flags."""

    def write(part: Path) -> None:
        part.write_bytes(text.encode())

    publish(path, write, needs=len(text.encode()), sweeps=sweeps, below=below)


def provenance_of(path: Path) -> dict[str, Any] | None:
    """The provenance in the footer of a parquet file of the lake, or None; reads the footer only."""
    with disk_errors("read", path):
        text = pl.read_parquet_metadata(path, credential_provider=None).get(PROVENANCE)
        found = None if text is None else json.loads(text)
    return None if found is None else _require_object(path, found)


def _require_object(path: Path, document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise LakeError(f"{path}: holds {type(document).__name__}, not an object of JSON. {how_to_restore(path)}", path)
    return document


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with disk_errors("read", path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_writable(root: Path) -> None:
    """Make sure that files can be created below `root`, which is created if it does not exist.

    The only place that creates a lake; commands and runs call it when they begin, and nothing calls it later.

    Raises:
        LakeError: the folder cannot be created or written to.
    """
    probe = root / f".probe-{uuid.uuid4().hex}"
    with disk_errors("written", root):
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
