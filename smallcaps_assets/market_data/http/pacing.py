"""The vendor's rate limit as a token bucket that returns delays and never sleeps."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

_SLOWDOWN: Final = 0.5  # factor on the rate after a 429 without `Retry-After`
_RECOVERY: Final = 1.25  # factor on the rate for every period without another 429
_RECOVERY_PERIOD_S: Final = 15.0
_CATCH_UP: Final = 1.25  # factor on the rate while requests that nobody was there to send in time are made up for
_MAX_INTERVAL_S: Final = 60.0  # between two requests, however often the vendor answers with 429
_NEGLIGIBLE_INTERVAL_S: Final = 0.001  # without a rate limit: below this interval the slowdown is over
_RECENT_S: Final = 60.0


class Ticket(NamedTuple):
    """A reservation: seconds to wait before sending, the instant of sending, and the penalties before it."""

    delay_s: float
    start: float
    epoch: int


class TokenBucket:
    """At most `burst` requests at once and `requests_per_minute` in the long run, shared by threads.

    The state is one instant: the time of the next request if all were evenly spaced. Every reservation advances it by
    one interval, so that each caller owns the slot it was given and there is no queue. Slots that nobody took because
    all callers were busy are not lost if callers are at most `late_s` behind: they catch up, one request after the
    other, at a quarter above the rate. Whatever the burst, no 60 seconds see more requests than the limit. A
    reservation becomes invalid with a penalty, and when its caller wakes up too late: callers check `is_valid` before
    they send, and reserve again where it returns False.

    After a 429 the rate is halved, once for all requests in flight, and raised by a quarter for every 15 seconds
    without another. Without a limit, the rate of the last minute is halved, and recovers until it is unlimited.
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
        """Start with a full burst, or, unless `fresh`, with none.

        Args:
            requests_per_minute: the maximum in any 60 seconds, finite and positive; None for no limit.
            burst: requests that may start at the same instant after a pause, 1 to `requests_per_minute`.
            late_s: longest delay between a reserved start and the arrival at the vendor. The limit then holds in every
                60 seconds of the vendor's clock, also where an early request arrives late and a late one does not.
            fresh: whether nothing was sent just before; otherwise the first request waits and none bursts.
            clock: seconds from any origin, never running backwards.

        Raises:
            ValueError: a limit that is not positive and finite, or a burst out of bounds.
        """
        if requests_per_minute is not None and not 0 < requests_per_minute < math.inf:
            raise ValueError(f"requests_per_minute is {requests_per_minute}: give a positive number, or None.")
        if burst < 1:
            raise ValueError(f"burst is {burst}: give 1 or more.")
        if requests_per_minute is not None and burst > max(1.0, requests_per_minute):
            raise ValueError(f"burst is {burst}, more than the {requests_per_minute:g} requests per minute: lower it.")
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
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()

    def reserve(self) -> Ticket:
        """Take one request from the budget; `delay_s` is 0.0 or more."""
        with self._lock:
            now = self._clock()
            self._recover(now)
            made_up_s = max(0.0, self._late_s - self._slack_s)  # what a burst makes up for needs no catching up
            due = max(self._due, now - made_up_s)
            start = max(now, due - self._slack_s)
            if self._starts and due < self._starts[-1] + self._interval_s - self._slack_s:
                start = max(start, self._starts[-1] + self._interval_s / _CATCH_UP)
            if self._most is not None and len(self._starts) >= self._most:
                start = max(start, self._starts[-self._most] + self._minute_s)
            self._due = max(due, start - made_up_s) + self._interval_s
            self._starts.append(start)
            return Ticket(start - now, start, self._epoch)

    def is_valid(self, ticket: Ticket) -> bool:
        """Whether a reservation may be used: no penalty followed it, and its start is not too long ago."""
        with self._lock:
            in_time = self._late_s == 0 or self._clock() - ticket.start <= self._late_s
            return ticket.epoch == self._epoch and in_time

    def record_sent(self, ticket: Ticket) -> None:
        """Count the request of a reservation as sent."""
        with self._lock:
            self._sent.append(ticket.start)
            since = self._clock() - _RECENT_S
            while self._sent[0] <= since:
                self._sent.popleft()

    def sent_in_last_minute(self) -> int:
        """Requests sent in the last 60 seconds, each at its reserved start: never more than the limit."""
        with self._lock:
            since = self._clock() - _RECENT_S
            return sum(start > since for start in self._sent)

    def penalise(self, seconds: float, ticket: Ticket | None = None, *, slower: bool = False) -> None:
        """Invalidate reservations; start no new one within `seconds` from now, and allow no burst afterwards.

        Args:
            seconds: 0 or more, finite.
            ticket: the reservation of the request that was answered with 429.
            slower: also halve the rate, unless a request reserved before the same penalty already did.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a penalty of {seconds} seconds: give a finite number, 0 or more.")
        with self._lock:
            now = self._clock()
            while self._starts and self._starts[-1] > now:  # reserved and now invalid
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
        """Halve the rate; without a limit, the rate at which the last minute's requests were sent."""
        if self._interval_s == 0.0:
            recent = [start for start in self._starts if now - start <= _RECENT_S] or [now]
            self._interval_s = max(now - recent[0], 1.0) / len(recent)
        self._interval_s = max(self._budget_s, min(self._interval_s / _SLOWDOWN, _MAX_INTERVAL_S))
        self._slowed = now

    def _recover(self, now: float) -> None:
        if self._interval_s == self._budget_s:
            return
        quiet = min(100, math.floor((now - self._slowed) / _RECOVERY_PERIOD_S))
        if quiet > 0:
            self._slowed = now
            self._interval_s = max(self._budget_s, self._interval_s / _RECOVERY**quiet)
            if self._interval_s < _NEGLIGIBLE_INTERVAL_S:
                self._interval_s = self._budget_s
