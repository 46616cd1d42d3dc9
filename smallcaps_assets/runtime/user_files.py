"""The walk over users' folders: hidden files, backup copies and files of systems are left out and counted."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Final

# folders and files that systems and tools write for themselves, without regard to case
_OF_SYSTEMS: Final = {
    *("__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found", "@eadir", "#recycle"),
    *("thumbs.db", "desktop.ini", "_delta_log", "_change_data", "_spark_metadata", "_temporary"),
}
# endings of backup copies and of unfinished files, after the suffix of the data or before it
_OF_COPIES: Final = (
    *("~", ".bak", ".backup", ".old", ".orig", ".swp"),
    *(".tmp", ".temp", ".part", ".partial", ".crdownload"),
)
# beginnings of hidden names, and of those that office programs and Emacs give to their own files
_HIDDEN: Final = (".", "~$", "#")
# how desktops name a copy: X - Copy, X - Copy (2), X copy 3, X (copy), Copy of X, X - Kopie; and notebooks a checkpoint
_COPY: Final = re.compile(
    r"copy( \(\d+\))? of .*|(kopie von|copie de|copia de) .*|.*-checkpoint|"
    r".*(\((another )?copy\)|[ _-]copy|[ _-](kopie|copie|copia))( ?\(?\d+\)?)?"
)
_DATA: Final = (".csv.gz", ".csv", ".parquet")
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True)
class UserFiles:
    """Files of a user, by their names without suffix, and those left out: hidden, copies, or a system's own.

    `broken` are links to files that are gone.
    """

    files: list[Path]
    left_out: list[Path]
    broken: Sequence[Path] = ()

    def note(self) -> str | None:
        """What was left out, with an example; None where nothing was."""
        parts = []
        if self.left_out:
            what = "hidden file or backup copy" if len(self.left_out) == 1 else "hidden files or backup copies"
            parts.append(f"left out {len(self.left_out):,} {what}, e.g. {self.left_out[0]}")
        if self.broken:
            what = "link to a file that is" if len(self.broken) == 1 else "links to files that are"
            parts.append(f"left out {len(self.broken):,} {what} gone, e.g. {self.broken[0]}")
        return "; ".join(parts) or None


def find_user_files(given: Path | str, is_wanted: Callable[[Path], bool] = lambda _: True) -> UserFiles:
    """The files that a path names: the file itself, all files of a folder to its depths, or those of a glob pattern.

    Only names below what was given decide whether a file is hidden: a file or a folder that is given is read, wherever
    it lies, and so are hidden names that a pattern spells out.

    Args:
        given: a file, a folder, or a pattern; a path that exists is no pattern.
        is_wanted: which files count, by their path.

    Raises:
        ValueError: the pattern is invalid.
    """
    named = Path(given)
    if named.is_file():
        return UserFiles([named], [])
    if named.is_dir():
        return _split(
            (file for file in named.rglob("*") if is_wanted(file) and _is_file_or_broken(file)), len(named.parts)
        )
    fixed, pattern = _fixed_part(named)
    found = (file for file in fixed.glob(str(pattern)) if is_wanted(file) and _is_file_or_broken(file))
    return _split(found, len(fixed.parts), reads_hidden=any(_is_hidden(part) for part in pattern.parts))


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a file is left out, given the names of its path below the folder that the user gave."""
    return any(map(_is_hidden, parts))


@lru_cache(maxsize=10_000)
def _is_hidden(name: str) -> bool:
    lower = name.casefold()
    stem = next((lower.removesuffix(suffix) for suffix in _DATA if lower.endswith(suffix)), lower)
    is_copy = lower.endswith(_OF_COPIES) or stem.endswith(_OF_COPIES) or _COPY.fullmatch(stem) is not None
    return is_copy or lower.startswith(_HIDDEN) or lower in _OF_SYSTEMS


def _is_file_or_broken(path: Path) -> bool:
    """Whether there is a file, or a link to one that is gone."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _split(found: Iterable[Path], given: int, *, reads_hidden: bool = False) -> UserFiles:
    """Split files by whether a name below the first `given` parts of their path is hidden, and whether they exist."""
    files, left_out, broken = list[Path](), list[Path](), list[Path]()
    for file in sorted(found, key=_order):
        if not reads_hidden and is_hidden(file.parts[given:]):
            left_out.append(file)
        else:
            (files if file.is_file() else broken).append(file)
    return UserFiles(files, left_out, broken)


def _order(file: Path) -> tuple[str, ...]:
    """The order of files: by folders, then by names without the suffix of data, so that X comes before X (1)."""
    lower = file.name.lower()
    suffix = next((suffix for suffix in _DATA if lower.endswith(suffix)), "")
    return (*file.parts[:-1], file.name[: len(file.name) - len(suffix)], file.name)


def _fixed_part(pattern: PurePath) -> tuple[Path, PurePath]:
    """The folders of a pattern before its first wildcard, and the rest."""
    parts = pattern.parts
    first = next((number for number, part in enumerate(parts) if _WILDCARDS.intersection(part)), len(parts) - 1)
    return Path(*parts[:first]), PurePath(*parts[first:])
