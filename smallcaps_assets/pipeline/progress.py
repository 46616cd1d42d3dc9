"""Progress lines of long work: units done, rate, requests, and time left."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final, TypeVar

from smallcaps_assets.market_data.client import MarketDataClient

_Item = TypeVar("_Item")
LOG_EVERY_S: Final = 30.0
# Rates are measured over this period.
_RECENT_S: Final = 300.0


class Progress:
    """Counts finished units and logs a line every `LOG_EVERY_S` seconds and at the end."""

    def __init__(
        self,
        total: int,
        what: str,
        log: Callable[[str], None],
        client: MarketDataClient | None = None,
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
        self._total = total
        self._what = what
        self._log = log
        self._client = client
        self._clock = clock
        self._done = self._failed = self._bytes = 0
        self._before = client.totals() if client else None
        self._logged = clock()
        # (time, units done, requests sent), oldest first
        self._points: deque[tuple[float, int, int]] = deque([(self._logged, 0, 0)])

    def add(self, units: int = 1, *, failed: int = 0, size: int = 0) -> None:
        """Count `units` more as finished, `failed` of them without success, with `size` bytes published."""
        self._done += units
        self._failed += failed
        self._bytes += size
        self.tick(end=self._done >= self._total and units > 0)

    def tick(self, *, end: bool = False) -> None:
        """Log a line if one is due, or at the `end`."""
        now = self._clock()
        if end or now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self._log(self._line(now))

    def _line(self, now: float) -> str:
        sent = self._client.totals().requests_sent - self._before.requests_sent if self._client and self._before else 0
        while len(self._points) > 1 and now - self._points[0][0] > _RECENT_S:
            self._points.popleft()
        since, done, requests = self._points[0]
        self._points.append((now, self._done, sent))
        elapsed_s = now - since
        rate = (self._done - done) / elapsed_s if elapsed_s else 0.0
        left = timedelta(seconds=round((self._total - self._done) / rate)) if rate else "unknown"
        parts = [f"{self._what}: {self._done:,}/{self._total:,}", f"{60 * rate:,.0f} a minute"]
        if self._client and self._before:
            parts += self._requests(self._client, 60 * (sent - requests) / elapsed_s if elapsed_s else 0.0)
            parts += [f"{self._failed:,} failed", f"{self._bytes / 1e6:,.1f} MB"]
        return ", ".join([*parts, f"{left} left"])

    def _requests(self, client: MarketDataClient, per_minute: float) -> list[str]:
        assert self._before  # noqa: S101 -- set together with the client
        after, budget = client.totals(), client.requests_per_minute
        limit = f" of {budget:,.0f}" if budget else ""
        return [
            f"{per_minute:,.0f}{limit} requests a minute",
            f"{after.retries - self._before.retries:,} retries",
            f"{after.throttled - self._before.throttled:,} times 429",
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
