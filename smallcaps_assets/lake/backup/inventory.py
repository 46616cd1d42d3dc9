"""The inventory of a snapshot: each of its files with size, SHA-256 and kind, as parquet and as csv."""

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, NamedTuple, TextIO

import polars as pl

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.backup.listed_files import ListedState
from smallcaps_assets.lake.backup.objects import Stored
from smallcaps_assets.lake.files.content_hash import ProofState
from smallcaps_assets.lake.files.publish import disk_errors, publish, publish_frame
from smallcaps_assets.lake.files.stored_tables import read_table
from smallcaps_assets.lake.verification.file_kinds import is_set_aside, kind_of

# where a file of a snapshot belongs: the first part of its path
LAKE: Final = "lake/"
STATE: Final = "state/"
SETTINGS: Final = "settings/"

INVENTORY: Final = pl.Schema(
    {
        "path": pl.String(),
        "size": pl.Int64(),
        "sha256": pl.String(),
        "kind": pl.String(),
        "proof": pl.String(),
        "modified_ns": pl.Int64(),
        "changed_ns": pl.Int64(),
        "inode": pl.Int64(),
    }
)
# those of the csv
SHOWN: Final = ("path", "size", "sha256", "kind")
INVENTORY_FILE: Final = "inventory.parquet"
CSV: Final = "inventory.csv"
_OTHER: Final = "not of the lake"


class Entry(NamedTuple):
    """One file of a snapshot.

    Attributes:
        path: `lake/...`, `state/...` or `settings/...`, with forward slashes.
        size: in bytes.
        sha256: of its content, in hex.
        kind: as `smallcaps verify` names it; `state` and `settings` of others.
        proof: whether it was what the lake had published; empty of a file that carries no hash of its own.
        modified_ns: of the file that was read, as the next two: by them an unchanged one is known.
        changed_ns: as in `ListedState`.
        inode: as in `ListedState`.
    """

    path: str
    size: int
    sha256: str
    kind: str
    proof: str
    modified_ns: int
    changed_ns: int
    inode: int

    @property
    def state(self) -> ListedState:
        """The state of the file that was read."""
        return ListedState(self.size, self.modified_ns, self.changed_ns, self.inode)

    @property
    def is_damaged(self) -> bool:
        """Whether it was already damaged in the lake."""
        return self.proof == ProofState.DAMAGED


def entry_of(path: str, kind: str, stored: Stored, size: int | None = None) -> Entry:
    """The entry of a stored file; `size` is that of the copy where this has another one than the file."""
    state = stored.state
    return Entry(
        path,
        state.size if size is None else size,
        stored.sha256,
        kind,
        "" if stored.proof is None else stored.proof.value,
        state.modified_ns,
        state.changed_ns,
        state.inode,
    )


def kind_of_file(name: str) -> str:
    """The kind of a file by its path below the lake."""
    kind = kind_of(name)
    return kind.name if kind else "set aside" if is_set_aside(name) else _OTHER


def publish_inventory(folder: Path, entries: Iterable[Entry]) -> dict[str, str]:
    """Publish an inventory in both forms, ordered by path; returns the SHA-256 of each file.

    Raises:
        LakeError: the disk refuses.
    """
    rows = pl.DataFrame(sorted(entries), schema=INVENTORY, orient="row")
    parquet = publish_frame(folder / INVENTORY_FILE, rows, {})

    def write(part: Path) -> None:
        rows.select(SHOWN).write_csv(part)

    publish(folder / CSV, write)
    return {INVENTORY_FILE: parquet}


def read_inventory(folder: Path) -> list[Entry]:
    """The entries of a snapshot.

    Raises:
        LakeError: the inventory is damaged or missing, or names a file outside of the snapshot.
    """
    path = folder / INVENTORY_FILE
    found = [Entry(*row) for row in read_table(path, INVENTORY).select(*INVENTORY).iter_rows()]
    if outside := next((entry.path for entry in found if not _is_inside(entry.path)), None):
        raise LakeError(f"{path}: names {outside!r}, which is no path of a snapshot. Use another snapshot.", path)
    return found


def sha256s_of(folder: Path) -> frozenset[str]:
    """The contents that a snapshot names. Raises as `read_inventory`."""
    return frozenset(read_table(folder / INVENTORY_FILE, INVENTORY)["sha256"])


def _is_inside(path: str) -> bool:
    """Whether a path leads to a place below lake, state or settings on every system."""
    parts = PurePosixPath(path).parts
    windows = PureWindowsPath(path)
    return (
        path.startswith((LAKE, STATE, SETTINGS))
        and len(parts) > 1
        and ".." not in {*parts, *windows.parts}
        and not any(PureWindowsPath(part).drive for part in parts)
        and "/".join(parts) == path
    )


class Journal:
    """What a snapshot in the making has stored so far, so that the next one need not read it again after a kill."""

    NAME: Final = "journal.jsonl"

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def add(self, entries: Iterable[Entry]) -> None:
        """Add stored files.

        Raises:
            OSError: the disk refuses.
        """
        self._file.writelines(f"{json.dumps(entry)}\n" for entry in entries)
        self._file.flush()

    @staticmethod
    def read(folder: Path) -> list[Entry]:
        """The files that a snapshot in the making had stored; a line that was cut off is left out."""
        path = folder / Journal.NAME
        if not path.is_file():
            return []
        with disk_errors("read", path):
            lines = path.read_bytes().splitlines()
        return [entry for line in lines if (entry := _parse(line)) is not None]


def _parse(line: bytes) -> Entry | None:
    try:
        entry = Entry(*json.loads(line))
    except (ValueError, TypeError):
        return None
    return entry if [type(value) for value in entry] == [str, int, str, str, str, int, int, int] else None


def known_files(inventories: Iterable[Collection[Entry]]) -> Mapping[str, Entry]:
    """The entry of each path; a later inventory counts."""
    return {entry.path: entry for entries in inventories for entry in entries}
