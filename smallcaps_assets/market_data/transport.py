"""One GET to the vendor: paced, retried, judged by its status; the key leaves in a header and nowhere else.

Errors are raised after the library's own exception has been left behind: an exception of requests carries the request,
and with it the key, so none may hang on ours as cause or context.
"""

import json
import logging
import os
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar
from urllib.parse import quote, unquote, urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from smallcaps_assets.errors import (
    BadPage,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    NotFound,
    RequestRefused,
    SettingsError,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.market_data.pacing import Ticket, TokenBucket

KEY_VARIABLES: Final = "MASSIVE_API_KEY (or POLYGON_API_KEY)"
HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "smallcaps-assets"}

# what the vendor's price list said in 2025: https://massive.com/pricing
PLANS: Final = {
    "trades": "Trades come with the plan Stocks Developer and above (see https://massive.com/pricing). ",
    "quotes": "Quotes come with the plan Stocks Advanced and above (see https://massive.com/pricing). ",
}
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
BACKOFF_S: Final = 1.0  # doubled with every attempt; the wait is a random share of it
THROTTLED_BACKOFF_S: Final = 4.0  # the same after a 429: the vendor counts by the minute
BACKOFF_CAP_S: Final = 60.0
RETRY_AFTER_CAP_S: Final = 300.0
TEXT_CAP: Final = 300  # characters of foreign text in a message
MOST_TURNS: Final = 1_000  # that one request takes
ERROR_BODY_CAP: Final = 65_536  # bytes of an error's body that are looked at
BODY_CAP: Final = 1 << 28  # bytes of a body that are made room for before it is seen
GZIP: Final = 31  # what zlib calls a gzip stream with its checksum
PIECE: Final = 1 << 20  # bytes read at once
# answers that are unpacked and parsed at the same time: the others wait as they came, compressed
READERS: Final = min(4, os.cpu_count() or 1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClientTotals:
    """What a client sent since it was made."""

    requests_sent: int
    retries: int
    throttled: int


Read = TypeVar("Read")


@dataclass(kw_only=True)
class RequestCounts:
    """What one download took; belongs to one thread."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    waited_s: float = 0.0  # for the budget, and before retries
    pages: int = 0
    request_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[Read]):
    """What was read out of the body of an answer with status 200."""

    content: Read
    request_id: str | None


@dataclass(frozen=True, kw_only=True)
class _Setback:
    """An attempt that failed in a way that may pass."""

    reason: str
    retry_after_s: float | None = None
    throttled: bool = False


@dataclass(frozen=True, kw_only=True)
class _Received:
    """A whole answer as it came, still compressed."""

    status: int
    headers: Mapping[str, str]
    sent: bytes = field(repr=False)


class _Bearer(AuthBase):
    """The key: it signs requests and is wiped out of foreign text, and cannot be printed."""

    def __init__(self, api_key: str) -> None:
        if not api_key:
            raise NotAuthenticated(f"no API key was given. Set {KEY_VARIABLES} in the environment.")
        if not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", api_key):
            raise SettingsError(f"the API key has characters that no key has, such as spaces. Correct {KEY_VARIABLES}.")
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request

    def __repr__(self) -> str:
        return "Bearer(***)"

    def wipe(self, text: str) -> str:
        return text.replace(self._api_key, "***").replace(quote(self._api_key, safe=""), "***")


class Transport:
    """Answers of one vendor at one address; may be shared by threads, each of which has its own connections."""

    def __init__(  # noqa: PLR0913
        self,
        base_url: str,
        api_key: str,
        *,
        bucket: TokenBucket,
        timeout_s: float = 30.0,
        deadline_s: float = 300.0,
        max_retries: int = 5,
        sleep: Callable[[float], None] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare to talk to the vendor; nothing is sent yet.

        Args:
            base_url: http or https, host, perhaps a port and a path prefix; no user, query or fragment.
            api_key: letters, digits and `._~+/=-`.
            bucket: the request budget; every attempt takes one reservation of it.
            timeout_s: longest silence while connecting and between two pieces of an answer, positive.
            deadline_s: longest time from a request to the end of its answer, positive.
            max_retries: attempts after the first, 0 or more; those that end in a 429 do not count.
            sleep: waits so many seconds; by default in a way that a stop interrupts.
            jitter: a random number in [0, 1).

        Raises:
            NotAuthenticated: the key is empty.
            SettingsError: the key or the address cannot be used.
        """
        self._auth = _Bearer(api_key)
        parts = urlsplit(base_url)
        plain = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
        if not plain or parts.query or parts.fragment:
            raise SettingsError(
                f"base_url {self.clean(base_url)!r} is no address of a vendor: "
                "give http:// or https://, a host and no user, query or fragment."
            )
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._bucket = bucket
        self._timeout_s = timeout_s
        self._deadline_s = deadline_s
        self._max_retries = max_retries
        self._sleep = sleep
        self._jitter = jitter
        self._lock = threading.Lock()
        self._sessions: SimpleQueue[requests.Session] = SimpleQueue()
        self._all = RequestCounts()
        # threads of their own: memory that a thread once needed for a body stays with it
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="read")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._origin}{self._prefix})"

    def totals(self) -> ClientTotals:
        """Requests sent so far by all threads, retries included."""
        with self._lock:
            return ClientTotals(
                requests_sent=self._all.requests, retries=self._all.retries, throttled=self._all.throttled
            )

    def close(self) -> None:
        """Close all connections and end all threads; no request may follow."""
        self._readers.shutdown()
        while not self._sessions.empty():
            self._sessions.get().close()

    def clean(self, text: str) -> str:
        """Foreign text fit for messages: on one line, without the key, at most 300 characters."""
        line = " ".join(re.sub(r"[^ -~\u00a0-\uffff]", " ", self._auth.wipe(text)).split())
        return line if len(line) <= TEXT_CAP else line[:TEXT_CAP] + "..."

    def target_of(self, next_url: str) -> str:
        """Path and query of `next_url` as they came, less what is ours to add: host, path prefix, key.

        Raises:
            ValueError: it is no URL.
        """
        parts = urlsplit(next_url)
        path = parts.path.removeprefix(self._prefix) if parts.path.startswith(self._prefix + "/") else parts.path
        query = "&".join(pair for pair in parts.query.split("&") if pair.partition("=")[0].lower() != "apikey")
        return f"{path}?{query}"

    def get(
        self,
        target: str,
        what: str,
        read: Callable[[bytes], Read],
        tally: RequestCounts,
        stop: threading.Event | None = None,
    ) -> Answer[Read]:
        """The answer to GET `target`, after as many attempts as it takes and the settings allow.

        A 429 is waited out as often as it comes: it says that we are too fast, not that the answer is not to be had.

        Args:
            target: path and query below the base address, without the key.
            what: the data asked for, for messages.
            read: makes something of the decompressed body; its errors are passed on. Few bodies are read at once.
            tally: counts every attempt.
            stop: once it is set, nothing more is sent.

        Raises:
            NotAuthenticated: 401.
            NotEntitled: 403.
            NotFound: 404.
            RequestRefused: any other 4xx, or a redirect: none is followed.
            BadPage: another status below 300 than 200.
            VendorUnavailable: 5xx, a broken connection or a short body, at every attempt.
            Stopped: `stop` was set.
        """
        route = self.clean(unquote(target.partition("?")[0]))
        attempts, failures = self._max_retries + 1, 0
        throttled = 0
        while True:
            ticket = self._admitted(tally, stop)
            self._add(tally, requests=1, retries=min(failures + throttled, 1))
            outcome = self._attempt(target, route, what, read)
            if isinstance(outcome, Answer):
                return outcome
            reason = self.clean(outcome.reason)
            if outcome.throttled:
                throttled += 1
                self._add(tally, throttled=1)
                logger.warning("GET %s: %s (time %d)", route, reason, throttled)
                no_hint = outcome.retry_after_s is None
                self._bucket.penalise(self._wait_s(outcome, throttled - 1), ticket, slower=no_hint)
                continue
            failures += 1
            logger.warning("GET %s: %s (attempt %d of %d)", route, reason, failures, attempts)
            if failures == attempts:
                raise VendorUnavailable(
                    f"GET {route} for {what} failed {attempts} times, the last time with {reason}. "
                    "Nothing was kept of it; run it again later."
                )
            self._pause(self._wait_s(outcome, failures - 1), tally, stop)

    def _admitted(self, tally: RequestCounts, stop: threading.Event | None) -> Ticket:
        """Wait for a place in the budget that no penalty made void meanwhile.

        On a machine so busy that everybody wakes up too late, somebody must send all the same.
        """
        for _ in range(MOST_TURNS):
            ticket = self._bucket.reserve()
            self._pause(ticket.delay_s, tally, stop)
            if self._bucket.holds(ticket):
                break
        return ticket

    def _attempt(self, target: str, route: str, what: str, read: Callable[[bytes], Read]) -> Answer[Read] | _Setback:
        received = self._received(target)
        if isinstance(received, _Setback):
            return received
        status, headers = received.status, received.headers
        if status == HTTPStatus.OK:
            return self._readers.submit(_read, received, read).result()
        said = self._said(_decompressed(received.sent, headers) or b"", headers)
        throttled = status == HTTPStatus.TOO_MANY_REQUESTS
        if throttled or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _Setback(reason=f"HTTP {status}{said}", retry_after_s=_retry_after_s(headers), throttled=throttled)
        raise _refusal(status, f"GET {route} for {what} was answered with HTTP {status}{said}", what)

    def _received(self, target: str) -> _Received | _Setback:
        """One request and its answer; no object of the library leaves, or an error's traceback would keep it open."""
        url = f"{self._origin}{self._prefix}{target}"
        until = time.monotonic() + self._deadline_s
        pieces = []
        try:
            with (
                self._session() as session,
                session.get(url, timeout=self._timeout_s, stream=True, allow_redirects=False) as response,
            ):
                # whatever has come, so that an answer that drips does not outlast its deadline
                while piece := response.raw.read1(PIECE, decode_content=False):
                    pieces.append(piece)
                    if time.monotonic() > until:
                        return _Setback(reason=f"an answer without end after {self._deadline_s:g} s")
                return _Received(status=response.status_code, headers=response.headers, sent=b"".join(pieces))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return _Setback(reason=f"{type(error).__name__}: {error}")

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session that nobody else uses meanwhile: there are as many as there were ever requests at once."""
        try:
            session = self._sessions.get_nowait()
        except Empty:
            session = requests.Session()
            # a proxy of the environment cannot reach what runs on this machine
            session.trust_env = urlsplit(self._origin).hostname not in LOOPBACK
            session.headers.update(HEADERS)
            session.auth = self._auth
        try:
            yield session
        finally:
            self._sessions.put(session)

    def _said(self, body: bytes, headers: Mapping[str, str]) -> str:
        """What the vendor says of its refusal, ready to follow the status in a message."""
        try:
            document = json.loads(body[:ERROR_BODY_CAP])
        except (ValueError, RecursionError):
            document = None
        document = document if isinstance(document, dict) else {}
        words = self.clean(str(document.get("error") or document.get("message") or "")) or "nothing"
        request_id = self.clean(str(document.get("request_id") or headers.get("X-Request-Id") or "none"))
        return f" (the vendor says: {words}; request id: {request_id})"

    def _wait_s(self, setback: _Setback, attempt: int) -> float:
        if setback.retry_after_s is not None:
            return setback.retry_after_s
        base_s = THROTTLED_BACKOFF_S if setback.throttled else BACKOFF_S
        return self._jitter() * min(BACKOFF_CAP_S, base_s * 2.0 ** min(attempt, 10))

    def _pause(self, seconds: float, tally: RequestCounts, stop: threading.Event | None) -> None:
        if seconds > 0:
            tally.waited_s += seconds
            if self._sleep is not None:
                self._sleep(seconds)
            elif stop is not None:
                stop.wait(seconds)
            else:
                time.sleep(seconds)
        if stop is not None and stop.is_set():
            raise Stopped("called off: nothing more is asked for.")

    def _add(self, tally: RequestCounts, *, requests: int = 0, retries: int = 0, throttled: int = 0) -> None:
        with self._lock:
            for counted in (tally, self._all):
                counted.requests += requests
                counted.retries += retries
                counted.throttled += throttled


def _read(received: _Received, read: Callable[[bytes], Read]) -> Answer[Read] | _Setback:
    """Unpack an answer and read it."""
    body = _decompressed(received.sent, received.headers)
    if body is None or _is_cut_short(body):
        return _Setback(reason=f"a body cut short after {len(received.sent)} bytes")
    return Answer(content=read(body), request_id=received.headers.get("X-Request-Id"))


def _refusal(status: int, happened: str, what: str) -> MarketDataError:
    if status == HTTPStatus.UNAUTHORIZED:
        return NotAuthenticated(f"{happened}. The API key is missing or unknown: set {KEY_VARIABLES}.")
    if status == HTTPStatus.FORBIDDEN:
        return NotEntitled(
            f"{happened}. The plan behind the key does not include {what} of these dates: bars, trades and quotes are "
            f"separate entitlements, and each plan reaches back only so many years. {PLANS.get(what, '')}"
            "Change the plan, or leave this data out."
        )
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return RequestRefused(f"{happened}. Redirects are not followed: set base_url to the address that answers.")
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return BadPage(f"{happened}, which is no page of data.")
    refusal = NotFound if status == HTTPStatus.NOT_FOUND else RequestRefused
    return refusal(f"{happened}. Asking again changes nothing: correct the request.")


def _decompressed(sent: bytes, headers: Mapping[str, str]) -> bytes | None:
    """The body of an answer; None where its compression is broken or ends early."""
    if headers.get("Content-Encoding", "").lower() not in ("gzip", "x-gzip"):
        return sent
    # gzip ends with the length of what it holds, so that the room for it is made once
    length = int.from_bytes(sent[-4:], "little")
    try:
        return zlib.decompress(sent, wbits=GZIP, bufsize=max(1, min(length, BODY_CAP)))
    except zlib.error:
        return None


def _is_cut_short(body: bytes) -> bool:
    """Whether a body is empty or a JSON object without its end: the connection broke, not the contract."""
    text = body.strip()
    return not text or (text.startswith(b"{") and not text.endswith(b"}"))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the vendor asks to wait, at most 300; None where it asks for nothing that makes sense."""
    said = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said):
        seconds = float(said)
    else:
        due = _instant(said)
        if due is None:
            return None
        seconds = (due - (_instant(headers.get("Date", "")) or datetime.now(UTC))).total_seconds()
    return min(seconds, RETRY_AFTER_CAP_S) if seconds > 0 else None


def _instant(http_date: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
