"""A total number of requests that may be spent: nothing new is started once they are used up."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


class Allowance:
    """Counts requests against a limit; used from one thread.

    Every item reserves one request when it starts. Items that take further pages or retries are finished, so the total
    may exceed the limit by these.
    """

    def __init__(self, most: int | None, spent: int = 0) -> None:
        """Allow `most` requests in total (None: no limit); `spent` are used already."""
        self._most = most
        self._started = 0
        self.spent = spent

    @property
    def used_up(self) -> bool:
        """Whether no further item may start."""
        return self._most is not None and self.spent + self._started >= self._most

    def admit(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield items while the limit allows to start them; each is taken only when there is room for it."""
        for item in items:
            if self.used_up:
                return
            self._started += 1
            yield item

    def settle(self, requests: int) -> None:
        """Record that an item has finished, and how many requests it took."""
        self._started -= 1
        self.spent += requests
