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

    A file where the pattern has a folder below `folder` hides nothing, and is passed over.

    Raises:
        LakeError: a folder is closed to this user, or a file is in the place of `folder`.
    """
    found = [folder]
    for names in pattern.split("/"):
        listed = ((place, _names(place, is_first=place is folder)) for place in found)
        found = [place / name for place, inside in listed for name in inside if fnmatchcase(name, names)]
    return found


def _names(folder: Path, *, is_first: bool) -> Iterator[str]:
    with disk_errors("read", folder):
        try:
            with os.scandir(folder) as listed:
                names = [entry.name for entry in listed]
        except FileNotFoundError:
            return
        except NotADirectoryError as error:
            if is_first:
                raise file_in_the_way(folder) from error
            return
    yield from names
