"""Folders of the lake as they are listed: one that cannot be listed is named, and never taken for an empty one."""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from smallcaps_assets.lake.files.misplaced import file_in_the_way
from smallcaps_assets.lake.files.publish import disk_errors


def list_paths(folder: Path, pattern: str) -> list[Path]:
    """Paths below a folder, in any order; none where the folder is missing.

    Args:
        folder: the folder.
        pattern: the names on each level, such as `wave=*/*.parquet`.

    Raises:
        LakeError: a folder is closed to this user, or a file is in its place.
    """
    found = [folder]
    for names in pattern.split("/"):
        found = [place / name for place in found for name in _names(place) if fnmatchcase(name, names)]
    return found


def _names(folder: Path) -> Iterator[str]:
    with disk_errors("read", folder):
        try:
            with os.scandir(folder) as listed:
                names = [entry.name for entry in listed]
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            raise file_in_the_way(folder) from error
    yield from names
