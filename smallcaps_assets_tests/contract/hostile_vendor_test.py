"""Answers of a server that means harm: each ends in time, with an error of ours, and nothing is published."""

import gzip
import socket
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.hostile_server import (
    GOOD_BODY,
    Answer,
    Piece,
    chunked,
    drip,
    flood,
    hostile_server,
    reply,
)
from smallcaps_assets_tests.scenarios import default_settings

KEY: Final = "a-key-of-tests"
MAX_BODY_BYTES: Final = 1_000_000
# the phase in which an answer hangs begins within it, also on a busy machine
DEADLINE_S: Final = 0.6
MANIFEST = manifest_of(event("2025-11-26 10:00", event_id="a1", symbol="AVLO"))
START, END = datetime(2025, 11, 26, 14, 57, tzinfo=UTC), datetime(2025, 11, 26, 15, 7, tzinfo=UTC)
AT_NS: Final = int(START.timestamp()) * 1_000_000_000

OK: Final = b"HTTP/1.1 200 OK\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % len(GOOD_BODY)
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n"
GZIP: Final = "Content-Encoding: gzip"


@contextmanager
def client_of(base_url: str, *, deadline_s: float = DEADLINE_S, retries: int = 0) -> Iterator[MarketDataClient]:
    transport = Transport(
        base_url,
        KEY,
        bucket=TokenBucket(None),
        timeout_s=2.0,
        deadline_s=deadline_s,
        max_retries=retries,
        max_body_bytes=MAX_BODY_BYTES,
        sleep=lambda seconds: None,  # noqa: ARG005
    )
    with MarketDataClient(transport) as client:
        yield client


def capture_from(base_url: str, lake: Lake, **options: Any) -> list[str]:
    """The problems of a capture of one window of trades; makes sure that nothing is published."""
    tape = TapeStore(lake, "core", default_settings().profiles["core"])
    with client_of(base_url, **options) as client:
        capture = Capture("trades", tape, client, 1, "abc", log=lambda line: None)  # noqa: ARG005
        problems = [line for outcome in capture.run(MANIFEST, [("AVLO", "RTH")]) for line in outcome.problems]
    assert not list(lake.tape("core", "trades").rglob("*.p*"))
    return problems


def once(*pieces: Piece) -> Answer:
    return lambda: pieces


