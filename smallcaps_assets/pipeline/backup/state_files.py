"""Dagster's state as files of a snapshot: copies of its databases, or a dump of its database in PostgreSQL.

What is written last is read first, as in the lake: the ticks of schedules, the runs, the events of all assets, the logs
of single runs, and what steps handed to each other.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.backup.inventory import STATE, Entry, entry_of
from smallcaps_assets.lake.backup.listed_files import ListedState, list_files
from smallcaps_assets.lake.backup.objects import ObjectStore
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.runtime.databases import copy_database, fault_of_database, has_pending_changes, is_database

KIND: Final = "state"
DUMP: Final = f"{STATE}postgresql.dump"
# states of other lakes than the default one
_OTHER_LAKES: Final = "lakes"
# made anew at every start, for this machine, or of no use without the process that wrote them
_MADE_ANEW: Final = re.compile(
    r"dagster\.yaml|lake\.txt|lake_id\.json|code_server\.(?:yaml|sock)|read_only\.yaml|(?:.*/)?[^/]+\.(?:lock|sock|pid)|"
    r".*\.db-(?:wal|shm|journal)"
)
_ORDER: Final = (r"schedules/.*", r"history/runs\.db", r"history/runs/index\.db", r".*\.db", r".*")


@dataclass(frozen=True)
class StateSource:
    """Where Dagster's state is.

    Attributes:
        folder: its folder; it may not exist yet.
        dump: writes the database to a file, where the state is in one.
        is_left_out: whether a snapshot has nothing of it.
    """

    folder: Path
    dump: Callable[[Path], None] | None = None
    is_left_out: bool = False

    @property
    def kind(self) -> str:
        """How the state is kept: `sqlite`, `postgresql`, `none` where there is none yet, or `left out`."""
        if self.is_left_out:
            return "left out"
        if self.dump is not None:
            return "postgresql"
        return "sqlite" if any(name.endswith(".db") for name, _ in self.files()) else "none"

    def files(self) -> list[tuple[str, ListedState]]:
        """The files that belong to the state by their paths below its folder, in the order in which they are read.

        Raises:
            LakeError: a folder cannot be listed.
        """
        found = () if self.is_left_out else list_files(self.folder, but={_OTHER_LAKES})
        belonging = [(name, state) for name, state in found if not _MADE_ANEW.fullmatch(name)]
        return sorted(belonging, key=lambda file: _place(file[0]))

    def size(self) -> int:
        """The bytes of its files."""
        return sum(state.size for _, state in self.files())

    def store(self, objects: ObjectStore, known: Mapping[str, Entry]) -> Iterator[tuple[Entry, bool]]:
        """Store the state; yields each file, and whether its content is new. Unchanged files of `known` are not read.

        Raises:
            LakeError: a file cannot be read or written.
            SmallcapsError: an error of `dump`.
        """
        if self.dump is not None:
            part = objects.part()
            self.dump(part)
            with disk_errors("read", part):
                size = part.stat()
            stored = objects.keep(part, ListedState.of(size))
            yield entry_of(DUMP, KIND, stored), stored.is_new
        for name, state in self.files():
            before = known.get(f"{STATE}{name}")
            path = self.folder / name
            is_same = before is not None and before.state == state and objects.has(before.sha256, before.size)
            if before is not None and is_same and not has_pending_changes(path):
                yield before, False
            elif (made := _store(path, f"{STATE}{name}", state, objects)) is not None:
                yield made


def _place(name: str) -> tuple[int, str]:
    return next(number for number, pattern in enumerate(_ORDER) if re.fullmatch(pattern, name)), name


def _store(path: Path, name: str, state: ListedState, objects: ObjectStore) -> tuple[Entry, bool] | None:
    """Store a file of the state; None where it is gone. A database that SQLite cannot copy is stored as it is."""
    try:
        if path.suffix == ".db" and is_database(path):
            part = objects.part()
            try:
                copy_database(path, part)
                if fault_of_database(part) is None:
                    size = part.stat().st_size
                    stored = objects.keep(part, state)
                    return entry_of(name, KIND, stored, size), stored.is_new
            except sqlite3.OperationalError as error:
                raise LakeError(
                    f"{path}: cannot be copied ({error}). End what has locked it, and check its disk; then run again.",
                    path,
                ) from error
            except sqlite3.DatabaseError:
                pass
            finally:
                part.unlink(missing_ok=True)
            found = objects.put(path)
            return found and (entry_of(name, KIND, found)._replace(proof="damaged"), found.is_new)
    except FileNotFoundError:
        return None
    found = objects.put(path)
    return found and (entry_of(name, KIND, found), found.is_new)
