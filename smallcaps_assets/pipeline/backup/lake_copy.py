"""The files of a lake as a snapshot stores them, while others publish.

First everything is stored, in any order, which may take hours. Then every file is looked at once more in the reading
order of a snapshot, within seconds; what was published meanwhile is stored as it is then. Only these last looks decide
what the snapshot has.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from smallcaps_assets.lake.backup.inventory import LAKE, Entry, entry_of, kind_of_file
from smallcaps_assets.lake.backup.listed_files import ListedState
from smallcaps_assets.lake.backup.objects import ObjectStore
from smallcaps_assets.lake.backup.reading_order import READING_ORDER, files_of_group, unit_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.runtime.long_paths import long_path

_THREADS: Final = 4
_BATCH: Final = 256
# a unit is replaced by one writer at a time: it rests between two looks
_MOST_LOOKS: Final = 20

Listed = tuple[str, ListedState]


class LakeCopy:
    """Stores the files of a lake.

    Attributes:
        entries: by path, what the snapshot has, once `read_in_order` is done.
        new_files: how many files had content that was not stored before.
        new_bytes: their size.
    """

    def __init__(
        self,
        lake: Lake,
        objects: ObjectStore,
        known: Mapping[str, Entry],
        stored: Callable[[Sequence[Entry]], None] = lambda entries: None,  # noqa: ARG005
        looked: Callable[[str], None] = lambda name: None,  # noqa: ARG005
    ) -> None:
        """Store the files of a lake.

        Args:
            lake: the lake.
            objects: where to.
            known: entries of earlier snapshots: files that are as they were are not read.
            stored: receives the entries of files as they are stored.
            looked: receives the name of each file when it is looked at in the reading order.
        """
        self._root = long_path(lake.root)
        self._objects = objects
        self._known = dict(known)
        self._stored, self._looked = stored, looked
        self.entries: dict[str, Entry] = {}
        self.new_files = self.new_bytes = 0

    def unread(self) -> list[Listed]:
        """The files whose content is not known to be stored.

        Raises:
            LakeError: a folder cannot be listed.
        """
        return [
            file for number in range(len(READING_ORDER)) for file in self._files(number) if not self._is_known(file)
        ]

    def is_likely_stored(self, file: Listed) -> bool:
        """Whether a file to be read has the content that is stored under its name, as in a lake that was moved."""
        before = self._known.get(LAKE + file[0])
        return before is not None and before.state.has_content_of(file[1])

    def store_all(self, files: Iterable[Listed]) -> Iterator[Listed]:
        """Store files, some at once; yields each when it is stored, or gone."""
        names = list(files)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="backup") as pool:
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH]
                found = pool.map(lambda file: self._read(file[0]), batch)
                for file, entry in zip(batch, found, strict=True):
                    if entry is not None:
                        self._stored([self._count(*entry)])
                    yield file

    def read_in_order(self) -> None:
        """Look at every file once more, and store what has changed."""
        self.entries.clear()
        for number, group in enumerate(READING_ORDER):
            for name, state in self._files(number):
                self._take(name, state)
            if group.unit is not None:
                self._settle(number)

    def _settle(self, number: int) -> None:
        """Read the units of a group again until none of their files has changed since it was read."""
        unsettled: set[str] | None = None
        for _ in range(_MOST_LOOKS):
            now = self._units(number, unsettled)
            group = READING_ORDER[number]
            # each of its files, as it was read
            before = {unit: dict[str, ListedState]() for unit in unsettled or ()}
            for path, entry in self.entries.items():
                unit = unit_of(path.removeprefix(LAKE), group)
                if unit is not None and (unsettled is None or unit in unsettled):
                    before.setdefault(unit, {})[path.removeprefix(LAKE)] = entry.state
            unsettled = {unit for unit in now.keys() | before.keys() if now.get(unit, {}) != before.get(unit, {})}
            if not unsettled:
                return
            for unit in unsettled:
                for name in before.get(unit, ()):
                    del self.entries[LAKE + name]
                for name, state in now.get(unit, {}).items():
                    self._take(name, state)

    def _units(self, number: int, wanted: set[str] | None) -> dict[str, dict[str, ListedState]]:
        found = dict[str, dict[str, ListedState]]()
        for name, state in self._files(number):
            unit = unit_of(name, READING_ORDER[number])
            if unit is not None and (wanted is None or unit in wanted):
                found.setdefault(unit, {})[name] = state
        return found

    def _take(self, name: str, state: ListedState) -> None:
        """Put the present version of a file into the snapshot; nothing where it is gone."""
        self._looked(name)
        if self._is_known((name, state)):
            self.entries[LAKE + name] = self._known[LAKE + name]
        elif (found := self._read(name)) is not None:
            entry = self._count(*found)
            self._stored([entry])
            self.entries[entry.path] = entry

    def _files(self, number: int) -> Iterator[Listed]:
        return files_of_group(self._root, number)

    def _is_known(self, file: Listed) -> bool:
        before = self._known.get(LAKE + file[0])
        return before is not None and before.state == file[1] and self._objects.has(before.sha256, before.size)

    def _read(self, name: str) -> tuple[Entry, bool] | None:
        kind = kind_of_file(name)
        stored = self._objects.put(self._root / name, name[name.rfind(".") :] if "." in name else "")
        return stored and (entry_of(LAKE + name, kind, stored), stored.is_new)

    def _count(self, entry: Entry, is_new: bool) -> Entry:  # noqa: FBT001
        self._known[entry.path] = entry
        self.new_files += is_new
        self.new_bytes += is_new * entry.size
        return entry
