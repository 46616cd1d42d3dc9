"""Progress in megabytes: files of very different sizes would tell little of the time that is left."""

from collections.abc import Callable
from typing import Final

from smallcaps_assets.pipeline.progress import Progress

_BYTES_PER_MB: Final = 1_000_000


class MegabyteProgress:
    """Counts bytes, and shows whole megabytes."""

    def __init__(self, total: int, what: str, log: Callable[[str], None]) -> None:
        """Count up to `total` bytes of `what`; see `Progress`."""
        self._progress = Progress(total // _BYTES_PER_MB, f"{what}, MB", log)
        self._bytes = 0

    def add(self, size: int) -> None:
        """Count `size` bytes more."""
        before = self._bytes // _BYTES_PER_MB
        self._bytes += size
        if units := self._bytes // _BYTES_PER_MB - before:
            self._progress.add(units)
        else:
            self._progress.tick()

    def tick(self) -> None:
        """Log a line if one is due."""
        self._progress.tick()
