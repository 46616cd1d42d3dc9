"""A lake and Dagster's state from a snapshot: everything is checked before anything is written.

Files are first written to a hidden folder of the lake, and of the state, and moved to their places when all are there.
Until then a killed restore has left an empty lake, in which nothing can begin to fetch what is only not restored yet.
Run again, it continues.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.backup.checking import ObjectFault, check_backup, entries_of
from smallcaps_assets.lake.backup.flushed_files import copy_whole, flush_folder
from smallcaps_assets.lake.backup.inventory import LAKE, STATE, Entry
from smallcaps_assets.lake.backup.snapshots import Backup, Snapshot, open_backup
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.publish import disk_errors, require_writable
from smallcaps_assets.pipeline.backup.destination import require_apart, require_space
from smallcaps_assets.pipeline.backup.megabytes import MegabyteProgress
from smallcaps_assets.pipeline.backup.state_files import DUMP
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.runtime.long_paths import long_path

# what is restored, until it is complete
RESTORING: Final = ".restoring"
_MARKER: Final = "restore.json"
_THREADS: Final = 4
_BATCH: Final = 256
_MOST_NAMED: Final = 3
_ROOT_OF_DISK: Final = "lost+found"
# of `require_writable`
_PROBE: Final = re.compile(r"\.probe-")
# some file systems keep times of two seconds
_COARSEST_NS: Final = 2_000_000_000


@dataclass(frozen=True)
class RestoreTarget:
    """Where a snapshot is restored to.

    Attributes:
        lake: the folder of the lake; empty, or it does not exist.
        state: the folder of Dagster's state; None: the state is not restored.
        load_dump: puts a dump into the empty database of the state, where that is in one.
        require_empty_database: raises where that database is not empty.
        remember_lake: writes into the folder of the restored state which lake it is of.
    """

    lake: Path
    state: Path | None
    load_dump: Callable[[Path], None] | None = None
    require_empty_database: Callable[[], None] | None = None
    remember_lake: Callable[[Path], None] = lambda folder: None  # noqa: ARG005


@dataclass(frozen=True)
class RestoreResult:
    """What was restored."""

    snapshot: Snapshot
    lake_files: int
    lake_bytes: int
    state_files: int
    continued: bool


def restore(
    given: Path,
    target: RestoreTarget,
    log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
) -> RestoreResult:
    """Restore the newest snapshot of a backup, or the one that is given.

    Args:
        given: the folder of the backup, or of a snapshot.
        target: where to.
        log: receives lines of progress.

    Raises:
        InputError: there is no snapshot, or the lake or the state is not empty.
        LakeError: a content is damaged or missing; names the files. Nothing was written.
    """
    backup, name = open_backup(given)
    names = backup.names()
    if name is None and not names:
        raise InputError(f"{given}: has no complete snapshot. Run `smallcaps backup` first.")
    snapshot = backup.snapshot(name or names[-1])
    _require_apart_from(target, backup.root)
    entries = [entry for entry in entries_of(backup, snapshot.name) if _is_wanted(entry, target)]
    _require_same_kind_of_state(snapshot, target)
    work = _Restore(backup, snapshot, target, entries)
    continued = work.require_empty()
    _require_sound(backup, snapshot, log)
    work.require_space()
    work.write(log)
    work.finish()
    of_lake = [entry for entry in entries if entry.path.startswith(LAKE)]
    return RestoreResult(
        snapshot, len(of_lake), sum(entry.size for entry in of_lake), len(entries) - len(of_lake), continued
    )


def describe_faults(faults: Sequence[ObjectFault]) -> str:
    """Damaged contents, by the first files that have them."""
    named = [f"{fault.path} ({fault.object}) {fault.problem}" for fault in faults[:_MOST_NAMED]]
    more = len(faults) - _MOST_NAMED
    return "; ".join(named) + (f"; and {count_noun(more, 'other')}" if more > 0 else "")


def _is_wanted(entry: Entry, target: RestoreTarget) -> bool:
    return entry.path.startswith(LAKE) or (target.state is not None and entry.path.startswith(STATE))


def _require_apart_from(target: RestoreTarget, backup: Path) -> None:
    require_apart(target.lake, backup, "the backup", "Give another --lake.")
    if target.state is not None:
        require_apart(target.state, backup, "the backup", "Work in another folder with config/.")


def _require_same_kind_of_state(snapshot: Snapshot, target: RestoreTarget) -> None:
    if target.state is None:
        return
    kind = snapshot.facts["state"]
    has_database = target.load_dump is not None
    if kind == "postgresql" and not has_database:
        raise InputError(
            f"{snapshot.folder}: Dagster's state of this snapshot is a dump of PostgreSQL, and dagster.laid_over of "
            "the settings names no database. Set it as in the settings of the snapshot, or restore with --no-state."
        )
    if kind == "sqlite" and has_database:
        raise InputError(
            f"{snapshot.folder}: Dagster's state of this snapshot is in files, and dagster.laid_over of the settings "
            "names a database. Set it to null, or restore with --no-state and launch the backfills once more: they "
            "fetch nothing."
        )


def _require_sound(backup: Backup, snapshot: Snapshot, log: Callable[[str], None]) -> None:
    def watched(checked: Iterable[Any], total: int) -> Iterable[Any]:
        return with_progress(checked, total, "restore: contents checked", log)

    found = check_backup(backup, [snapshot.name], watched)
    if problem := next(iter(found.unreadable.values()), None):
        raise LakeError(problem, snapshot.folder)
    if found.faults:
        raise LakeError(
            f"{snapshot.folder}: {count_clause(len(found.faults), 'content is', 'contents are')} not what was stored: "
            f"{describe_faults(found.faults)}. Nothing was restored. Use another snapshot, or put back a copy of the "
            "named object.",
            snapshot.folder,
        )


class _Restore:
    def __init__(self, backup: Backup, snapshot: Snapshot, target: RestoreTarget, entries: Sequence[Entry]) -> None:
        self.backup, self.snapshot, self.target, self.entries = backup, snapshot, target, entries
        self.lake = long_path(target.lake)
        self.state = None if target.state is None else long_path(target.state)
        self.staged_lake = self.lake / RESTORING
        self.staged_state = None if self.state is None else self.state / RESTORING

    def require_empty(self) -> bool:
        """Make sure that nothing is overwritten; returns whether a killed restore is continued.

        Raises:
            InputError: the lake or the state has something, or a restore of another snapshot has begun there.
        """
        marker = self.staged_lake / _MARKER
        if marker.is_file():
            found = read_document(marker, f"Remove {self.lake}, and restore again.", {"snapshot": str})
            if (found["snapshot"], found.get("lake_id")) != (self.snapshot.name, self.snapshot.facts["lake_id"]):
                raise InputError(
                    f"{self.lake}: the restore of the snapshot {found['snapshot']} was begun there and not finished. "
                    f"Finish that one, or remove {self.lake}."
                )
            if self.state is not None and isinstance(found.get("state"), str):
                # the lake may have its id again by now, and another state of this place may remember it
                self.state = Path(found["state"])
                self.staged_state = self.state / RESTORING
            return True
        if (found_file := self._first_in(self.lake)) is not None:
            raise InputError(
                f"{self.lake}: is not empty (it has {found_file}), and a restore never writes over a lake. Give an "
                "empty folder, or one that does not exist."
            )
        if self.state is not None:
            # a start of a command has written its own files there, and states of other lakes lie below
            taken = sorted({entry.path.removeprefix(STATE).partition("/")[0] for entry in self._of(STATE)})
            present = next((name for name in (*taken, "history", "schedules") if (self.state / name).exists()), None)
            if present:
                raise InputError(
                    f"{self.state}: has a state of Dagster already ({present}), and a restore never writes over one. "
                    "Move it away, or restore the lake alone with --no-state."
                )
        if self.target.require_empty_database is not None and self._of(STATE):
            self.target.require_empty_database()
        return False

    @staticmethod
    def _first_in(folder: Path) -> str | None:
        """Something in a folder, by name; None where it is empty but for what a killed restore has left."""
        with disk_errors("read", folder):
            names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            staged = folder / RESTORING
            is_begun = staged.is_dir() and all(path.name.startswith(".") for path in staged.iterdir())
        left = {RESTORING} if is_begun else set()
        return next((name for name in names if name not in {*left, _ROOT_OF_DISK} and not _PROBE.match(name)), None)

    def require_space(self) -> None:
        """Make sure that the disk has room for what is not restored yet."""
        needs = sum(entry.size for entry in self.entries if not self._is_there(entry))
        require_space(self.lake, needs, 0, "--lake")

    def write(self, log: Callable[[str], None]) -> None:
        """Write all files to the hidden folders."""
        require_writable(self.lake)
        if self.staged_state is not None:
            require_writable(self.staged_state.parent)
        for folder in filter(None, (self.staged_lake, self.staged_state)):
            with disk_errors("written", folder):
                folder.mkdir(exist_ok=True)
        state = None if self.state is None else str(self.state)
        facts = {"snapshot": self.snapshot.name, "lake_id": self.snapshot.facts["lake_id"], "state": state}
        publish_document(self.staged_lake / _MARKER, facts)
        missing = [entry for entry in self.entries if not self._is_there(entry)]
        progress = MegabyteProgress(sum(entry.size for entry in missing), "restore: files written", log)
        for entry in self._written(missing):
            progress.add(entry.size)

    def _written(self, entries: Sequence[Entry]) -> Iterator[Entry]:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="restore") as pool:
            for start in range(0, len(entries), _BATCH):
                yield from pool.map(self._write, entries[start : start + _BATCH])

    def _write(self, entry: Entry) -> Entry:
        copy_whole(self.backup.objects.path_of(entry.sha256), self._staged(entry), entry.sha256, entry.modified_ns)
        return entry

    def finish(self) -> None:
        """Move everything to its place, the lake first; load the dump of the database last."""
        self._move(self.staged_lake, self.lake, but=_MARKER)
        if self.staged_state is not None and self.state is not None:
            dump = self.staged_state / DUMP.removeprefix(STATE)
            if dump.is_file() and self.target.load_dump is not None:
                self.target.load_dump(dump)
                dump.unlink()
            self._move(self.staged_state, self.state)
            self.target.remember_lake(self.state)
            shutil.rmtree(self.staged_state)
        shutil.rmtree(self.staged_lake)

    @staticmethod
    def _move(staged: Path, place: Path, but: str = "") -> None:
        with disk_errors("written", place):
            names = sorted(
                name for name in (path.name for path in staged.iterdir()) if name != but and not name.startswith(".")
            )
            if there := next((name for name in names if (place / name).exists()), None):
                raise LakeError(f"{place / there}: appeared while the snapshot was restored. Move it away, run again.")
            for name in names:
                (staged / name).rename(place / name)
        flush_folder(place)

    def _of(self, area: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.path.startswith(area)]

    def _is_there(self, entry: Entry) -> bool:
        """Whether a file is restored: it has its name only when it is complete."""
        for path in (self._staged(entry), self._place(entry)):
            try:
                found = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if found.st_size == entry.size and abs(found.st_mtime_ns - entry.modified_ns) <= _COARSEST_NS:
                return True
        return False

    def _staged(self, entry: Entry) -> Path:
        area, _, name = entry.path.partition("/")
        staged = self.staged_lake if f"{area}/" == LAKE else self.staged_state
        assert staged is not None  # noqa: S101 -- entries of the state are wanted only where it has a folder
        return staged / name

    def _place(self, entry: Entry) -> Path:
        area, _, name = entry.path.partition("/")
        place = self.lake if f"{area}/" == LAKE else self.state
        assert place is not None  # noqa: S101 -- see _staged
        return place / name
