"""Work in threads: as many requests under way as the budget needs, no more, and none once it is called off."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Final, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

TICK_S: Final = 1.0


class ConcurrencyTarget:
    """How many requests must be under way to fill a budget: rate x time that one takes (Little's law), and a reserve.

    The time is what requests took so far, from sending to publishing, later ones counting more.
    """

    FIRST_GUESS_S: Final = 0.5
    MEMORY: Final = 0.95
    RESERVE: Final = 1.5

    def __init__(self, requests_per_minute: float | None, most: int) -> None:
        """Without a budget, as many as there may be: `most`."""
        self._per_s = None if requests_per_minute is None else requests_per_minute / 60
        self._most = most
        self._busy_s, self._requests = self.FIRST_GUESS_S, 1.0

    def learn(self, requests: int, busy_s: float) -> None:
        """So many requests kept a thread busy for so long, waiting for the budget not counted."""
        self._busy_s = self.MEMORY * self._busy_s + busy_s
        self._requests = self.MEMORY * self._requests + requests

    def __call__(self) -> int:
        """Requests that should be under way now, 1 to `most`."""
        if self._per_s is None:
            return self._most
        needed = self.RESERVE * self._per_s * self._busy_s / self._requests
        return min(self._most, math.ceil(needed) + 1)


def in_threads(  # noqa: PLR0913 -- the seams of the loop
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    most: int,
    *,
    width: Callable[[], int] | None = None,
    tick: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> Iterator[_Result]:
    """Results of `work` as they come; items are taken only when a thread is free for them.

    Results that are there when an error of `work` is met come before it is raised.

    Args:
        work: what is done with an item, in a thread.
        items: taken one after the other, in the caller's thread.
        most: threads there may be.
        width: how many items may be under way now, asked again after each; `most` if not given.
        tick: called at least once a second.
        stop: set when the work ends early, by an error of `work` or because nobody listens any more.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="fetch") as pool:
        running: set[Future[_Result]] = set()
        try:
            while True:
                free = (most if width is None else min(width(), most)) - len(running)
                running |= {pool.submit(work, item) for item in islice(waiting, max(free, 0))}
                if not running:
                    return
                done, running = wait(running, timeout=TICK_S, return_when=FIRST_COMPLETED)
                tick()
                for future in sorted(done, key=_failed):
                    yield future.result()
        finally:
            if running and stop is not None:
                stop.set()
            for future in running:
                future.cancel()


def _failed(done: Future[_Result]) -> bool:
    return done.exception() is not None
