"""The vendor's request budget as a token bucket that hands out delays and never sleeps."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

SLOWER: Final = 0.5  # of the pace, after a 429 that does not say how long to wait
FASTER: Final = 1.25  # of the pace, for every quiet stretch after it
QUIET_S: Final = 15.0
SLOWEST_S: Final = 60.0  # between two requests, however often the vendor refuses
UNNOTICED_S: Final = 0.001  # without a budget: a pace that is no longer one
_RECENT_S: Final = 60.0


class Ticket(NamedTuple):
    """A reservation: how many seconds to wait before sending, when that is, and which penalties it knows of."""

    delay_s: float
    start: float
    epoch: int


class TokenBucket:
    """At most `burst` requests at once and `requests_per_minute` in the long run, shared by threads.

    The state is one instant: when the next request would be due if all came evenly spaced. Every reservation moves it
    on by one interval, so a caller that got a delay owns its slot and nobody has to wait in a queue. Whatever the
    burst, no minute sees more than its budget. A reservation is void after a penalty, and where its caller woke up too
    late: a caller asks `is_valid` before it sends, and reserves anew where it does not.

    After a 429 the pace is halved, once for all requests that were under way, and recovers by a quarter for every 15
    seconds without another. Without a budget the pace is what was sent in the last minute, and recovers without bound.
    """

    def __init__(
        self,
        requests_per_minute: float | None,
        burst: int = 1,
        late_s: float = 0.0,
        *,
        fresh: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the pace.

        Args:
            requests_per_minute: most that any 60 seconds may see, finite and positive; None for no limit.
            burst: requests that may start at the same instant after a pause, at least 1; no more than a minute's.
            late_s: how late a request may arrive. The budget holds in every minute of the vendor's even if a request
                at its beginning comes late and one at its end does not.
            fresh: whether nobody has used the budget just before; otherwise the first request waits for its turn.
            clock: seconds from any origin, never running backwards.

        Raises:
            ValueError: a pace that is not positive and finite, a burst below 1 or beyond it.
        """
        if requests_per_minute is not None and not 0 < requests_per_minute < math.inf:
            raise ValueError(f"requests_per_minute is {requests_per_minute}: give a positive number, or None.")
        if burst < 1:
            raise ValueError(f"burst is {burst}: at least 1 request must be able to start.")
        if requests_per_minute is not None and burst > max(1.0, requests_per_minute):
            raise ValueError(f"burst is {burst}, more than the {requests_per_minute:g} requests of a minute.")
        self.requests_per_minute = requests_per_minute
        self._minute_s = 60.0 + late_s
        self._late_s = late_s
        self._budget_s = 0.0 if requests_per_minute is None else self._minute_s / requests_per_minute
        self._most = None if requests_per_minute is None else max(1, math.floor(requests_per_minute))
        self._burst = burst
        self._clock = clock
        self._interval_s = self._budget_s
        self._due = -math.inf if fresh else clock() + self._interval_s + self._slack_s
        self._barred_until = -math.inf
        self._epoch = 0
        self._slowed = -math.inf
        self._starts: deque[float] = deque(maxlen=20_000)
        self._lock = threading.Lock()

    def reserve(self) -> Ticket:
        """Take one request from the budget; `delay_s` is 0.0 or more."""
        with self._lock:
            now = self._clock()
            self._recover(now)
            due = max(self._due, now)
            start = max(now, due - self._slack_s)
            if self._most is not None and len(self._starts) >= self._most:
                start = max(start, self._starts[-self._most] + self._minute_s)
            self._due = max(due, start) + self._interval_s
            self._starts.append(start)
            return Ticket(start - now, start, self._epoch)

    def is_valid(self, ticket: Ticket) -> bool:
        """Whether no penalty came after the reservation, and it is not too late for it."""
        with self._lock:
            in_time = self._late_s == 0 or self._clock() - ticket.start <= self._late_s
            return ticket.epoch == self._epoch and in_time

    def penalise(self, seconds: float, ticket: Ticket | None = None, *, slower: bool = False) -> None:
        """Let no later reservation start within `seconds` of now, and none burst when that time is over.

        Args:
            seconds: 0 or more, finite.
            ticket: the reservation of the request that was refused.
            slower: halve the pace as well, unless another request of the same time did so already.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a penalty of {seconds} seconds: give a finite number, 0 or more.")
        with self._lock:
            now = self._clock()
            while self._starts and self._starts[-1] > now:  # reserved, but void from here on
                self._starts.pop()
            if slower and (ticket is None or ticket.epoch == self._epoch):
                self._slow_down(now)
            self._epoch += 1
            self._barred_until = max(self._barred_until, now + seconds)
            next_start = self._starts[-1] + self._interval_s if self._starts else now
            self._due = max(self._barred_until, next_start) + self._slack_s

    @property
    def _slack_s(self) -> float:
        return (self._burst - 1) * self._interval_s

    def _slow_down(self, now: float) -> None:
        """Halve the pace; without a budget, halve what was really sent in the last minute."""
        if self._interval_s == 0.0:
            recent = [start for start in self._starts if now - start <= _RECENT_S] or [now]
            self._interval_s = max(now - recent[0], 1.0) / len(recent)
        self._interval_s = max(self._budget_s, min(self._interval_s / SLOWER, SLOWEST_S))
        self._slowed = now

    def _recover(self, now: float) -> None:
        if self._interval_s == self._budget_s:
            return
        quiet = min(100, math.floor((now - self._slowed) / QUIET_S))
        if quiet > 0:
            self._slowed = now
            self._interval_s = max(self._budget_s, self._interval_s / FASTER**quiet)
            if self._interval_s < UNNOTICED_S:
                self._interval_s = self._budget_s
