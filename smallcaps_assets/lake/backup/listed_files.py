"""The files of a folder as the system describes them, without opening them: an unchanged one is not read again."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import disk_errors

# a column of 64 bits holds it on every file system
_INODE_MASK: Final = (1 << 63) - 1
_IS_WINDOWS: Final = os.name == "nt"


class ListedState(NamedTuple):
    """What changes whenever a file is replaced or altered: bytes, nanoseconds since 1970, and its number.

    `changed_ns` is when the system last changed content or entry of the file; programs cannot set it. On Windows, which
    does not have it, it is when the file was made.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> "ListedState":
        """The state that the system describes."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INODE_MASK)

    def has_content_of(self, other: "ListedState") -> bool:
        """Whether two looks at one opened file saw the same content: another name or none may change the rest."""
        return (self.size, self.modified_ns) == (other.size, other.modified_ns)


def list_files(
    root: Path, folder: str = "", levels: int | None = None, but: Collection[str] = ()
) -> Iterator[tuple[str, ListedState]]:
    """The files below `folder` of `root` by their paths below `root`, in order of their names; none where it is gone.

    Links are followed. Hidden files and folders are left out: locks, caches and files in the making.

    Args:
        root: the folder that paths are relative to.
        folder: the folder below it that is listed.
        levels: how many levels of folders are listed; by default all.
        but: names in `folder` that are left out.

    Raises:
        LakeError: a folder cannot be listed, a link leads nowhere or in a circle, or a name is no text.
    """
    yield from _list(root, folder, frozenset(), levels, but)


def _list(
    root: Path, folder: str, above: Collection[tuple[int, int]], levels: int | None, but: Collection[str]
) -> Iterator[tuple[str, ListedState]]:
    place = root / folder if folder else root
    with disk_errors("read", place):
        try:
            with os.scandir(place) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except FileNotFoundError:
            return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in but:
            continue
        name = f"{folder}/{entry.name}" if folder else entry.name
        found = _look(entry, root / name)
        if found is None:
            continue
        if stat.S_ISDIR(found.st_mode):
            if levels == 1:
                continue
            own = (found.st_dev, found.st_ino)
            if own in above:
                raise LakeError(f"{root / name}: is a link to a folder that it lies in. Remove the link.", root / name)
            # Windows gives the entries of a listing no number
            inside = above if _IS_WINDOWS else {*above, own}
            yield from _list(root, name, inside, levels and levels - 1, ())
        elif stat.S_ISREG(found.st_mode):
            yield name, ListedState.of(found)


def _look(entry: "os.DirEntry[str]", path: Path) -> os.stat_result | None:
    """What the system says of an entry; None where it is gone meanwhile."""
    with disk_errors("read", path):
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise LakeError(
                f"{entry.path!a}: the name has bytes that are not UTF-8 text. Rename the file.", path
            ) from None
        try:
            # on Windows an entry of a listing lacks its number
            return os.stat(entry.path) if _IS_WINDOWS else entry.stat()  # noqa: PTH116
        except FileNotFoundError:
            if entry.is_symlink():
                raise LakeError(
                    f"{path}: is a link to something that is gone. Mount its disk, or remove the link.", path
                ) from None
            return None
