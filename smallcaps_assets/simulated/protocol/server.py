"""An HTTP/1.1 server for an exchange, with one thread per connection."""

import gzip
import json
import logging
import socket
import struct
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

from smallcaps_assets.simulated.bucket.service import METHOD
from smallcaps_assets.simulated.protocol.wire import Answering, Delivery, Reply

_log = logging.getLogger(__name__)
_SMALL_BODY: Final = 256
_DRIPS: Final = 50
# Closing sends RST at once: linger is on, for 0 seconds. Winsock's struct has shorter fields.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class ExchangeServer:
    """A running exchange; a context manager that closes itself. Made by `serve`."""

    def __init__(self, exchange: Answering, host: str, port: int, *, access_log: bool) -> None:
        self._http = _Http((host, port), exchange, access_log=access_log)
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        """The base URL for clients, such as `http://127.0.0.1:49152`, without a slash at the end."""
        host, port = self._http.server_address[:2]
        return f"http://{host if isinstance(host, str) else host.decode()}:{port}"

    @property
    def requests(self) -> int:
        """Requests answered since the start, refusals included."""
        return self._http.answered

    def close(self) -> None:
        """Stop listening and close every connection, also those with unfinished answers; may be called twice."""
        self._http.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._http.drop_connections()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(exchange: Answering, host: str = "127.0.0.1", port: int = 0, *, access_log: bool = False) -> ExchangeServer:
    """Serve an exchange until the server is closed; it is listening when this returns.

    Args:
        exchange: answers the requests.
        host: the address to listen on; the default accepts connections from this machine only.
        port: 0 selects a free port.
        access_log: whether each request is logged at level INFO.

    Raises:
        OSError: the port is taken.
    """
    return ExchangeServer(exchange, host, port, access_log=access_log)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    # On Windows the address of a running server could be taken over where this is on.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, address: tuple[str, int], exchange: Answering, *, access_log: bool) -> None:
        self.exchange = exchange
        self.access_log = access_log
        self.closing = Event()
        self._lock = Lock()
        self._answered = 0
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base class asks the name service for this host's name, which can take seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def answered(self) -> int:
        with self._lock:
            return self._answered

    def count_answer(self) -> None:
        with self._lock:
            self._answered += 1

    def connection_opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def connection_closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def drop_connections(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                _log.debug("a connection was closed by its client first")

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if isinstance(error, ConnectionError):
            _log.debug("%s went away: %s", client_address, error)
        else:
            _log.error("a request from %s failed: %r", client_address, request, exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 65536

    def setup(self) -> None:
        super().setup()
        self.server.connection_opened(self.connection)

    def finish(self) -> None:
        self.server.connection_closed(self.connection)
        super().finish()

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        headers = {**dict(self.headers.items()), METHOD: self.command}
        self._send(self.server.exchange.reply(address.path, query, headers))

    do_HEAD = do_GET  # noqa: N815

    def _refuse_method(self) -> None:
        body = {"status": "ERROR", "error": f"method {self.command} is not allowed"}
        headers = {"Content-Type": "application/json", "Allow": "GET", "Connection": "close"}
        self._send(Reply(HTTPStatus.METHOD_NOT_ALLOWED, headers, json.dumps(body).encode()))

    do_POST = do_PUT = do_DELETE = do_PATCH = _refuse_method  # noqa: N815

    def _send(self, reply: Reply) -> None:
        self.server.count_answer()
        delivery = reply.delivery or Delivery()
        self._pause(delivery.latency)
        body = reply.body
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        # with an ETag, what is sent is the file itself
        as_is = "Content-Encoding" in reply.headers or "ETag" in reply.headers
        takes_gzip = len(body) > _SMALL_BODY and not as_is and "gzip" in self.headers.get("Accept-Encoding", "")
        if takes_gzip or delivery.truncated_gzip:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            self.send_header("Content-Encoding", "gzip")
        if delivery.truncated_gzip:
            body = body[: len(body) // 2]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._send_body(body[: len(body) // 2] if delivery.reset else body, delivery.drip)
        if delivery.reset:
            self._reset()

    def _send_body(self, body: bytes, drip: float) -> None:
        size = max(-(-len(body) // _DRIPS), 1) if drip else max(len(body), 1)
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        for piece in pieces:
            if drip:
                self.wfile.flush()
                self._pause(drip / len(pieces))
            self.wfile.write(piece)
        self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        # Closing the socket object would wait for the files made of it, and the server would send FIN before.
        socket.close(self.connection.detach())

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self.server.closing.wait(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        if self.server.access_log:
            _log.info("%s %s", self.client_address[0], format % args)
