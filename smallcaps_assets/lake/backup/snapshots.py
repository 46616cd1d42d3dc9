"""The snapshots of a backup: folders that are complete by their last rename, and what removes them.

A backup is a folder for one lake: `backup.json` names it, `objects/` has each content once, `snapshots/` the lists of
contents. A hidden folder of `snapshots/` is one in the making, or one that is being removed.
"""

import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.backup.flushed_files import flush_folder
from smallcaps_assets.lake.backup.inventory import Journal, sha256s_of
from smallcaps_assets.lake.backup.objects import ObjectStore
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.publish import disk_errors

IDENTITY: Final = "backup.json"
SNAPSHOTS: Final = "snapshots"
DESCRIPTION: Final = "snapshot.json"
FORMAT: Final = 1
_LOCK: Final = ".lock"
_PART: Final = ".part"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"(\d{8}T\d{6}Z)(?:-(.+))?")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_NEEDS: Final = {"format": int, "snapshot": str, "files": int, "bytes": int}
_USE_ANOTHER: Final = "Use another snapshot: `smallcaps backup --list` shows all."


@dataclass(frozen=True)
class Snapshot:
    """A complete snapshot, and what `snapshot.json` says of it."""

    folder: Path
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its time in UTC, and its label if it has one."""
        return self.folder.name

    @property
    def label(self) -> str | None:
        """The label that was given to it."""
        found = _NAME.fullmatch(self.name)
        return found[2] if found else None

    @property
    def time(self) -> datetime:
        """When it was begun."""
        return time_of(self.name)


def time_of(name: str) -> datetime:
    """When a snapshot was begun, by its name."""
    return datetime.strptime(name.partition("-")[0], _TIME).replace(tzinfo=UTC)


def check_label(label: str) -> str:
    """Return a label that can be part of the name of a folder on every system.

    Raises:
        InputError: it cannot.
    """
    if not _LABEL.fullmatch(label):
        raise InputError(f"--label {label!r}: give up to 40 letters, digits, - and _, the first no dash.")
    return label


class Backup:
    """A folder with the snapshots of one lake."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.objects = ObjectStore(root)
        self.folder = root / SNAPSHOTS

    def lake_id(self) -> str | None:
        """The id of the lake whose snapshots these are; None of a folder that is no backup yet.

        Raises:
            LakeError: the file that says so is damaged, or written by a later release.
        """
        path = self.root / IDENTITY
        if not path.is_file():
            return None
        remedy = "Restore it, or give another folder."
        found = read_document(path, remedy, {"format": int, "lake_id": str})
        if found["format"] > FORMAT:
            raise LakeError(f"{path}: was written by a later release (format {found['format']}). Use that one.", path)
        return str(found["lake_id"])

    def begin(self, lake_id: str) -> None:
        """Make a folder the backup of a lake."""
        publish_document(self.root / IDENTITY, {"format": FORMAT, "lake_id": lake_id})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only one who writes to this backup. The system releases the lock of a process that is killed.

        Raises:
            InputError: another process is writing.
        """
        lock = FileLock(self.root / _LOCK)
        with disk_errors("written", self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise InputError(
                    f"{self.root}: another backup writes to this folder. Wait until it has ended, then run again."
                ) from None
        try:
            yield
        finally:
            lock.release()

    def names(self) -> list[str]:
        """The names of the complete snapshots, oldest first."""
        return sorted(name for name in self._listed() if _NAME.fullmatch(name))

    def snapshots(self) -> list[Snapshot]:
        """The complete snapshots, oldest first.

        Raises:
            LakeError: what one says of itself is damaged.
        """
        return [self.snapshot(name) for name in self.names()]

    def snapshot(self, name: str) -> Snapshot:
        """A complete snapshot.

        Raises:
            LakeError: what it says of itself is damaged.
        """
        folder = self.folder / name
        facts = read_document(folder / DESCRIPTION, _USE_ANOTHER, _NEEDS)
        if facts["snapshot"] != name:
            problem = f"is of the snapshot {facts['snapshot']}, not of {name}. Rename the folder back."
            raise LakeError(f"{folder / DESCRIPTION}: {problem}", folder)
        return Snapshot(folder, facts)

    def unfinished(self) -> list[Path]:
        """The folders of snapshots that were being made, or removed, when their process ended."""
        return sorted(self.folder / name for name in self._listed() if name.startswith(".") and name.endswith(_PART))

    def journals(self) -> list[Sequence[Any]]:
        """What unfinished snapshots had stored."""
        return [Journal.read(folder) for folder in self.unfinished()]

    def new_name(self, now: datetime, label: str | None) -> str:
        """A name that is later than those of all snapshots, even if the clock was set back."""
        known = self.names()
        now = now.astimezone(UTC).replace(microsecond=0)
        if known:
            now = max(now, time_of(known[-1]) + timedelta(seconds=1))
        return f"{now:{_TIME}}" + (f"-{label}" if label else "")

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        """The folder in which a snapshot is made; complete, by a rename, when the block ends without an error.

        Raises:
            LakeError: the disk refuses.
        """
        part = self.folder / f".{name}{_PART}"
        with disk_errors("written", part):
            _remove_folder(part)
            part.mkdir(parents=True)
        yield part
        for made in part.iterdir():
            if made.is_dir():
                flush_folder(made)
        flush_folder(part)
        self.objects.flush()
        with disk_errors("written", part):
            (part / Journal.NAME).unlink(missing_ok=True)
            part.rename(self.folder / name)
        flush_folder(self.folder)

    def remove(self, name: str) -> None:
        """Remove a snapshot: first it is no longer complete, then it is gone. Its contents stay until `clean`."""
        folder = self.folder / name
        part = folder.with_name(f".{name}.gone{_PART}")
        with disk_errors("written", folder):
            folder.rename(part)
        flush_folder(self.folder)
        with disk_errors("written", part):
            _remove_folder(part)

    def clean(self) -> tuple[int, int]:
        """Remove unfinished snapshots and the contents that no snapshot names; returns how many, and their bytes.

        Raises:
            LakeError: an inventory cannot be read, so nothing was removed.
        """
        named = frozenset[str]().union(*(sha256s_of(self.folder / name) for name in self.names()))
        for folder in self.unfinished():
            with disk_errors("written", folder):
                _remove_folder(folder)
        self.objects.sweep()
        removed = [(sha256, size) for sha256, size in self.objects.listed() if sha256 not in named]
        for sha256, _ in removed:
            self.objects.remove(sha256)
        return len(removed), sum(size for _, size in removed)

    def _listed(self) -> list[str]:
        with disk_errors("read", self.folder):
            return [entry.name for entry in os.scandir(self.folder)] if self.folder.is_dir() else []


def open_backup(given: Path) -> tuple[Backup, str | None]:
    """The backup that a path names, and the snapshot, if it names one: DEST, or DEST/snapshots/NAME.

    Raises:
        InputError: it is neither.
    """
    whole = given.absolute()
    if (whole / IDENTITY).is_file():
        return Backup(whole), None
    if whole.parent.name == SNAPSHOTS and (whole.parents[1] / IDENTITY).is_file():
        if not _NAME.fullmatch(whole.name):
            raise InputError(f"{given}: is a snapshot that was not completed. {_USE_ANOTHER}")
        if not whole.is_dir():
            raise InputError(f"{given}: there is no such snapshot. {_USE_ANOTHER}")
        return Backup(whole.parents[1]), whole.name
    raise InputError(
        f"{given}: is no backup: it has no {IDENTITY}. Give the folder that `smallcaps backup` wrote to, or one of its "
        f"folders {SNAPSHOTS}/NAME."
    )


def outdated_snapshots(names: Sequence[str], keep_last: int | None, keep_monthly: int) -> list[str]:
    """Which snapshots are no longer kept.

    Kept are the newest `keep_last` (None: all), the newest one of each of the last `keep_monthly` months that have any,
    in UTC, and those with a label.

    Args:
        names: of the complete snapshots.
        keep_last: how many of the newest.
        keep_monthly: how many months.
    """
    if keep_last is None:
        return []
    newest_first = sorted(names, reverse=True)
    months = dict[str, str]()
    for name in newest_first:
        months.setdefault(f"{time_of(name):%Y-%m}", name)
    monthly = [months[month] for month in sorted(months, reverse=True)[:keep_monthly]]
    kept = {*newest_first[:keep_last], *monthly}
    return sorted(name for name in names if name not in kept and "-" not in name)


def _remove_folder(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder, onerror=_remove_read_only)


def _remove_read_only(remove: Callable[..., Any], path: str, error: Any) -> None:  # noqa: ANN401 -- of shutil
    """Windows keeps files that are marked as read-only."""
    if not isinstance(error[1], PermissionError):
        raise error[1]
    Path(path).chmod(stat.S_IWRITE | stat.S_IREAD)
    remove(path)
