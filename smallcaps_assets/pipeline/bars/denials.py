"""What the vendor's plan includes: a few denials and no served request mean that it has none of the data."""

from threading import Lock
from typing import Final

from smallcaps_assets.errors import NotEntitled

# after so many denials and no served request, the plan has no such data at all
DENIALS: Final = 3


class Denials:
    """The denials of one step; may be shared by threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._served = False
        self._denials = 0

    def served(self) -> None:
        """Record a served request."""
        self._served = True

    def denied(self, error: NotEntitled) -> None:
        """Record a denied request.

        Raises:
            NotEntitled: repeated denials without a served request.
        """
        with self._lock:
            self._denials += 1
            if self._denials >= DENIALS and not self._served:
                raise error
