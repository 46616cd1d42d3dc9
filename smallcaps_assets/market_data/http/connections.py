"""Requests over connections that are kept open, each limited in time and in size.

No operation on a socket may wait longer than its request has left: the timeout of the socket is set before each of
them. So a deadline holds wherever an answer drips (TLS, `100 Continue`, headers, sizes and extensions of chunks, body,
trailers), needs no thread that watches, and cannot end a later request on the same connection. Only the resolver of the
operating system has limits of its own.
"""

import io
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead
from socket import AF_UNSPEC, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, getaddrinfo, socket
from ssl import SSLSocket
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, unquote, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.exceptions import HTTPError
from urllib3.util import make_headers

from smallcaps_assets.market_data.http.answers import RawAnswer, RetryableFailure
from smallcaps_assets.market_data.http.ways import ProxySocket, Way

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHUNK_BYTES: Final = 1 << 20
_BUFFER_BYTES: Final = 1 << 16  # most answers arrive in one piece of this size
_MAX_ERROR_BODY_BYTES: Final = 1 << 20
# Longer bodies are received and parsed a few at a time, which bounds memory; compressed pages are shorter.
_LONG_BODY_BYTES: Final = 1 << 22
_MAX_LONG_BODIES: Final = 4
_URL_CHARACTERS: Final = "!#$%&'()*+,/:;=?@[]~"  # in a URL as they are
_HEADERS: Final = ("Content-Encoding", "Date", "Retry-After", "X-Request-Id")


class _Deadline:
    """The time that one request has left, and what it is doing."""

    def __init__(self, timeout_s: float, deadline_s: float) -> None:
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._end = time.monotonic() + deadline_s
        self._has_passed = False
        self.phase = "while connecting"

    def limit_s(self) -> float:
        """Seconds that the next operation may wait.

        Raises:
            TimeoutError: none are left.
        """
        left_s = self._end - time.monotonic()
        self._has_passed = left_s <= self._timeout_s  # if the next operation is timed out
        if left_s <= 0:
            raise TimeoutError
        return min(left_s, self._timeout_s)

    def apply(self, sock: socket) -> None:
        """Limit the next operation on a socket.

        Raises:
            TimeoutError: no time is left.
        """
        sock.settimeout(self.limit_s())

    def describe(self, error: Exception) -> str:
        """What ended the request."""
        if isinstance(error, IncompleteRead):
            return "a body cut short"
        if not isinstance(error, TimeoutError) or error.errno is not None:
            return f"{type(error).__name__} {self.phase}: {error}"
        if self._has_passed:
            return f"an answer without end after {self._deadline_s:g} s ({self.phase})"
        return f"a silence of {self._timeout_s:g} s ({self.phase})"


