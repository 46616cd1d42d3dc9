"""Names a full disk under Dagster's state while `smallcaps ui` runs: the services cannot record anything then."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smallcaps_assets.runtime.disk_space import describe_room, has_room

_EVERY_S: Final = 10.0


class DiskWatch:
    """Reports once that the disk is full, and once that it has room again."""

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
        self._had_room = True
        self._looked: float | None = None

    def look(self) -> None:
        """Look at the disk, at most once in `_EVERY_S`."""
        now = self._clock()
        if self._looked is not None and now - self._looked < _EVERY_S:
            return
        self._looked = now
        enough = has_room(self._folder)
        if enough != self._had_room:
            self._had_room = enough
            self._report(
                f"{self._folder}: the disk of Dagster's state has room again; runs that ended meanwhile are found and "
                "repeated."
                if enough
                else f"{self._folder}: Dagster's state cannot be written (the disk is full). "
                f"{describe_room(self._folder / 'state', None)}"
            )
