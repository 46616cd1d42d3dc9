"""Whether every content that snapshots name is there and is what it was, by its SHA-256."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.backup.flushed_files import digest_of
from smallcaps_assets.lake.backup.inventory import Entry, read_inventory
from smallcaps_assets.lake.backup.objects import ObjectStore
from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.lake.files.publish import disk_errors

_THREADS: Final = 2
_BATCH: Final = 1_000


class ObjectFault(NamedTuple):
    """A content that is not what it was.

    Attributes:
        object: its file below the backup.
        problem: what is wrong with it.
        path: a file that has it, as the inventory names it.
        others: how many further files have it.
        snapshots: those that name it, oldest first.
    """

    object: str
    problem: str
    path: str
    others: int
    snapshots: tuple[str, ...]


@dataclass(frozen=True)
class BackupCheck:
    """What was read of a backup, and what is wrong with it.

    Attributes:
        snapshots: those that were checked.
        objects: how many contents were read.
        bytes: their size.
        faults: contents that are damaged or missing.
        unreadable: snapshots whose own files are damaged, with the reason.
    """

    snapshots: tuple[str, ...]
    objects: int
    bytes: int
    faults: tuple[ObjectFault, ...]
    unreadable: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults and not self.unreadable


# passes checked items on, of so many in all, as they are checked
WatchedContents = Callable[[Iterable[tuple[str, str | None]], int], Iterable[tuple[str, str | None]]]


def check_backup(
    backup: Backup,
    names: Sequence[str] | None = None,
    watched: WatchedContents = lambda checked, total: checked,  # noqa: ARG005
) -> BackupCheck:
    """Read every content of snapshots, each once; changes nothing.

    Args:
        backup: the backup.
        names: the snapshots; all by default.
        watched: receives the contents as they are checked, and how many they are.
    """
    chosen = backup.names() if names is None else names
    unreadable: dict[str, str] = {}
    files: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = {}
    snapshots: dict[str, list[str]] = defaultdict(list)
    for name in chosen:
        try:
            entries = entries_of(backup, name)
        except LakeError as error:
            unreadable[name] = str(error)
            continue
        for entry in entries:
            sizes[entry.sha256] = entry.size
            if not snapshots[entry.sha256] or snapshots[entry.sha256][-1] != name:
                snapshots[entry.sha256].append(name)
            if entry.path not in files[entry.sha256]:
                files[entry.sha256].append(entry.path)
    checked = dict(watched(_check_all(backup.objects, sizes), len(sizes)))
    faults = [
        ObjectFault(
            backup.objects.path_of(sha256).relative_to(backup.root).as_posix(),
            problem,
            files[sha256][0],
            len(files[sha256]) - 1,
            tuple(snapshots[sha256]),
        )
        for sha256, problem in checked.items()
        if problem is not None
    ]
    return BackupCheck(
        tuple(chosen), len(sizes), sum(sizes.values()), tuple(sorted(faults, key=lambda fault: fault.path)), unreadable
    )


def entries_of(backup: Backup, name: str) -> list[Entry]:
    """The inventory of a snapshot, compared with what the snapshot says of itself.

    Raises:
        LakeError: either is damaged.
    """
    snapshot = backup.snapshot(name)
    entries = read_inventory(snapshot.folder)
    found = {"files": len(entries), "bytes": sum(entry.size for entry in entries)}
    if other := [key for key, value in found.items() if snapshot.facts[key] != value]:
        raise LakeError(
            f"{snapshot.folder}: its inventory has {found[other[0]]:,} {other[0]}, but snapshot.json says "
            f"{snapshot.facts[other[0]]:,}. Use another snapshot: `smallcaps backup --list` shows all.",
            snapshot.folder,
        )
    for file, sha256 in snapshot.facts["settings_files"].items():
        path = snapshot.folder / file
        with disk_errors("read", path):
            if digest_of(path) != sha256:
                raise LakeError(f"{path}: is damaged. Use another snapshot, or the settings of another one.", path)
    return entries


def _check_all(objects: ObjectStore, sizes: Mapping[str, int]) -> Iterable[tuple[str, str | None]]:
    # in the order of their places
    names = sorted(sizes)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="check") as pool:
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            problems = pool.map(lambda sha256: problem_of(objects, sha256, sizes[sha256]), batch)
            yield from zip(batch, problems, strict=True)


def problem_of(objects: ObjectStore, sha256: str, size: int) -> str | None:
    """What is wrong with a content; None where it is what it was. Reads every byte."""
    path = objects.path_of(sha256)
    try:
        found_size = path.stat().st_size
        if found_size != size:
            return f"is damaged: it has {found_size:,} bytes, not {size:,}"
        found = digest_of(path)
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == sha256 else f"is damaged: its SHA-256 is {found}"