# --- drips: each would be a good answer to whoever waits 4 s ----------------------------------------------------------
IN_HEADERS, IN_BODY = "(within its headers)", "(within its body)"
DRIPS: dict[str, tuple[Answer, str]] = {
    "status line": (drip(b"HTTP/1.1 200 ", b"O", b"\r\n" + LENGTH + b"\r\n" + GOOD_BODY), IN_HEADERS),
    "headers": (drip(OK, b"X-Drip: 1\r\n", LENGTH + b"\r\n" + GOOD_BODY), IN_HEADERS),
    "one header": (drip(OK + b"X-Drip: ", b"x", b"\r\n" + LENGTH + b"\r\n" + GOOD_BODY), IN_HEADERS),
    "100 Continue": (drip(b"", CONTINUE + b"\r\n", reply()), IN_HEADERS),
    "headers of 100 Continue": (drip(CONTINUE, b"X-Drip: 1\r\n", b"\r\n" + reply()), IN_HEADERS),
    "body": (drip(OK + b"Content-Length: 126\r\n\r\n", b" ", GOOD_BODY), IN_BODY),
    "body of an error": (drip(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 126\r\n\r\n", b" ", GOOD_BODY), IN_BODY),
    "body until the end of the connection": (lambda: [*drip(OK + b"\r\n", b" ", GOOD_BODY)(), None], IN_BODY),
    "chunks": (drip(CHUNKED, chunked(b" "), chunked(GOOD_BODY) + b"0\r\n\r\n"), IN_BODY),
    "size of a chunk": (drip(CHUNKED, b"0", chunked(GOOD_BODY) + b"0\r\n\r\n"), IN_BODY),
    "extension of a chunk": (
        drip(CHUNKED + b"%x;" % len(GOOD_BODY), b"x", b"\r\n" + GOOD_BODY + b"\r\n0\r\n\r\n"),
        IN_BODY,
    ),
    "trailers": (drip(CHUNKED + chunked(GOOD_BODY) + b"0\r\n", b"X-Drip: 1\r\n", b"\r\n"), IN_BODY),
    "silence": (once(4.0, reply()), IN_HEADERS),
    "silence within a body": (once(OK + LENGTH + b"\r\n{", 4.0, GOOD_BODY[1:]), IN_BODY),
    "100 Continue without end": (flood(b"", (CONTINUE + b"\r\n") * 500), IN_HEADERS),
    "trailers without end": (flood(CHUNKED + b"0\r\n", b"X-Flood: 1\r\n" * 500), IN_BODY),
}


@pytest.mark.parametrize("name", DRIPS)
def test_the_deadline_ends_an_answer_wherever_it_drips(lake: Lake, name: str) -> None:
    answer, phase = DRIPS[name]
    with hostile_server(answer) as server:
        (problem,) = capture_from(server.address_of("http"), lake)
    assert f"an answer without end after {DEADLINE_S} s {phase}" in problem


def test_the_deadline_ends_a_dripping_tls_handshake(lake: Lake) -> None:
    with hostile_server(drip(b"\x16\x03\x03\x40\x00\x02\x00", b"\x00", b""), greets=True) as server:
        (problem,) = capture_from(server.address_of("https"), lake)
    assert f"an answer without end after {DEADLINE_S} s (while connecting)" in problem


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue of connections rejects further ones")
def test_the_deadline_ends_a_connection_that_nobody_accepts(lake: Lake) -> None:
    with ExitStack() as stack:
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(mute.getsockname())
        (problem,) = capture_from(f"http://127.0.0.1:{mute.getsockname()[1]}", lake)
    assert f"an answer without end after {DEADLINE_S} s (while connecting)" in problem


def test_a_deadline_is_that_of_one_request_and_not_of_its_connection() -> None:
    # together longer than the deadline, which leaves each of them time on a busy machine
    with hostile_server(once(0.7, reply())) as server, client_of(server.address_of("http"), deadline_s=3.0) as client:
        for _ in range(5):
            assert client.trades("AVLO", START, END).retries == 0
    assert (server.connections, len(server.heads)) == (1, 5)


# --- answers that are no HTTP, no page, too long ----------------------------------------------------------------------
def zipped(size: int) -> bytes:
    """A gzip stream that becomes `size` zeros."""
    return gzip.compress(bytes(size), 1)


def page(results: str, more: str = "") -> bytes:
    return reply(f'{{"results":{results},"status":"OK"{more}}}'.encode())


def trade(**fields: Any) -> str:
    """A row of JSON; a value that is a text is written as it is."""
    row = {
        "sip_timestamp": AT_NS,
        "participant_timestamp": AT_NS,
        "price": "1.5",
        "size": 100,
        "exchange": 4,
        "sequence_number": 1,
        "id": '"7"',
    }
    return "[{" + ",".join(f'"{name}":{value}' for name, value in {**row, **fields}.items()) + "}]"


BOMB: Final = zipped(8 * MAX_BODY_BYTES)
PAGE_ZIP: Final = gzip.compress(GOOD_BODY)
TOO_LONG: Final = "a body of more than 1 MB, which no page of data needs"
HOSTILE: dict[str, tuple[Iterable[Piece], str]] = {
    # bodies that become or are too long
    "a gzip bomb": ([reply(BOMB, "200 OK", GZIP)], TOO_LONG),
    "a gzip bomb that states a short content": ([reply(BOMB[:-4] + b"\x10\0\0\0", "200 OK", GZIP)], TOO_LONG),
    "a gzip bomb that is an error": ([reply(BOMB, "403 Forbidden", GZIP)], "HTTP 403 (the vendor says: nothing"),
    "a gzip bomb that may be repeated": ([reply(BOMB, "503 Busy", GZIP)], "HTTP 503 (the vendor says: nothing"),
    "a gzip bomb in a gzip bomb": ([reply(gzip.compress(BOMB), "200 OK", GZIP)], "not a JSON object"),
    "two encodings": ([reply(gzip.compress(BOMB), "200 OK", "Content-Encoding: gzip, gzip")], "not a JSON object"),
    "a deflate bomb": ([reply(zlib.compress(bytes(1 << 23)), "200 OK", "Content-Encoding: deflate")], "not a JSON"),
    "a long body": ([reply(b" " * (2 * MAX_BODY_BYTES))], TOO_LONG),
    "an error without end": (flood(b"HTTP/1.1 500 Bad\r\n\r\n", b" " * 65_536)(), "HTTP 500"),
    "a body without end": (flood(OK + b"\r\n", b" " * 65_536)(), TOO_LONG),
    "chunks without end": (flood(CHUNKED, chunked(b" " * 65_536))(), TOO_LONG),
    "a chunk without end": (flood(CHUNKED + b"ffffffffffffffff\r\n", b" " * 65_536)(), TOO_LONG),
    "a length without end": (flood(OK + b"Content-Length: %d\r\n\r\n" % 10**18, b" " * 65_536)(), TOO_LONG),
    # gzip that is none
    "content that claims a huge length": ([reply(PAGE_ZIP[:-4] + b"\xff" * 4, "200 OK", GZIP)], "a damaged body"),
    "a wrong checksum": ([reply(PAGE_ZIP[:-8] + b"\0" * 4 + PAGE_ZIP[-4:], "200 OK", GZIP)], "a damaged body"),
    "bytes behind a gzip stream": ([reply(PAGE_ZIP + b"more", "200 OK", GZIP)], "other bytes behind its end"),
    "two gzip streams": ([reply(PAGE_ZIP * 2, "200 OK", GZIP)], "other bytes behind its end"),
    "half a gzip stream": ([reply(PAGE_ZIP[:20], "200 OK", GZIP)], "a body cut short after 20 bytes"),
    "no gzip": ([reply(GOOD_BODY, "200 OK", GZIP)], "a damaged body"),
    # lengths that lie
    "fewer bytes than promised": ([OK + b"Content-Length: 99\r\n\r\n" + GOOD_BODY, None], "a body cut short"),
    "two lengths": ([OK + LENGTH + b"Content-Length: 5\r\n\r\n" + GOOD_BODY], "contradicting lengths"),
    "a length and chunks": (
        [OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(GOOD_BODY) + b"0\r\n\r\n"],
        "contradicting lengths",
    ),
    "chunks without an end": ([CHUNKED + chunked(GOOD_BODY), None], "a body cut short"),
    "a chunk of a size that is no number": ([CHUNKED + b"zz\r\n" + GOOD_BODY], "a body cut short"),
    "a chunk of a negative size": ([CHUNKED + b"-5\r\n" + GOOD_BODY, None], "a body cut short"),
    "an extension of 1 MB": ([CHUNKED + b"5;" + b"x" * (1 << 20)], "LineTooLong"),
    # no HTTP
    "nothing": ([None], "RemoteDisconnected within its headers"),
    "HTTP/0.9": ([GOOD_BODY, None], "BadStatusLine"),
    "HTTP/2": ([b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0\0\5\0\xff\xff\xff", None], "within its headers"),
    "SSH": ([b"SSH-2.0-OpenSSH_9.6\r\n", None], "BadStatusLine"),
    "status 99": ([b"HTTP/1.1 99 Low\r\n\r\n", None], "BadStatusLine"),
    "status 1000": ([b"HTTP/1.1 1000 High\r\n\r\n", None], "BadStatusLine"),
    "status that is no number": ([b"HTTP/1.1 OK 200\r\n\r\n", None], "BadStatusLine"),
    "a status line of 1 MB": ([b"HTTP/1.1 200 " + b"x" * (1 << 20)], "LineTooLong"),
    "100,000 headers": ([OK + b"X-Flood: 1\r\n" * 100_000], "got more than 100 headers"),
    "a header of 10 MB": ([OK + b"X-Flood: " + b"x" * 10_000_000], "LineTooLong"),
    # statuses that are no page
    "switching protocols": ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], "HTTP 101"),
    "early hints": ([b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply()], "HTTP 103"),
    "a part": ([reply(GOOD_BODY, "206 Partial Content")], "HTTP 206"),
    "a redirect to itself": ([reply(b"", "301 Moved", "Location: /v3/trades/AVLO")], "HTTP 301"),
    "an error of 5,000 brackets": ([reply(b"[" * 5_000, "418 Teapot")], "HTTP 418"),
    "half a character in an error": ([reply(b'{"error":"\\ud800 no"}', "400 Bad")], "the vendor says: no;"),
    "half a character in a header": ([reply(b"{}", "500 Bad", "X-Request-Id: \xff\xfe")], "HTTP 500"),
    "a Retry-After of the year 99999999999": (
        [reply(b"", "503 Busy", "Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT")],
        "HTTP 503",
    ),
    "a Retry-After before now": ([reply(b"", "503 Busy", "Retry-After: -9")], "HTTP 503"),
    # bodies that are no page
    "HTML": ([reply(b"<html>log in</html>", "200 OK", "Content-Type: text/html")], "not a JSON object"),
    "an image": ([reply(b"\x89PNG\r\n\x1a\n" + bytes(99), "200 OK", "Content-Type: image/png")], "not a JSON object"),
    "a list": ([reply(b"[]")], "not a JSON object"),
    "two documents": ([reply(GOOD_BODY + GOOD_BODY)], "JSON"),
    "a byte order mark": ([reply(b"\xef\xbb\xbf" + GOOD_BODY)], "not a JSON object"),
    "UTF-16": ([reply(GOOD_BODY.decode().encode("utf-16"))], "not a JSON object"),
    "invalid UTF-8": ([reply(b"{" + bytes([0xFF]) + GOOD_BODY[1:])], "not the promised JSON"),
    "results null": ([page("null")], "no `results`"),
    "results of an object": ([page("{}")], "not the promised JSON"),
    "results of a text": ([page('"none"')], "not the promised JSON"),
    "results of numbers": ([page("[1,2]")], "not the promised JSON"),
    "a row that is null": ([page("[null]")], "1 of 1 row is null"),
    "status 1": ([reply(b'{"results":[],"status":1}')], "not the promised JSON"),
    "nesting in a row": ([page("[" * 5_000 + "]" * 5_000)], "not the promised JSON"),
    "NaN": ([page(trade(price="NaN"))], "not finite"),
    "Infinity": ([page(trade(price="Infinity"))], "not finite"),
    "1e308": ([page(trade(price="1e308"))], "price is above 1,000,000"),
    "1e999": ([page(trade(price="1e999"))], "not the promised JSON"),
    "an integer of 400 digits": ([page(trade(sequence_number="9" * 400))], "not the promised JSON"),
    "a time of 20 digits": ([page(trade(sip_timestamp="99999999999999999999"))], "not the promised JSON"),
    "a time as a fraction": ([page(trade(sip_timestamp=f"{AT_NS}.5"))], "not the promised JSON"),
    "a key twice": ([page(trade(price='1.5,"price":2.5'))], "specified twice"),
    "results twice": ([reply(b'{"results":[],"results":[{}],"status":"OK"}')], "specified twice"),
    "half a character": ([page(trade(id='"\\ud800"'))], "surrogate pair"),
    "a next_url that is no URL": ([page("[]", ',"next_url":"http://[x"')], "is not a URL"),
    "a next_url of another path": ([page("[]", ',"next_url":"http://x/v2/snapshot"')], "leads away"),
    "a next_url of another scheme": ([page("[]", ',"next_url":"file:///etc/passwd"')], "leads away"),
    "a next_url that is a number": ([page("[]", ',"next_url":7')], "not the promised JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_fails_its_window_and_nothing_else(lake: Lake, name: str) -> None:
    pieces, reason = HOSTILE[name]
    with hostile_server(lambda: pieces) as server:
        (problem,) = capture_from(server.address_of("http"), lake, deadline_s=5.0)
    assert problem.startswith("AVLO RTH 20251126T145700_20251126T150700: ")
    assert reason in problem
    assert problem.encode()  # no half of a character, which no file could store
    assert len(server.heads) == 1


# --- where the key goes -----------------------------------------------------------------------------------------------
ELSEWHERE: Final = {
    "a redirect": reply(b"", "302 Found", "Location: http://OTHER/v3/trades/AVLO?cursor=c"),
    "a permanent redirect": reply(b"", "308 Moved", "Location: //OTHER/v3/trades/AVLO"),
    "a refresh": reply(b"", "204 Empty", "Refresh: 0; url=http://OTHER/v3/trades/AVLO"),
    "a next_url of another host": page("[]", ',"next_url":"http://OTHER/v3/trades/AVLO?cursor=c"'),
    "a next_url with a user": page("[]", ',"next_url":"https://api.massive.com@OTHER/v3/trades/AVLO?cursor=c"'),
    "a next_url that splits headers": page(
        "[]", ',"next_url":"/v3/trades/AVLO?c=1 HTTP/1.1\\r\\nHost: OTHER\\r\\nX: "'
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_key_reaches_no_other_host(lake: Lake, name: str) -> None:
    with hostile_server(once(reply())) as other:
        answer = ELSEWHERE[name].replace(b"OTHER", other.address.encode())
        answer = reply(answer.partition(b"\r\n\r\n")[2]) if b"200 OK" in answer else answer
        with hostile_server(once(answer)) as server:
            assert len(capture_from(server.address_of("http"), lake, deadline_s=5.0)) == 1
    assert other.connections == 0
    for head in server.heads:
        assert head.count(b"\r\nHost: %b\r\n" % server.address.encode()) == 1
        assert head.count(b"\r\nHost: ") == 1
        assert head.endswith(b"\r\nAuthorization: Bearer %b\r\n\r\n" % KEY.encode())
