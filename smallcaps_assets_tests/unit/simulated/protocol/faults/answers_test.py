"""Answers that are refused, cut, slow or no JSON."""

import gzip
import http.client
import json
import socket
import zlib
from contextlib import suppress
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Delivery, Reply
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at
from smallcaps_assets_tests.unit.simulated.protocol.faults.asked import DAY, KEY, STATUS, TRADES, always, asking, get


def test_errors_have_the_vendors_message(exchange, small_market):
    kinds = ["429", "429_retry_after", "500", "503", "403"]
    with asking(exchange, *(Fault(kind, requests=(number,)) for number, kind in enumerate(kinds, 1))) as ask:
        answers = [ask() for _ in kinds]
    assert [response.status for response, _ in answers] == [429, 429, 500, 503, 403]
    assert [response.getheader("Retry-After") for response, _ in answers] == [None, "1", None, None, None]
    bodies = [json.loads(body) for _, body in answers]
    limited = Exchange(small_market, requests_per_minute=0, clock=at(LATER)).reply(STATUS, {}, KEY)
    for body in bodies[:2]:
        assert body["error"] == json.loads(limited.body)["error"]
    assert bodies[2]["status"] == bodies[3]["status"] == "ERROR"
    assert bodies[4] == {
        "status": "NOT_AUTHORIZED",
        "request_id": bodies[4]["request_id"],
        "message": "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing",
    }
    assert len({body["request_id"] for body in bodies}) == 5


def test_retry_after_is_in_whole_seconds(exchange):
    faulty = FaultyExchange(exchange, [always("429_retry_after", seconds=2.5)])
    assert faulty.reply(STATUS, {}, KEY).headers["Retry-After"] == "3"


@pytest.mark.parametrize(("kind", "status", "words"), [("502", 502, b"502 Bad Gateway"), ("html", 200, b"back soon")])
def test_html_arrives_instead_of_json(exchange, kind, status, words):
    with asking(exchange, always(kind)) as ask:
        response, body = ask()
    assert response.status == status
    assert response.getheader("Content-Type") == "text/html"
    assert body.startswith(b"<html>")
    assert words in body


def test_a_reset_comes_after_half_of_the_body(exchange):
    whole = exchange.reply(STATUS, {}, KEY).body
    with serve(FaultyExchange(exchange, [Fault("reset", requests=(1,))])) as server:
        address = urlsplit(server.base_url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            raw.sendall(f"GET {STATUS} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n\r\n".encode())
            arrived: list[bytes] = []
            with pytest.raises(ConnectionResetError):
                arrived.extend(iter(lambda: raw.recv(65536), b""))
        head, _, body = b"".join(arrived).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert f"Content-Length: {len(whole)}".encode() in head.splitlines()
        assert len(body) == len(whole) // 2
        connection = http.client.HTTPConnection(address.netloc, timeout=10)
        connection.request("GET", STATUS, headers={"Authorization": "Bearer x"})
        assert connection.getresponse().read()[:10] == whole[:10]
        connection.close()


def test_a_truncated_body_looks_whole_to_http(exchange):
    with asking(exchange, Fault("truncated_gzip", requests=(1,))) as ask:
        response, body = ask(f"{TRADES}?limit=50", **{"Accept-Encoding": "gzip"})
        _, healthy = ask(f"{TRADES}?limit=50", **{"Accept-Encoding": "gzip"})
    assert response.status == 200
    assert response.getheader("Content-Encoding") == "gzip"
    assert response.getheader("Content-Length") == str(len(body))
    with pytest.raises(EOFError):
        gzip.decompress(body)
    part = zlib.decompressobj(wbits=31).decompress(body)
    rows = gzip.decompress(healthy)[: len(part)].partition(b'"status"')[0]
    assert len(rows) > 100
    assert part.startswith(rows)


class Waits(Event):
    """Writes down how long it was waited for, and lets nobody wait."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        return True


def test_a_dripping_body_arrives_whole_after_many_pauses(exchange):
    whole = get(exchange, TRADES, **DAY, limit=50)
    with serve(FaultyExchange(exchange, [always("drip"), always("latency")])) as server:
        server._http.closing = waits = Waits()
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
        connection.request("GET", f"{TRADES}?timestamp=2025-11-13&order=asc&limit=50", headers=KEY)
        response = connection.getresponse()
        body = response.read()
        connection.close()
    assert response.getheader("Content-Length") == str(len(body))
    assert json.loads(body)["results"] == whole["results"]
    assert waits.seconds[0] == 0.04
    assert waits.seconds[1:] == [0.2] * 50


def test_a_wait_ends_when_the_server_closes(exchange):
    faulty = FaultyExchange(exchange, [always("latency", seconds=3600.0)])
    arrived, ended = Event(), Event()

    class Telling:
        def reply(self, *request) -> Reply:
            arrived.set()
            return faulty.reply(*request)

    with serve(Telling()) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)

        def ask():
            connection.request("GET", STATUS, headers=KEY)
            with suppress(OSError, http.client.HTTPException):
                connection.getresponse().read()
            ended.set()

        waiting = Thread(target=ask)
        waiting.start()
        assert arrived.wait(10)
        assert not ended.is_set()
    assert ended.wait(10)
    waiting.join()
    connection.close()


def test_latency_adds_to_whatever_else_happens(exchange):
    script = [
        Fault("latency", requests=(1, 2, 3)),
        Fault("latency", requests=(3,), seconds=1.0),
        Fault("500", requests=(2,)),
        Fault("drip", requests=(3,)),
    ]
    faulty = FaultyExchange(exchange, script)
    replies = [faulty.reply(STATUS, {}, KEY) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 500, 200, 200]
    assert [reply.delivery for reply in replies] == [
        Delivery(latency=0.04),
        Delivery(latency=0.04),
        Delivery(latency=1.04, drip=10.0),
        None,
    ]
    assert faulty.counts() == {"latency": 3, "500": 1, "drip": 1}
    with asking(exchange, always("latency", seconds=0.01)) as ask:
        assert ask()[0].status == 200
