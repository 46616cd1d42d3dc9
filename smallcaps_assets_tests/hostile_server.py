"""A server on a raw socket that answers with whatever pieces of bytes a test gives it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

Piece = bytes | float | None  # sent; a pause of so many seconds; None closes the connection
Answer = Callable[[], Iterable[Piece]]

DRIPS: Final = 80
_PAUSE_S: Final = 0.05

GOOD_BODY: Final = b'{"results":[],"status":"OK","request_id":"r1"}'


def reply(body: bytes = GOOD_BODY, status: str = "200 OK", *headers: str) -> bytes:
    """An answer with a correct length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    """A body as one chunk, without the end of the answer."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def drip(before: bytes, drop: bytes, after: bytes) -> Answer:
    """`drop` many times with pauses, 4 s in all: whoever has the patience receives an answer that is good."""

    def pieces() -> Iterator[Piece]:
        yield before
        for _ in range(DRIPS):
            yield drop
            yield _PAUSE_S
        yield after

    return pieces


def flood(before: bytes, drop: bytes) -> Answer:
    """`drop` without pause and without end."""

    def pieces() -> Iterator[Piece]:
        yield before
        while True:
            yield drop

    return pieces


class HostileServer:
    """Gives the same answer to every request, on every connection; `heads` are the requests that came."""

    def __init__(
        self, answer: Answer, *, greets: bool, tls: ssl.SSLContext | None, tunnel: ssl.SSLContext | None
    ) -> None:
        """Listen on a free port of loopback.

        Args:
            answer: makes the pieces of an answer.
            greets: answers without waiting for a request.
            tls: encrypts every connection from its beginning.
            tunnel: first lets a client connect as through a proxy, then encrypts.
        """
        self._answer, self._greets, self._tls, self._tunnel = answer, greets, tls, tunnel
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def address_of(self, scheme: str) -> str:
        """The address of the server as a URL."""
        return f"{scheme}://{self.address}"

    def close(self) -> None:
        """Stop listening, end pauses and wait until every connection is over."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                    self._answer_all(encrypted)
            elif self._tunnel is None:
                self._answer_all(connection)
            elif self._receive_head(connection):
                connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                with self._tunnel.wrap_socket(connection, server_side=True) as encrypted:
                    self._answer_all(encrypted)

    def _answer_all(self, connection: socket.socket) -> None:
        while self._greets or self._receive_head(connection):
            for piece in self._answer():
                if piece is None:
                    return
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                elif self._closing.wait(piece):
                    return
            if self._greets:
                return

    def _receive_head(self, connection: socket.socket) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            received = connection.recv(65_536)
            if not received:
                return False
            head += received
        self.heads.append(head)
        return True


@contextmanager
def hostile_server(
    answer: Answer, *, greets: bool = False, tls: ssl.SSLContext | None = None, tunnel: ssl.SSLContext | None = None
) -> Iterator[HostileServer]:
    """A server that runs until the end of the block."""
    server = HostileServer(answer, greets=greets, tls=tls, tunnel=tunnel)
    try:
        yield server
    finally:
        server.close()
