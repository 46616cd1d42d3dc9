"""The vendor's request budget as a token bucket that hands out delays and never sleeps."""

import math
import threading
import time
from collections.abc import Callable


class TokenBucket:
    """At most `burst` requests at once and `requests_per_minute` in the long run, shared by threads.

    The state is one instant: when the next request would be due if all came evenly spaced. Every reservation moves it
    on by one interval, so a caller that got a delay owns its slot and nobody has to wait in a queue.
    """

    def __init__(
        self, requests_per_minute: float | None, burst: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Set the pace.

        Args:
            requests_per_minute: finite and positive; None for no limit.
            burst: requests that may start at the same instant after a pause, at least 1.
            clock: seconds from any origin, never running backwards.

        Raises:
            ValueError: a pace that is not positive and finite, or a burst below 1.
        """
        if requests_per_minute is not None and not 0 < requests_per_minute < math.inf:
            raise ValueError(f"requests_per_minute is {requests_per_minute}: give a positive number, or None.")
        if burst < 1:
            raise ValueError(f"burst is {burst}: at least 1 request must be able to start.")
        self._interval_s = 0.0 if requests_per_minute is None else 60.0 / requests_per_minute
        self._slack_s = (burst - 1) * self._interval_s
        self._clock = clock
        self._due = -math.inf
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take one request from the budget and return how many seconds to wait before sending it, 0.0 or more."""
        with self._lock:
            now = self._clock()
            due = max(self._due, now)
            self._due = due + self._interval_s
            return max(0.0, due - self._slack_s - now)

    def penalise(self, seconds: float) -> None:
        """Let no later reservation start within `seconds` of now, and none burst when that time is over.

        Raises:
            ValueError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a penalty of {seconds} seconds: give a finite number, 0 or more.")
        with self._lock:
            self._due = max(self._due, self._clock() + seconds + self._slack_s)
