"""A snapshot of a lake and of Dagster's state, taken while runs go on.

The order of reading proves it whole: the state before the last look at the lake, since what Dagster records as
materialized was published before; in the lake what names a file before that file (`lake.backup.reading_order`).
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.backup.inventory import (
    SETTINGS,
    Entry,
    Journal,
    known_files,
    publish_inventory,
    read_inventory,
)
from smallcaps_assets.lake.backup.snapshots import DESCRIPTION, FORMAT, Backup, check_label, outdated_snapshots
from smallcaps_assets.lake.files.documents import publish_document
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.identity import give_identity
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.backup.destination import open_destination, require_space
from smallcaps_assets.pipeline.backup.lake_copy import LakeCopy
from smallcaps_assets.pipeline.backup.megabytes import MegabyteProgress
from smallcaps_assets.pipeline.backup.readme import publish_readme
from smallcaps_assets.pipeline.backup.settings_files import SettingsFile
from smallcaps_assets.pipeline.backup.state_files import StateSource
from smallcaps_assets.settings.operations import BackupParams

# the inventory of a file, in both forms
_BYTES_OF_ENTRY: Final = 300
_BYTES_PER_GB: Final = 1e9


@dataclass(frozen=True)
class SnapshotResult:
    """A snapshot that was completed.

    Attributes:
        folder: of the snapshot.
        facts: what its `snapshot.json` says.
        removed: older snapshots that retention removed.
        freed_bytes: of contents that no snapshot names any longer.
        resumed: how many files an unfinished snapshot had stored already.
        not_cleaned: why contents that no snapshot needs were not removed; None where they were.
    """

    folder: Path
    facts: dict[str, Any]
    removed: tuple[str, ...]
    freed_bytes: int
    resumed: int
    not_cleaned: str | None = None

    @property
    def damaged(self) -> Sequence[str]:
        """Files that were damaged already in the lake or the state."""
        return list(self.facts["damaged"])


@dataclass(frozen=True)
class Sources:
    """What a snapshot is taken of.

    Attributes:
        lake: the lake.
        state: Dagster's state.
        settings: the settings files, without secrets.
        settings_version: of the settings in force.
    """

    lake: Lake
    state: StateSource
    settings: Sequence[SettingsFile]
    settings_version: str


def take_snapshot(  # noqa: PLR0913 -- what, where, and how it is watched
    sources: Sources,
    destination: Path,
    params: BackupParams,
    *,
    label: str | None = None,
    log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
    looked: Callable[[str], None] = lambda name: None,  # noqa: ARG005
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SnapshotResult:
    """Take a snapshot; then remove those that retention does not keep, and what killed backups left.

    Args:
        sources: what of.
        destination: the folder of the backup; it is made if it does not exist.
        params: retention, and the space that must stay free.
        label: of the snapshot, which retention then keeps for ever.
        log: receives lines of progress.
        looked: receives the name of each file when it is looked at in the reading order.
        now: the clock.

    Raises:
        InputError: the folder or the label cannot be used, there is no lake, or another backup is running.
        DiskFull: there is no room for what is new.
        LakeError: a file cannot be read or written; there is no new snapshot, and the older ones are whole.
    """
    lake = sources.lake
    _require_files(lake)
    lake_id = give_identity(lake)
    if lake_id is None:
        raise LakeError(
            f"{lake.root}: there is no lake. Give --lake DIR, or run `smallcaps demo` to make one.", lake.root
        )
    if label is not None:
        check_label(label)
    backup = open_destination(destination, lake.root, sources.state.folder, lake_id)
    with backup.lock():
        return _take(backup, lake_id, sources, params, label, log, looked, now)


def _require_files(lake: Lake) -> None:
    """An empty folder may be the place of a disk that is not mounted: it is given no id.

    Raises:
        InputError: the lake is empty.
    """
    with disk_errors("read", lake.root):
        names = [path.name for path in lake.root.iterdir()] if lake.root.is_dir() else None
    if names is not None and all(name.startswith(".") for name in names):
        raise InputError(
            f"{lake.root}: has no file of a lake. If its disk is not mounted, mount it. Otherwise give --lake DIR."
        )


def _take(  # noqa: PLR0913, PLR0917 -- see `take_snapshot`
    backup: Backup,
    lake_id: str,
    sources: Sources,
    params: BackupParams,
    label: str | None,
    log: Callable[[str], None],
    looked: Callable[[str], None],
    now: Callable[[], datetime],
) -> SnapshotResult:
    begun = now()
    backup.objects.sweep()
    names = backup.names()
    journals = backup.journals()
    known = known_files([_last_inventory(backup, names), *journals])
    name = backup.new_name(begun, label)
    with backup.making(name) as folder:
        with (folder / Journal.NAME).open("w", encoding="utf-8") as file:
            journal = Journal(file)

            def note(entries: Sequence[Entry]) -> None:
                with disk_errors("written", folder):
                    journal.add(entries)

            for entries in journals:
                note(entries)
            copy = LakeCopy(sources.lake, backup.objects, known, note, looked)
            unread = copy.unread()
            _require_space(backup, copy, unread, sources, params)
            progress = MegabyteProgress(sum(file[1].size for file in unread), "backup: new files stored", log)
            for _, state in copy.store_all(unread):
                progress.add(state.size)
            state_entries, state_new = list[Entry](), list[Entry]()
            for entry, is_new in sources.state.store(backup.objects, known):
                state_entries.append(entry)
                state_new += [entry] if is_new else []
                progress.tick()
            note(state_new)
            copy.read_in_order()
        settings_entries = _keep_settings(folder, sources.settings)
        entries = [*copy.entries.values(), *state_entries]
        damaged = sorted(entry.path for entry in entries if entry.is_damaged)
        publish_inventory(folder, entries)
        facts = {
            "format": FORMAT,
            "snapshot": name,
            "label": label,
            "begun_at": begun.isoformat(timespec="seconds"),
            "ended_at": now().isoformat(timespec="seconds"),
            "lake_id": lake_id,
            "lake": str(sources.lake.root),
            "release": version("smallcaps-assets"),
            "dagster": version("dagster"),
            "settings_version": sources.settings_version,
            "settings_removed": {file.name: list(file.removed) for file in sources.settings if file.removed},
            "state": sources.state.kind,
            "files": len(entries),
            "bytes": sum(entry.size for entry in entries),
            "new_files": copy.new_files + len(state_new),
            "new_bytes": copy.new_bytes + sum(entry.size for entry in state_new),
            "settings_files": settings_entries,
            "damaged": damaged,
            "previous": names[-1] if names else None,
        }
        publish_document(folder / DESCRIPTION, facts, indent=2)
        _require_whole(backup, folder, entries)
        publish_readme(backup.root)
    removed = [] if damaged else outdated_snapshots(backup.names(), params.keep_last, params.keep_monthly)
    freed, not_cleaned = 0, None
    try:
        for old in removed:
            backup.remove(old)
        _, freed = backup.clean()
    except LakeError as error:
        # the new snapshot is complete all the same
        not_cleaned = str(error)
    return SnapshotResult(backup.folder / name, facts, tuple(removed), freed, sum(map(len, journals)), not_cleaned)


def _last_inventory(backup: Backup, names: Sequence[str]) -> Sequence[Entry]:
    """The newest inventory that can be read; none where none can. `smallcaps backup --check` names the damaged ones."""
    for name in reversed(names):
        with suppress(LakeError):
            return read_inventory(backup.folder / name)
    return ()


def _require_space(
    backup: Backup, copy: LakeCopy, unread: Sequence[tuple[str, Any]], sources: Sources, params: BackupParams
) -> None:
    needs = sum(file[1].size for file in unread if not copy.is_likely_stored(file))
    needs += sources.state.size() + _BYTES_OF_ENTRY * (len(unread) + 1_000)
    keep = round(params.keep_free_gb * _BYTES_PER_GB)
    require_space(backup.root, needs, keep, "DEST, or backup.destination")


def _keep_settings(folder: Path, files: Sequence[SettingsFile]) -> dict[str, str]:
    """Write the settings files beside the inventory, where people find them; returns their SHA-256 by path."""
    kept = {}
    for file in files:
        path = folder / SETTINGS / file.name
        with disk_errors("written", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        kept[SETTINGS + file.name] = hashlib.sha256(file.content).hexdigest()
    return kept


def _require_whole(backup: Backup, folder: Path, entries: Sequence[Entry]) -> None:
    """Make sure that the inventory reads back, and that every content that it names is there.

    New contents were read back when they were stored.

    Raises:
        LakeError: something is missing.
    """
    found = read_inventory(folder)
    if found != sorted(entries):
        raise LakeError(f"{folder}: the inventory does not read back. Check the disk, then run again.", folder)
    missing = [entry for entry in found if backup.objects.path_size(entry.sha256) != entry.size]
    if missing:
        raise LakeError(
            f"{backup.objects.path_of(missing[0].sha256)}: is missing or cut, the content of {missing[0].path} and "
            f"{count_noun(len(missing) - 1, 'other file')}. Check the disk, then run again: what is missing is stored "
            "again.",
            folder,
        )
