"""A server that answers from a script, a client of it whose sleeps take no time, and some answers."""

import gzip
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pages import Download

KEY = "sEcReT_key-0123456789"


START = datetime(2025, 10, 14, 11, 29, tzinfo=UTC)


END = START + timedelta(minutes=10)


START_NS = 1_760_441_340_000_000_000


@dataclass(frozen=True)
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    declared: int | None = None  # Content-Length, if it is to differ from the body's
    reset: bool = False
    close: bool = False
    dated: bool = True  # whether a Date header is sent, by default with the present time


# replies, or functions of the number of the request
Answers = list[Reply | Callable[[int], Reply]]


@dataclass
class Seen:
    path: str
    query: dict[str, str]
    authorization: str | None


class Script:
    """Replies in order, the last one repeated; every request is recorded."""

    def __init__(self) -> None:
        self.replies: Answers = []
        self.seen: list[Seen] = []
        self.base = ""

    def next_reply(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        reply = self.replies[min(len(self.seen), len(self.replies)) - 1]
        return reply if isinstance(reply, Reply) else reply(len(self.seen))


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, script: Script) -> None:
        self.script = script
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        reply = self.server.script.next_reply(Seen(parts.path, query, self.headers["Authorization"]))
        self.send_response_only(reply.status)
        if reply.dated and "Date" not in reply.headers:
            self.send_header("Date", self.date_time_string())
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.declared != -1:
            self.send_header("Content-Length", str(len(reply.body) if reply.declared is None else reply.declared))
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()
        self.close_connection = reply.close or reply.declared is not None
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@dataclass
class Rig:
    """A client whose sleeps are recorded and move its clock instead of taking time."""

    client: MarketDataClient
    slept: list[float]


def trade(i: int, **changed: object) -> dict[str, Any]:
    row = {
        "decimal_size": f"{i + 1}.5",
        "exchange": 4,
        "id": str(i),
        "participant_timestamp": START_NS + i,
        "price": 3.25,
        "sequence_number": i,
        "sip_timestamp": START_NS + i // 2,
        "size": i + 1,
    }
    return {**row, **changed}


def page(*rows: object, **head: object) -> Reply:
    return Reply(json.dumps({"results": rows, "status": "OK", "request_id": "r1", **head}).encode())


def zipped(reply: Reply, keep: int | None = None) -> Reply:
    return Reply(gzip.compress(reply.body)[:keep], reply.status, {**reply.headers, "Content-Encoding": "gzip"})


def refusal(status: int, **body: str) -> Reply:
    return Reply(json.dumps({"status": "ERROR", "request_id": "r9", **body}).encode(), status)


def trades(rig: Rig) -> Download:
    return rig.client.trades("AEMD", START, END)


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


GOOD = page(trade(0), trade(1))


TOO_MANY = refusal(429, error="You've exceeded the maximum requests per minute")
