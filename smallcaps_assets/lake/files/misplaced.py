"""A folder where a file belongs, and a file where a folder belongs: named, with what to move away."""

from pathlib import Path

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.remedies import how_to_restore


def require_no_folder(path: Path) -> None:
    """Make sure that no folder is in the place of a file, which no rename could replace.

    Raises:
        LakeError: one is.
    """
    if path.is_dir():
        raise LakeError(
            f"{path}: is a folder, where a file belongs: move the folder away. {how_to_restore(path)}", path
        )


def file_in_the_way(path: Path) -> LakeError:
    """The error where a path leads through a file, in whose place a folder belongs."""
    file = next((place for place in (path, *path.parents) if place.is_file()), path)
    return LakeError(f"{file}: is a file, where a folder belongs: move the file away. {how_to_restore(file)}", file)
