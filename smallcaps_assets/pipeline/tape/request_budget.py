"""A number of requests that may be spent in all: nothing new is begun once they are used up."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


class Allowance:
    """Counts requests against a number that may be spent; used from one thread.

    What is begun takes one request at least, which is set aside at once. An answer in several pages, or one that takes
    retries, may go beyond the number by as many: what was begun is finished.
    """

    def __init__(self, most: int | None, spent: int = 0) -> None:
        """So many requests in all, of which some may be `spent` already; None is no limit."""
        self._most = most
        self._begun = 0
        self.spent = spent

    @property
    def used_up(self) -> bool:
        """Whether nothing new may begin."""
        return self._most is not None and self.spent + self._begun >= self._most

    def admit(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Those of `items` that may begin, each asked for when there is room for it."""
        for item in items:
            if self.used_up:
                return
            self._begun += 1
            yield item

    def settle(self, requests: int) -> None:
        """One of the items is done, and took so many requests."""
        self._begun -= 1
        self.spent += requests
