"""One GET to the vendor: rate-limited, retried, classified by its status; the key is sent in a header only."""

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from smallcaps_assets.domain.addresses import check_base_url, is_loopback
from smallcaps_assets.errors import SettingsError, Stopped, VendorUnavailable
from smallcaps_assets.market_data.envelope import BadRow
from smallcaps_assets.market_data.http.answers import (
    MAX_BODY_BYTES,
    Answer,
    RetryableFailure,
    classify_failure,
    is_short,
    parse_success,
)
from smallcaps_assets.market_data.http.api_key import BearerKey
from smallcaps_assets.market_data.http.connections import Connections
from smallcaps_assets.market_data.http.pacing import Ticket, TokenBucket

_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "smallcaps-assets"}
_BACKOFF_S: Final = 1.0  # doubled with every attempt; the wait is a random share of it
_THROTTLED_BACKOFF_S: Final = 4.0  # the same after a 429: the vendor counts per minute
_BACKOFF_CAP_S: Final = 60.0
_MAX_RESERVATIONS: Final = 1_000  # per request
# Long bodies decompressed and parsed at the same time; the others wait compressed, which bounds memory.
_MAX_PARSERS: Final = min(4, os.cpu_count() or 1)

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClientTotals:
    """Requests of a client since it was created, and those of the last 60 seconds."""

    requests_sent: int
    retries: int
    throttled: int
    last_minute: int = 0


