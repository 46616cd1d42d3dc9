"""Names a disk under Dagster's state that takes nothing: full, without inodes, read-only. Nothing can be recorded then.

`smallcaps ui` looks at it while it runs, and `smallcaps status` whenever it is asked.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smallcaps_assets.runtime.disk_space import describe_room, why_unwritable

_EVERY_S: Final = 10.0


def describe_disk(folder: Path, reason: str) -> str:
    """That the disk of a state takes nothing, why, and what to do."""
    return f"{folder}: Dagster's state cannot be written ({reason}). {describe_room(folder / 'state', None)}"


class DiskWatch:
    """Reports once that the disk takes nothing, and once that it does again."""

    def __init__(
        self, folder: Path, report: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Watch the disk of a folder.

        Args:
            folder: that of Dagster's state.
            report: receives a sentence.
            clock: monotonic seconds from any origin.
        """
        self._folder, self._report, self._clock = folder, report, clock
        self._reason: str | None = None
        self._looked: float | None = None

    def look(self) -> None:
        """Look at the disk, at most once in `_EVERY_S`."""
        now = self._clock()
        if self._looked is not None and now - self._looked < _EVERY_S:
            return
        self._looked = now
        reason = why_unwritable(self._folder)
        if reason != self._reason:
            self._reason = reason
            self._report(
                describe_disk(self._folder, reason)
                if reason
                else f"{self._folder}: Dagster's state can be written again; runs that ended meanwhile are found and "
                "repeated."
            )
