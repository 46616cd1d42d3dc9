"""Work in threads: as many concurrent requests as the rate limit needs, and none after a stop."""

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Final, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

TICK_S: Final = 1.0


class ConcurrencyTarget:
    """Number of concurrent requests that uses a rate limit fully: rate x duration (Little's law), plus a reserve.

    The duration is the weighted mean of the requests so far, from sending to publishing, later ones weighing more.
    """

    INITIAL_DURATION_S: Final = 0.5
    DECAY: Final = 0.95
    RESERVE_FACTOR: Final = 1.5

    def __init__(self, requests_per_minute: float | None, most: int) -> None:
        """Aim at `requests_per_minute` with 1 to `most` concurrent requests; without a limit, with `most`."""
        self._per_s = None if requests_per_minute is None else requests_per_minute / 60
        self._most = most
        self._busy_s, self._requests = self.INITIAL_DURATION_S, 1.0

    def record(self, requests: int, busy_s: float) -> None:
        """Record that `requests` kept a thread busy for `busy_s` seconds, without waiting for the rate limit."""
        self._busy_s = self.DECAY * self._busy_s + busy_s
        self._requests = self.DECAY * self._requests + requests

    def __call__(self) -> int:
        """Requests that should run now, 1 to `most`."""
        if self._per_s is None:
            return self._most
        needed = self.RESERVE_FACTOR * self._per_s * self._busy_s / self._requests
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
    """Yield results of `work` in the order of completion; items are taken only when a thread is free.

    Results that are complete when `work` raises are yielded before its error.

    Args:
        work: processes one item, in a thread.
        items: taken one by one, in the caller's thread.
        most: maximum number of threads.
        width: maximum number of items in work now, called again after each result; `most` if not given.
        tick: called at least once a second.
        stop: set when the work ends early: by an error of `work`, or because the caller stopped iterating.
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


def in_order(work: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Generator[_Result, None, None]:
    """Yield results of `work` in the order of `items`, while later items are worked on.

    At most one result more than there are threads is waiting or being made.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[_Result]] = deque()
        try:
            while True:
                running.extend(pool.submit(work, item) for item in islice(waiting, threads + 1 - len(running)))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def _failed(done: Future[_Result]) -> bool:
    return done.exception() is not None
