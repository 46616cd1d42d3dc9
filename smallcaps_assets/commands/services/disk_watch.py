"""Names a disk under Dagster's state or the lake that takes nothing: full, without inodes, read-only.

`smallcaps ui` looks at it while it runs, and `smallcaps status` whenever it is asked.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smallcaps_assets.runtime.disk_space import describe_room, why_unwritable

_EVERY_S: Final = 10.0


# what is on a disk, and what to do once it takes something again
OF_STATE: Final = ("Dagster's state", "runs that ended meanwhile are found and repeated.")
OF_LAKE: Final = ("the lake", "launch what failed once more: only what is missing is requested.")


def describe_disk(folder: Path, reason: str, of: tuple[str, str] = OF_STATE) -> str:
    """That the disk of a state or lake takes nothing, why, and what to do."""
    return f"{folder}: {of[0]} cannot be written ({reason}). {describe_room(folder / 'file', None)}"


def is_on_disk_of(folder: Path, other: Path) -> bool:
    """Whether two folders, where both exist, are on the same disk."""
    return folder.is_dir() and other.is_dir() and folder.stat().st_dev == other.stat().st_dev


class DiskWatch:
    """Reports once that the disk takes nothing, and once that it does again."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        of: tuple[str, str] = OF_STATE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Watch the disk of a folder.

        Args:
            folder: that of Dagster's state or the lake; nothing is said while it does not exist.
            report: receives a sentence.
            of: OF_STATE or OF_LAKE.
            clock: monotonic seconds from any origin.
        """
        self._folder, self._report, self._of, self._clock = folder, report, of, clock
        self._reason: str | None = None
        self._looked: float | None = None

    def look(self, *, at_once: bool = False) -> None:
        """Look at the disk; unless `at_once`, at most once in `_EVERY_S`."""
        now = self._clock()
        if not at_once and self._looked is not None and now - self._looked < _EVERY_S:
            return
        self._looked = now
        reason = why_unwritable(self._folder) if self._folder.is_dir() else None
        if reason != self._reason:
            self._reason = reason
            what, then = self._of
            again = f"{self._folder}: {what} can be written again; {then}"
            self._report(describe_disk(self._folder, reason, self._of) if reason else again)
