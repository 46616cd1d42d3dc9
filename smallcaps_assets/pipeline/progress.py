"""Progress of long work: units done, rate, requests and time left, as lines of a log and for a display."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from smallcaps_assets.domain.words import count_clause, count_noun, describe_duration, describe_rate, estimate_duration

if TYPE_CHECKING:  # a quarter of a second of every command
    from smallcaps_assets.market_data.client import MarketDataClient

_Item = TypeVar("_Item")
LOG_EVERY_S: Final = 30.0
# Rates are measured over this period.
_RECENT_S: Final = 300.0
_MINUTE_S: Final = 60.0


class ProgressDisplay(Protocol):
    """Shows how far work is, such as bars in a terminal; called from one thread at a time."""

    def show(self, progress: "Progress") -> None:
        """Show a progress that has changed."""


_displays: Final[list[ProgressDisplay]] = []


@contextmanager
def show_progress(display: ProgressDisplay) -> Iterator[None]:
    """Show all progress of this process on `display` until the block ends, besides logging it."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)


class Progress:
    """Counts finished units and logs a line every `LOG_EVERY_S` seconds and at the end.

    Retries, answers with 429 and failures are those of finished units: what is published, and what the lake records of
    failures, says the same at any time. Requests are those of all units that were sent in the last minute.
    """

    def __init__(
        self,
        total: int,
        what: str,
        log: Callable[[str], None],
        client: "MarketDataClient | None" = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start counting.

        Args:
            total: number of units, failed ones included.
            what: name of the units, for the log.
            log: logs a line.
            client: a client whose requests are logged as well.
            clock: monotonic seconds from any origin.
        """
        self.total = total
        self.what = what
        self.done = self.failed = 0
        self._log = log
        self._client = client
        self._clock = clock
        self._bytes = self._retries = self._throttled = 0
        self._before = client.totals().throttled if client else 0
        self._began = self._logged = clock()
        # (time, units done), oldest first
        self._points: deque[tuple[float, int]] = deque([(self._began, 0)])

    @property
    def is_finished(self) -> bool:
        """Whether no unit is left."""
        return self.done >= self.total

    def add(self, units: int = 1, *, failed: int = 0, size: int = 0, retries: int = 0, throttled: int = 0) -> None:
        """Count `units` more as finished, `failed` of them without success.

        Args:
            units: how many.
            failed: how many of them failed.
            size: bytes published of them.
            retries: requests for them that were repeated.
            throttled: answers with 429 to requests for them.
        """
        self.done += units
        self.failed += failed
        self._bytes += size
        self._retries += retries
        self._throttled += throttled
        self.tick(end=self.is_finished and units > 0)

    def tick(self, *, end: bool = False) -> None:
        """Log a line if one is due, or at the `end`."""
        now = self._clock()
        for display in _displays:
            display.show(self)
        if end or now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self._log(", ".join([self.describe_done(), *self.describe_figures(), self.describe_time()]))
            self._points.append((now, self.done))

    def describe_done(self) -> str:
        """`trades windows: 1,240 of 9,600 done`."""
        return f"{self.what}: {self.done:,} of {self.total:,} done"

    def describe_figures(self) -> list[str]:
        """The rate of the last five minutes, if work has taken a minute; requests, retries, failures and bytes."""
        elapsed_s, done = self._recent()
        rate = [describe_rate(_MINUTE_S * done / elapsed_s)] if elapsed_s >= _MINUTE_S else []
        return rate + (self._describe_requests(self._client) if self._client else [])

    def describe_time(self) -> str:
        """About how long the rest takes, or how long all took."""
        if self.is_finished:
            return f"in {describe_duration(self._clock() - self._began)}"
        left_s = self.left_s()
        return "time left unknown" if left_s is None else f"{estimate_duration(left_s)} left"

    def left_s(self) -> float | None:
        """About how many seconds the rest takes; None where nothing was done of late."""
        elapsed_s, done = self._recent()
        return (self.total - self.done) * elapsed_s / done if done and elapsed_s else None

    def _recent(self) -> tuple[float, int]:
        """Seconds of the period that rates are measured over, and the units done in it."""
        now = self._clock()
        while len(self._points) > 1 and now - self._points[0][0] > _RECENT_S:
            self._points.popleft()
        since, done = self._points[0]
        return now - since, self.done - done

    def _describe_requests(self, client: "MarketDataClient") -> list[str]:
        budget = client.requests_per_minute
        totals = client.totals()
        sent = count_noun(totals.last_minute, "request")
        if budget:
            sent = f"{totals.last_minute:,} of {count_noun(round(budget), 'request')}"
        waiting = totals.throttled - self._before - self._throttled
        return [
            f"{sent} in the last minute",
            count_clause(self._retries, "retry", "retries"),
            f"{count_noun(self._throttled, 'answer')} with 429{f' (+{waiting:,} under way)' if waiting > 0 else ''}",
            f"{self.failed:,} failed",
            f"{self._bytes / 1e6:,.1f} MB",
        ]


def with_progress(
    items: Iterable[_Item],
    total: int,
    what: str,
    log: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[_Item]:
    """Yield `items`, logging progress every `LOG_EVERY_S` seconds and at the end."""
    progress = Progress(total, what, log, clock=clock)
    for item in items:
        yield item
        progress.add()


def log_if_long(log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> Callable[[str], None]:
    """A `log` that drops all lines of the first `LOG_EVERY_S` seconds, so that short work logs nothing."""
    start = clock()

    def log_late(line: str) -> None:
        if clock() - start >= LOG_EVERY_S:
            log(line)

    return log_late