@dataclass(kw_only=True)
class RequestCounts:
    """Requests and waiting time of one download; used by one thread."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    waited_s: float = 0.0  # for the rate limit and before retries
    pages: int = 0
    request_ids: list[str] = field(default_factory=list)
    bad_rows: list[BadRow] = field(default_factory=list)


class Transport:
    """HTTP access to one vendor at one address; may be shared by threads, each of which has its own connections."""

    def __init__(  # noqa: PLR0913
        self,
        base_url: str,
        api_key: str,
        *,
        bucket: TokenBucket,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        max_retries: int = 5,
        max_body_bytes: int = MAX_BODY_BYTES,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare to send requests; nothing is sent yet.

        Args:
            base_url: https, host, optionally a port and a path prefix; http only for this machine.
            api_key: letters, digits and `._~+/=-`; sent as a header with every request, to no other host.
            bucket: the rate limit; every attempt takes one reservation from it.
            timeout_s: longest silence while connecting and between two chunks of an answer, positive.
            deadline_s: longest time from a request to the end of its answer, positive; connecting is part of it.
            max_retries: attempts after the first, 0 or more; attempts that end in a 429 do not count.
            max_body_bytes: longest body of an answer with status 200, as sent and decompressed.
            sleep: waits the given number of seconds; the default is interrupted by a stop event.
            jitter: a random number in [0, 1), the share of a backoff that is waited.

        Raises:
            NotAuthenticated: the key is empty.
            SettingsError: the key or the address cannot be used.
        """
        self._key = BearerKey(api_key)
        try:
            parts = urlsplit(check_base_url(base_url))
        except ValueError as error:
            shown = "" if "@" in base_url else f" {self.clean(base_url)!r}"
            raise SettingsError(f"base_url{shown} {error}.") from None
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._bucket = bucket
        self._max_retries = max_retries
        self._sleep = sleep
        self._jitter = jitter
        self._lock = threading.Lock()
        self._connections = Connections(
            self._origin,
            {**_HEADERS, "Authorization": self._key.authorization},
            timeout_s=timeout_s,
            deadline_s=deadline_s,
            max_body_bytes=max_body_bytes,
            # A proxy named in the environment cannot reach a server on this machine.
            trust_env=not is_loopback(parts.hostname or ""),
        )
        self._max_body_bytes = max_body_bytes
        self._totals = RequestCounts()
        # Dedicated threads: the memory that a thread once allocated for a body stays with the thread.
        self._parsers = ThreadPoolExecutor(_MAX_PARSERS, thread_name_prefix="parse")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin}{self._prefix})"

    @property
    def requests_per_minute(self) -> float | None:
        """The rate limit; None where there is none."""
        return self._bucket.requests_per_minute

    def totals(self) -> ClientTotals:
        """Requests sent so far by all threads, retries included."""
        with self._lock:
            sent = self._totals
            return ClientTotals(
                requests_sent=sent.requests,
                retries=sent.retries,
                throttled=sent.throttled,
                last_minute=self._bucket.sent_in_last_minute(),
            )

    def close(self) -> None:
        """Close all connections and end all threads; no request may follow."""
        self._parsers.shutdown()
        self._connections.close()

    def clean(self, text: str) -> str:
        """Text from outside made safe for messages: on one line, without the key, at most 300 characters."""
        return self._key.clean(text)

    def target_of(self, next_url: str) -> str:
        """Path and query of `next_url` unchanged, without what the transport adds itself: host, path prefix, key.

        Raises:
            ValueError: it is not a URL, or its path is relative.
        """
        parts = urlsplit(next_url)
        if parts.path and not parts.path.startswith("/"):
            raise ValueError("no absolute path")  # it would become part of the host
        path = parts.path.removeprefix(self._prefix) if parts.path.startswith(self._prefix + "/") else parts.path
        query = "&".join(pair for pair in parts.query.split("&") if pair.partition("=")[0].lower() != "apikey")
        return f"{path}?{query}"

    def get(
        self,
        target: str,
        what: str,
        parse: Callable[[bytes], _T],
        counts: RequestCounts,
        stop: threading.Event | None = None,
    ) -> Answer[_T]:
        """The parsed answer to GET `target`, retried as often as the settings allow.

        A 429 is retried without limit: it means that requests come too fast, not that the data is unavailable.

        Args:
            target: path and query below the base address, without the key.
            what: the requested data, for messages.
            parse: parses the decompressed body; its errors propagate. Only a few bodies are parsed at once.
            counts: incremented with every attempt.
            stop: once it is set, nothing more is sent.

        Raises:
            NotAuthenticated: 401.
            NotEntitled: 403.
            NotFound: 404.
            RequestRejected: any other 4xx, or a redirect: none is followed.
            BadPage: another status below 300 than 200, or a body that is too long.
            VendorUnavailable: 5xx, a broken connection or a short body, at every attempt.
            Stopped: `stop` was set.
        """
        route = self.clean(unquote(target.partition("?")[0]))
        max_attempts, failures = self._max_retries + 1, 0
        throttled = 0
        while True:
            ticket = self._wait_for_slot(counts, stop)
            self._bucket.record_sent(ticket)
            self._count(counts, requests=1, retries=min(failures + throttled, 1))
            outcome = self._attempt(target, route, what, parse)
            if isinstance(outcome, Answer):
                return outcome
            reason = self.clean(outcome.reason)
            if outcome.throttled:
                throttled += 1
                self._count(counts, throttled=1)
                logger.warning("GET %s: %s (time %d)", route, reason, throttled)
                no_hint = outcome.retry_after_s is None
                self._bucket.penalise(self._backoff_s(outcome, throttled - 1), ticket, slower=no_hint)
                continue
            failures += 1
            if failures == max_attempts:
                often = f" {max_attempts} times, the last time with" if max_attempts > 1 else " with"
                raise VendorUnavailable(
                    f"GET {route} for {what} failed{often} {reason}. Nothing of it was kept; run it again later."
                ).with_facts(self.clean(outcome.cause), http_status=outcome.status, endpoint=route)
            # the last attempt is in the error
            logger.warning("GET %s: %s (attempt %d of %d)", route, reason, failures, max_attempts)
            self._pause(self._backoff_s(outcome, failures - 1), counts, stop)

    def _wait_for_slot(self, counts: RequestCounts, stop: threading.Event | None) -> Ticket:
        """Wait for a reservation that is still valid when its time comes.

        The number of reservations is bounded: on a machine so busy that every thread wakes up late, some request must
        be sent all the same.
        """
        for _ in range(_MAX_RESERVATIONS):
            ticket = self._bucket.reserve()
            self._pause(ticket.delay_s, counts, stop)
            if self._bucket.is_valid(ticket):
                break
        return ticket

    def _attempt(
        self, target: str, route: str, what: str, parse: Callable[[bytes], _T]
    ) -> Answer[_T] | RetryableFailure:
        with ExitStack() as body_lease:
            raw = self._connections.get(f"{self._prefix}{target}", body_lease)
            if isinstance(raw, RetryableFailure):
                return raw
            if raw.status == HTTPStatus.OK:
                read = partial(parse_success, raw, parse, route, what, self._max_body_bytes)
                return read() if is_short(raw) else self._parsers.submit(read).result()
            return classify_failure(raw, route, what, self._key)

    def _backoff_s(self, failure: RetryableFailure, attempt: int) -> float:
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        base_s = _THROTTLED_BACKOFF_S if failure.throttled else _BACKOFF_S
        return self._jitter() * min(_BACKOFF_CAP_S, base_s * 2.0 ** min(attempt, 10))

    def _pause(self, seconds: float, counts: RequestCounts, stop: threading.Event | None) -> None:
        if seconds > 0:
            counts.waited_s += seconds
            if self._sleep is not None:
                self._sleep(seconds)
            elif stop is not None:
                stop.wait(seconds)
            else:
                time.sleep(seconds)
        if stop is not None and stop.is_set():
            raise Stopped("stopped: no further requests are sent.")

    def _count(self, counts: RequestCounts, *, requests: int = 0, retries: int = 0, throttled: int = 0) -> None:
        with self._lock:
            for each in (counts, self._totals):
                each.requests += requests
                each.retries += retries
                each.throttled += throttled