class _Reader(io.RawIOBase):
    """The bytes that arrive on a socket, read within a deadline."""

    def __init__(self, sock: socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._deadline.apply(self._sock)
        return self._sock.recv_into(buffer)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `HTTPResponse` asks a socket for."""
        return io.BufferedReader(self, _BUFFER_BYTES)


class _Limited(HTTPConnection):
    """A connection that is opened within a deadline."""

    deadline: _Deadline

    def open(self, deadline: _Deadline) -> None:
        self.deadline = deadline
        # for what a proxy answers
        self.response_class = lambda sock, **options: _response(sock, deadline, **options)  # type: ignore[assignment]
        self.connect()

    def _new_conn(self) -> socket:
        """A socket that is connected to the first address of the host that accepts it, its timeout set once more."""
        failure = OSError(f"{self.host} has no address")
        for family, kind, protocol, _, address in getaddrinfo(self.host, self.port, AF_UNSPEC, SOCK_STREAM):
            sock = socket(family, kind, protocol)
            try:
                self.deadline.apply(sock)
                sock.connect(address)
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                self.deadline.apply(sock)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        raise failure


class _LimitedTls(_Limited, HTTPSConnection):
    """The same over TLS."""

    def _connect_tls_proxy(self, hostname: str, sock: socket) -> SSLSocket:
        return cast("SSLSocket", ProxySocket(super()._connect_tls_proxy(hostname, sock)))

    def _tunnel(self) -> None:
        """Ask a proxy for the way to the host; the request and the handshake after it are limited anew."""
        self.deadline.apply(self.sock)
        super()._tunnel()
        self.deadline.apply(self.sock)


class Connections:
    """Connections to one origin; may be shared by threads. There are as many as there were ever requests at once."""

    def __init__(  # noqa: PLR0913
        self,
        origin: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        deadline_s: float,
        max_body_bytes: int,
        trust_env: bool,
    ) -> None:
        """Prepare to connect.

        Args:
            origin: scheme, host and optionally a port.
            headers: sent with every request.
            timeout_s: longest wait for a connection, and between two pieces of an answer.
            deadline_s: longest time of one request.
            max_body_bytes: length at which the body of an answer with status 200 is cut.
            trust_env: whether the environment may name a proxy and a file of certificates; a proxy only for https.
        """
        parts = urlsplit(origin)
        self._is_tls = parts.scheme == "https"
        self._way = Way(origin, trust_env=trust_env)
        self._host, self._port = parts.hostname or "", parts.port
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **headers}.items())
        self._head_end = f" HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._max_body_bytes = max_body_bytes
        self._idle: deque[_Limited] = deque()
        self._long_bodies = threading.BoundedSemaphore(_MAX_LONG_BODIES)
        weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Close the connections that no request uses."""
        _close_all(self._idle)

    def get(self, target: str, body_lease: ExitStack) -> RawAnswer | RetryableFailure:
        """The answer to GET `target`, a path and a query; nothing is retried, no redirect is followed.

        Args:
            target: characters that a URL cannot contain are escaped.
            body_lease: to be closed once the body is not used any more.

        Raises:
            SettingsError: the proxy or the certificates that the environment names cannot be used.
        """
        return self._exchange(b"GET " + self._rest_of_head(target), body_lease)

    def post(self, target: str, body: bytes) -> RawAnswer | RetryableFailure:
        """The answer to POST `target` with a body, whose headers are those of the connections; see `get`."""
        with ExitStack() as lease:
            return self._exchange(b"POST " + self._rest_of_head(target) + body, lease)

    def _rest_of_head(self, target: str) -> bytes:
        return quote(target, safe=_URL_CHARACTERS, errors="replace").encode("ascii") + self._head_end

    def _exchange(self, request: bytes, body_lease: ExitStack) -> RawAnswer | RetryableFailure:
        deadline = _Deadline(self._timeout_s, self._deadline_s)
        connection = self._idle_connection() or self._new_connection()
        can_be_reused = False
        try:
            if connection.sock is None:
                connection.open(deadline)
            response = _send(connection.sock, request, deadline)
            answer = self._receive(response, deadline, body_lease)
            can_be_reused = response.status >= HTTPStatus.OK and not (response.will_close or answer.is_cut)
        except (OSError, HTTPException, HTTPError, UnicodeError) as error:
            reason = deadline.describe(error)
            return RetryableFailure(reason=reason, cause=reason)
        else:
            return answer
        finally:
            if can_be_reused:
                self._idle.append(connection)
            else:
                connection.close()

    def _receive(self, response: HTTPResponse, deadline: _Deadline, body_lease: ExitStack) -> RawAnswer:
        """The answer with its body, cut where it is too long.

        Raises:
            HTTPException: the body is not what its headers promise.
            OSError: the connection broke, or time is up.
        """
        limit = self._max_body_bytes if response.status == HTTPStatus.OK else _MAX_ERROR_BODY_BYTES
        is_long = False
        body = io.BytesIO()
        while body.tell() <= limit and (chunk := response.read1(_CHUNK_BYTES)):
            body.write(chunk)
            if body.tell() > _LONG_BODY_BYTES and not is_long:
                self._wait_for_others(deadline, body_lease)
                is_long = True
        is_cut = body.tell() > limit
        if response.length and not is_cut:
            raise IncompleteRead(b"", response.length)
        response.close()
        headers = {name: value for name in _HEADERS if (value := response.headers.get(name)) is not None}
        return RawAnswer(status=response.status, headers=headers, body=body.getvalue(), is_cut=is_cut)

    def _wait_for_others(self, deadline: _Deadline, body_lease: ExitStack) -> None:
        """Wait until few enough long bodies are in use."""
        deadline.phase = "while other long answers arrived"
        while not self._long_bodies.acquire(timeout=deadline.limit_s()):
            pass
        body_lease.callback(self._long_bodies.release)
        deadline.phase = "within its body"

    def _idle_connection(self) -> _Limited | None:
        """A connection that the server has not closed; the one used last, so that superfluous ones are closed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if connection.is_connected:
                return connection
            connection.close()

    def _new_connection(self) -> _Limited:
        if not self._is_tls:
            return _Limited(self._host, self._port)
        proxy = self._way.proxy
        if proxy is None:
            return _LimitedTls(self._host, self._port, ssl_context=self._way.tls)
        config = ProxyConfig(
            self._way.tls, use_forwarding_for_https=False, assert_hostname=None, assert_fingerprint=None
        )
        port = proxy.port or (443 if proxy.scheme == "https" else 80)
        connection = _LimitedTls(
            cast("str", proxy.host), port, ssl_context=self._way.tls, proxy=proxy, proxy_config=config
        )
        headers = make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy.auth else None
        connection.set_tunnel(self._host, self._port or 443, headers, proxy.scheme or "http")
        return connection


def _send(sock: socket, request: bytes, deadline: _Deadline) -> HTTPResponse:
    """Send a request and receive the headers of its answer."""
    deadline.phase = "while sending the request"
    deadline.apply(sock)
    sock.sendall(request)
    deadline.phase = "within its headers"
    response = _response(sock, deadline, method="GET")
    response.begin()
    lengths = set(response.headers.get_all("Content-Length", ()))
    if len(lengths) + response.chunked > 1:
        raise HTTPException(f"contradicting lengths of a body: {', '.join(sorted(lengths))}")
    deadline.phase = "within its body"
    return response


def _response(sock: socket, deadline: _Deadline, method: str | None = None) -> HTTPResponse:
    return HTTPResponse(cast("socket", _Reader(sock, deadline)), method=method)


def _close_all(connections: deque[_Limited]) -> None:
    while connections:
        connections.pop().close()
