"""The client over real HTTP, against a server that answers from a script."""

import gzip
import json
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import (
    BadPage,
    InputError,
    MarketDataError,
    NotAuthenticated,
    NotEntitled,
    RequestRejected,
    SettingsError,
    Stopped,
    VendorUnavailable,
)
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pacing import TokenBucket
from smallcaps_assets.market_data.pages import MAX_PAGES, Download
from smallcaps_assets.market_data.transport import Transport

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


@dataclass
class Seen:
    path: str
    query: dict[str, str]
    authorization: str | None


class Script:
    """Replies in order, the last one repeated; every request is recorded."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[int], Reply]] = []
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


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    server = Server(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.base = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Rig:
    """A client whose sleeps are recorded and move its clock instead of taking time."""

    client: MarketDataClient
    slept: list[float]


@pytest.fixture
def rig(script: Script) -> Iterator[Rig]:
    slept: list[float] = []
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    with MarketDataClient(
        Transport(script.base, KEY, bucket=bucket, timeout_s=2, sleep=slept.append, jitter=lambda: 0.5)
    ) as client:
        yield Rig(client, slept)


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


def test_next_page_is_requested_from_the_configured_host(script: Script, rig: Rig) -> None:
    vendor_url = "https://api.massive.com/v3/trades/AEMD?cursor=YXA9Ng&x=a%7Cb&apiKey=leaked"
    script.replies = [zipped(page(trade(0), trade(1), next_url=vendor_url)), page(trade(1), trade(2), request_id="r2")]
    fetched = trades(rig)
    assert fetched.frame.schema == TRADES_ALL
    assert fetched.frame["sequence_number"].to_list() == [0, 1, 2]
    assert fetched.frame["size"].to_list() == [1.5, 2.5, 3.5]
    assert (fetched.requests, fetched.retries, fetched.throttled, fetched.pages) == (2, 0, 0, 2)
    assert fetched.request_ids == ("r1", "r2")
    first, second = script.seen
    assert first.path == second.path == "/v3/trades/AEMD"
    assert first.query == {
        "timestamp.gte": str(START_NS),
        "timestamp.lt": str(START_NS + 600_000_000_000),
        "sort": "timestamp",
        "order": "asc",
        "limit": "50000",
    }
    assert second.query == {"cursor": "YXA9Ng", "x": "a|b"}
    assert {seen.authorization for seen in script.seen} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("prefix_comes_back", [True, False])
def test_the_path_of_a_base_url_is_kept_and_not_doubled(script: Script, *, prefix_comes_back: bool) -> None:
    next_path = "/proxy/v3/trades/AEMD" if prefix_comes_back else "/v3/trades/AEMD"
    script.replies = [page(trade(0), next_url=f"http://elsewhere{next_path}?cursor=c"), page(trade(1))]
    with MarketDataClient(Transport(f"{script.base}/proxy/", KEY, bucket=TokenBucket(None))) as client:
        assert client.trades("AEMD", START, END).pages == 2
    assert [seen.path for seen in script.seen] == ["/proxy/v3/trades/AEMD"] * 2


def test_quotes_have_a_separate_path_and_an_empty_answer_is_valid(script: Script, rig: Rig) -> None:
    script.replies = [page()]
    fetched = rig.client.quotes("BRK.B", START, END)
    assert (fetched.frame.schema, fetched.frame.height, fetched.pages) == (QUOTES_ALL, 0, 1)
    assert script.seen[0].path == "/v3/quotes/BRK.B"


def test_bars_are_requested_month_by_month(script: Script, rig: Rig) -> None:
    def bars(start: datetime) -> Reply:
        row = {"o": 1, "h": 1, "l": 1, "c": 1, "v": 10.5, "t": int(start.timestamp() * 1000)}
        head = {"ticker": "AEMD", "adjusted": False, "queryCount": 1, "resultsCount": 1, "count": 1}
        return page(row, **head)

    empty = {"ticker": "AEMD", "adjusted": False, "queryCount": 0, "resultsCount": 0, "status": "OK"}
    script.replies = [
        bars(datetime(2025, 10, 30, 4, 0, tzinfo=UTC)),  # midnight of the first day in New York
        bars(datetime(2025, 12, 1, 4, 59, tzinfo=UTC)),  # the last minute of 30 November there, after the clock change
        Reply(json.dumps(empty).encode()),
    ]
    fetched = rig.client.minute_bars("AEMD", date(2025, 10, 30), date(2025, 12, 1))
    assert (fetched.frame.schema, fetched.frame.height, fetched.pages) == (BARS, 2, 3)
    root = "/v2/aggs/ticker/AEMD/range/1/minute"
    assert [seen.path for seen in script.seen] == [
        f"{root}/2025-10-30/2025-10-31",
        f"{root}/2025-11-01/2025-11-30",
        f"{root}/2025-12-01/2025-12-01",
    ]
    assert script.seen[0].query == {"adjusted": "false", "sort": "asc", "limit": "50000"}


def test_reference_data_keeps_the_latest_row_of_each_symbol(script: Script, rig: Rig) -> None:
    def short(symbol: str, day: str, shares: int) -> dict[str, object]:
        return {"ticker": symbol, "settlement_date": day, "short_interest": shares, "days_to_cover": 1.5}

    next_url = "https://x/stocks/v1/short-interest?cursor=c"
    script.replies = [
        page(short("B", "2026-01-15", 5), short("A", "2026-01-30", 7), next_url=next_url),
        page(short("A", "2026-01-15", 6)),
    ]
    frame = rig.client.reference.short_interest(["B", "A", "C", "A"]).frame
    assert frame.rows() == [("A", 7.0, 1.5, date(2026, 1, 30)), ("B", 5.0, 1.5, date(2026, 1, 15))]
    assert script.seen[0].query["ticker.any_of"] == "A,B,C"


def test_many_symbols_are_requested_in_chunks_and_no_symbols_need_no_request(script: Script, rig: Rig) -> None:
    script.replies = [page()]
    assert rig.client.reference.float_shares([f"S{i:03}" for i in range(401)]).pages == 3
    empty = rig.client.reference.float_shares([])
    assert (empty.requests, empty.frame.columns) == (0, ["symbol", "float_shares", "effective_date"])


def test_tickers_accept_the_vendors_filters(script: Script, rig: Rig) -> None:
    script.replies = [page({"ticker": "AEMD", "active": True, "type": "CS"})]
    assert rig.client.reference.tickers(type="CS", market="stocks").frame["symbol"].to_list() == ["AEMD"]
    assert script.seen[0].query == {
        "type": "CS",
        "market": "stocks",
        "sort": "ticker",
        "order": "asc",
        "limit": "1000",
    }


PASSING = {
    "500": Reply(b"oops", 500),
    "502 with HTML": Reply(b"<html>bad gateway</html>", 502),
    "503": refusal(503, error="maintenance"),
    "504": Reply(b"", 504),
    "a short body": Reply(GOOD.body[:40], declared=len(GOOD.body)),
    "a reset amid the body": Reply(GOOD.body[:40], declared=len(GOOD.body), reset=True),
    "a truncated gzip": zipped(GOOD, keep=60),
    "a body that is no gzip": Reply(GOOD.body, headers={"Content-Encoding": "gzip"}),
    "an empty body": Reply(b""),
    "a body that ends with the connection": Reply(GOOD.body[:-3], declared=-1),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_temporary_failure_is_retried(script: Script, rig: Rig, name: str) -> None:
    script.replies = [PASSING[name], PASSING[name], GOOD]
    fetched = trades(rig)
    assert fetched.frame.height == 2
    assert (fetched.requests, fetched.retries, fetched.throttled) == (3, 2, 0)
    assert rig.slept == [0.5, 1.0]


@pytest.mark.parametrize("name", PASSING)
def test_a_lasting_failure_raises_after_five_retries(script: Script, rig: Rig, name: str) -> None:
    script.replies = [PASSING[name]]
    with pytest.raises(VendorUnavailable, match="GET /v3/trades/AEMD for trades failed 6 times, the last time with"):
        trades(rig)
    assert rig.slept == [0.5, 1.0, 2.0, 4.0, 8.0]
    totals = rig.client.totals()
    assert (totals.requests_sent, totals.retries, totals.throttled) == (6, 5, 0)


def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        client = MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None), max_retries=1, sleep=lambda _: None))
        with client, pytest.raises(VendorUnavailable, match=r"2 times.*ConnectionRefusedError while connecting"):
            client.trades("AEMD", START, END)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        base = f"http://127.0.0.1:{mute.getsockname()[1]}"
        client = MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None), max_retries=0, timeout_s=0.05))
        with client, pytest.raises(VendorUnavailable, match=r"a silence of 0.05 s \(within its headers\)"):
            client.trades("AEMD", START, END)


@pytest.mark.parametrize(
    ("headers", "waited"),
    [
        ({}, 2.0),
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "86400"}, 300.0),
        ({"Retry-After": "0"}, 2.0),
        ({"Retry-After": "-5"}, 2.0),
        ({"Retry-After": "soon"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, 300.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 2.0),
        ({"Retry-After": "Wed, 21 Oct 2099 99:99:99 GMT"}, 2.0),
        ({"Retry-After": "9" * 400}, 300.0),
    ],
)
def test_throttling_waits_as_long_as_requested_and_pauses_all_threads(
    script: Script, rig: Rig, headers: dict[str, str], waited: float
) -> None:
    script.replies = [Reply(TOO_MANY.body, 429, headers), GOOD]
    fetched = trades(rig)
    assert (fetched.requests, fetched.retries, fetched.throttled) == (2, 1, 1)
    assert rig.slept == pytest.approx([waited])


@pytest.mark.parametrize("days_off", [-400, 400])
def test_a_retry_after_date_is_compared_with_the_servers_clock(script: Script, rig: Rig, days_off: int) -> None:
    server_now = datetime.now(UTC) + timedelta(days=days_off)
    headers = {"Date": http_date(server_now), "Retry-After": http_date(server_now + timedelta(seconds=90))}
    script.replies = [Reply(b"", 429, headers), GOOD]
    trades(rig)
    assert rig.slept == pytest.approx([90.0])


def test_a_retry_after_date_without_a_date_header_is_compared_with_our_clock(script: Script, rig: Rig) -> None:
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    script.replies = [Reply(b"", 429, {"Retry-After": http_date(in_an_hour)}, dated=False), GOOD]
    trades(rig)
    # the longest wait that is accepted; without a usable date it would be the backoff of 2 s
    assert rig.slept == pytest.approx([300.0])


def test_retry_after_of_an_unavailable_service_is_respected(script: Script, rig: Rig) -> None:
    script.replies = [Reply(b"", 503, {"Retry-After": "7"}), GOOD]
    trades(rig)
    assert rig.slept == [7.0]


def test_every_attempt_reserves_a_token(script: Script) -> None:
    slept: list[float] = []
    bucket = TokenBucket(60, clock=lambda: sum(slept))
    script.replies = [Reply(b"", 500), GOOD]
    with MarketDataClient(
        Transport(script.base, KEY, bucket=bucket, sleep=slept.append, jitter=lambda: 0.25)
    ) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (refusal(401, error="Unknown API Key"), NotAuthenticated, ["Unknown API Key", "MASSIVE_API_KEY", "r9"]),
        (
            refusal(403, message="You are not entitled"),
            NotEntitled,
            ["You are not entitled", "trades", "separate", "r9"],
        ),
        (refusal(400, error="bad timestamp"), RequestRejected, ["HTTP 400", "bad timestamp"]),
        (refusal(404, message="Ticker not found."), RequestRejected, ["HTTP 404", "Ticker not found."]),
        (Reply(b"[" * 5000, 418), RequestRejected, ["HTTP 418"]),
        (Reply(b"", 302, {"Location": "http://127.0.0.2/v3/trades/AEMD"}), RequestRejected, ["HTTP 302", "base_url"]),
        (Reply(b"", 204), BadPage, ["HTTP 204"]),
    ],
)
def test_a_rejected_request_is_not_retried_and_names_the_reason(
    script: Script, rig: Rig, reply: Reply, error: type[MarketDataError], words: list[str]
) -> None:
    script.replies = [reply]
    with pytest.raises(error) as caught:
        trades(rig)
    for word in ["GET /v3/trades/AEMD", *words]:
        assert word in str(caught.value)
    assert (len(script.seen), rig.slept) == (1, [])


NEXT = "http://x/v3/trades/AEMD?cursor=again"


def leading_to(path: str) -> list[Reply | Callable[[int], Reply]]:
    """A page whose `next_url` has this path, then a good last page, which must not be requested."""
    return [page(trade(0), next_url=f"http://x{path}?cursor=c"), page(trade(1))]


# answers, the reason for their rejection, and the number of requests until then
BAD: dict[str, tuple[list[Reply | Callable[[int], Reply]], str, int]] = {
    "HTML with 200": (
        [Reply(b"<html>login</html>", headers={"Content-Type": "text/html"})],
        "18 bytes that are not a JSON object",
        1,
    ),
    "no results": ([Reply(b'{"status":"OK","request_id":"r1"}')], "no `results`, which is not the same as an", 1),
    "null results": ([Reply(b'{"status":"OK","results":null}')], "no `results`, which is not the same as an", 1),
    "an error with 200": ([page(status="ERROR")], "status 'ERROR' is not one of OK, DELAYED", 1),
    "a text price": (
        [page(trade(0, price="3.25"))],
        "not the promised JSON: JSON parse error: Column(/results/[]/price",
        1,
    ),
    "a float time": (
        [page(trade(0, sip_timestamp=float(START_NS)))],
        "not the promised JSON: Failed to convert JSON to int64",
        1,
    ),
    "another window": (
        [page(trade(0, sip_timestamp=START_NS - 1))],
        f"1 of 1 row lies outside the requested window, the first at {START_NS - 1}",
        1,
    ),
    "descending": ([page(trade(4), trade(0))], "`sip_timestamp` is not in ascending order", 1),
    "pages run backwards": (
        [page(trade(4), next_url=NEXT), page(trade(0))],
        f"pages run backwards: one ends at {START_NS + 2}, the next at {START_NS}",
        2,
    ),
    "a broken second page": ([page(trade(0), next_url=NEXT), Reply(b"{}")], "status None is not one of", 2),
    "a cursor that loops": (
        [page(trade(0), next_url=NEXT), page(trade(1), next_url=NEXT), page(trade(2))],
        "was followed before: the cursor loops",
        2,
    ),
    "another ticker": (leading_to("/v3/trades/AEM"), "leads away from /v3/trades/AEMD", 1),
    "a ticker that begins alike": (leading_to("/v3/trades/AEMDW"), "leads away from /v3/trades/AEMD", 1),
    "steps up": (leading_to("/v3/trades/AEMD/../AEM"), "leads away from /v3/trades/AEMD", 1),
    "steps up, escaped": (leading_to("/v3/trades/AEMD/%2e%2e/AEM"), "leads away from /v3/trades/AEMD", 1),
    "steps up at the end": (leading_to("/v3/trades/AEMD/.."), "leads away from /v3/trades/AEMD", 1),
    "no path": ([page(trade(0), next_url=""), page(trade(1))], "leads away from /v3/trades/AEMD", 1),
    "no URL": (
        [page(trade(0), next_url="http://[x/v3/trades/AEMD?cursor=c"), page(trade(1))],
        "`next_url` 'http://[x/v3/trades/AEMD?cursor=c' is not a URL",
        1,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_answer_is_rejected_without_retry_and_with_its_reason(script: Script, rig: Rig, name: str) -> None:
    replies, reason, requests = BAD[name]
    script.replies = [*replies]
    with pytest.raises(BadPage, match="GET /v3/trades/AEMD for trades: ") as caught:
        trades(rig)
    assert reason in str(caught.value)
    assert (len(script.seen), rig.slept) == (requests, [])


@pytest.mark.slow
def test_endless_pages_are_rejected(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(trade(n), next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match=f"{MAX_PAGES} pages and no end"):
        trades(rig)
    assert len(script.seen) == MAX_PAGES


def test_a_long_series_of_empty_pages_is_rejected(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match="page 11 has no rows, as the 10 before it"):
        trades(rig)
    assert len(script.seen) == 11


def test_pages_that_alternate_are_rejected_at_the_third(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(trade(10 * (n % 2)), next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match="pages run backwards"):
        trades(rig)
    assert len(script.seen) <= 3


def test_next_page_of_bars_must_have_the_same_path(script: Script, rig: Rig) -> None:
    head = {"ticker": "AEMD", "adjusted": False, "queryCount": 1, "resultsCount": 1, "count": 1}
    rows = [{"o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "t": 1_760_441_340_000 + i * 60_000} for i in range(2)]
    root = "http://x/v2/aggs/ticker"
    query = "1760441400000/2025-10-14?cursor=c"
    script.replies = [page(rows[0], next_url=f"{root}/AEMD/range/1/minute/{query}", **head), page(rows[1], **head)]
    assert rig.client.minute_bars("AEMD", date(2025, 10, 14), date(2025, 10, 14)).frame.height == 2
    assert script.seen[1].path.endswith("/1760441400000/2025-10-14")
    script.replies = [page(rows[0], next_url=f"{root}/AEMD/range/1/day/{query}", **head)]
    with pytest.raises(BadPage, match="leads away"):
        rig.client.minute_bars("AEMD", date(2025, 10, 14), date(2025, 10, 14))


ECHOES = {
    "401": [refusal(401, error=f"Unknown API Key {KEY}")],
    "403 in the last characters": [refusal(403, message="x" * 290 + KEY)],
    "a request id": [Reply(b"", 400, {"X-Request-Id": KEY})],
    "every retry": [refusal(500, error=f"cannot serve {KEY}")],
    "a status": [page(status=KEY)],
    "a next_url": [page(trade(0), next_url=f"http://x/{KEY}?token={KEY}")],
    "a value": [page(trade(0, decimal_size=KEY))],
    "HTML": [Reply(f"<html>{KEY}</html>".encode())],
    "broken HTTP": [Reply(f"{KEY}\r\n".encode(), headers={"Transfer-Encoding": "chunked"}, declared=-1)],
    "a redirect": [Reply(b"", 307, {"Location": f"http://127.0.0.2/?apiKey={KEY}"})],
    "a short body": [Reply(KEY.encode(), declared=4000)],
}


@pytest.mark.parametrize("name", ECHOES)
def test_the_key_appears_in_no_error_and_no_log(
    script: Script, rig: Rig, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    script.replies = [*ECHOES[name]]
    with pytest.raises(MarketDataError) as caught:
        trades(rig)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    shown = "".join(traceback.format_exception(caught.value))
    for text in (shown, str(caught.value), repr(caught.value), caplog.text, repr(rig.client), repr(vars(rig.client))):
        assert KEY not in text
        assert KEY[:12] not in text


@pytest.mark.parametrize("reply", [refusal(401, error="Unknown API Key"), Reply(b"", 500), page(status="ERROR")])
def test_the_key_is_in_no_local_variable_of_a_traceback(script: Script, rig: Rig, reply: Reply) -> None:
    script.replies = [reply]
    with pytest.raises(MarketDataError) as caught:
        trades(rig)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert KEY not in "".join(shown.format())


def test_an_echoed_key_reaches_no_result(script: Script, rig: Rig) -> None:
    script.replies = [page(request_id=f"for-{KEY}")]
    assert trades(rig).request_ids == ("for-***",)


def test_a_netrc_does_not_replace_the_key(
    script: Script, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    script.replies = [GOOD]
    trades(rig)
    assert script.seen[0].authorization == f"Bearer {KEY}"


@pytest.mark.parametrize("key", [" k3y-of-tests", "k3y-of-tests\n", "k3ý-of-tests", "a k3y-of-tests", "k3y", "k3y-of-"])
def test_an_unusable_key_is_rejected_without_being_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        MarketDataClient(Transport("http://127.0.0.1", key, bucket=TokenBucket(None)))
    assert key not in str(caught.value)
    with pytest.raises(NotAuthenticated, match="MASSIVE_API_KEY"):
        MarketDataClient(Transport("http://127.0.0.1", "", bucket=TokenBucket(None)))


@pytest.mark.parametrize(
    "base",
    [
        "",
        "api.massive.com",
        "ftp://x",
        "http://u:p@x",
        f"http://x?apiKey={KEY}",
        "http://x#a",
        "http://x:99999",
        "http://[x",
    ],
)
def test_an_invalid_base_url_is_rejected(base: str) -> None:
    with pytest.raises(SettingsError, match="base_url") as caught:
        MarketDataClient(Transport(base, KEY, bucket=TokenBucket(None)))
    assert KEY not in str(caught.value)


def test_the_key_leaves_this_machine_only_encrypted() -> None:
    for base in ("http://api.massive.com", "http://localhost.evil.com", "http://0.0.0.0"):
        with pytest.raises(SettingsError, match="would send the API key unencrypted"):
            Transport(base, KEY, bucket=TokenBucket(None))
    transport = Transport("https://api.massive.com", KEY, bucket=TokenBucket(None))
    assert transport.target_of("http://evil.com/v3/trades/AEMD?cursor=c") == "/v3/trades/AEMD?cursor=c"
    for outside in ("@evil.com/v3/trades/AEMD", ".evil.com/v3", ":8080/v3", "%2Fv3/trades"):
        with pytest.raises(ValueError, match="no absolute path"):
            transport.target_of(outside)
    transport.close()


@pytest.mark.parametrize("proxy", ["http://user:{}@[proxy", "http://user:{}#@127.0.0.1:9", "ftp://user:{}@proxy"])
def test_the_password_of_a_proxy_is_in_no_error_and_no_log(
    proxy: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.format("hunter2"))
    transport = Transport("https://vendor.invalid", KEY, bucket=TokenBucket(None), max_retries=0)
    with MarketDataClient(transport) as client, pytest.raises(SettingsError, match="HTTPS_PROXY") as caught:
        client.trades("AEMD", START, END)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "hunter2" not in shown


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "[::1]"])
def test_no_proxy_is_used_on_this_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://no-proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    transport = Transport(f"https://{host}:9", KEY, bucket=TokenBucket(None), max_retries=0)
    with MarketDataClient(transport) as client, pytest.raises(VendorUnavailable, match="while connecting"):
        client.trades("AEMD", START, END)


def test_a_request_with_invalid_arguments_is_not_sent(script: Script, rig: Rig) -> None:
    with pytest.raises(InputError, match="symbol"):
        rig.client.trades("../AEMD", START, END)
    with pytest.raises(ValueError, match="time zone"):
        rig.client.trades("AEMD", START.replace(tzinfo=None), END)
    with pytest.raises(ValueError, match="after the start"):
        rig.client.quotes("AEMD", START, START)
    with pytest.raises(ValueError, match="before the first"):
        rig.client.minute_bars("AEMD", date(2025, 10, 2), date(2025, 10, 1))
    assert script.seen == []


def test_a_download_reports_its_waiting_time_and_the_request_id_of_the_header(script: Script, rig: Rig) -> None:
    body = json.dumps({"results": [trade(0)], "status": "OK"}).encode()
    script.replies = [Reply(b"", 503, {"Retry-After": "7"}), Reply(body, headers={"X-Request-Id": "h1"})]
    fetched = trades(rig)
    assert (fetched.waited_s, fetched.request_ids) == (7.0, ("h1",))


def test_nothing_is_sent_once_a_stop_is_set(script: Script, rig: Rig) -> None:
    script.replies = [GOOD]
    stop = threading.Event()
    stopped = rig.client.until(stop)
    assert stopped.trades("AEMD", START, END).frame.height == 2
    stop.set()
    with pytest.raises(Stopped):
        stopped.trades("AEMD", START, END)
    assert len(script.seen) == 1
    # the client that it was made from continues
    trades(rig)
    assert len(script.seen) == 2


def test_a_request_waits_again_after_another_was_throttled(script: Script) -> None:
    slept: list[float] = []
    bucket = TokenBucket(60, clock=lambda: sum(slept))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:  # meanwhile another thread receives a Retry-After of 30 s
            bucket.penalise(30)

    script.replies = [GOOD]
    bucket.reserve()
    with MarketDataClient(Transport(script.base, KEY, bucket=bucket, sleep=sleep)) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([1.0, 30.0])
    assert len(script.seen) == 1


def test_a_proxy_of_the_environment_is_not_used_on_this_machine(
    script: Script, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    script.replies = [GOOD]
    assert trades(rig).requests == 1


@pytest.mark.parametrize(
    ("headers", "jitter", "waited"),
    [
        ({}, 1.0, 4.0),  # the backoff
        ({}, 0.0, 2.0),  # the rate, which was one request a second, is halved
        ({"Retry-After": "1"}, 1.0, 1.0),  # neither
    ],
)
def test_a_429_without_a_hint_also_slows_down(
    script: Script, headers: dict[str, str], jitter: float, waited: float
) -> None:
    slept: list[float] = []
    script.replies = [Reply(TOO_MANY.body, 429, headers), GOOD]
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    transport = Transport(script.base, KEY, bucket=bucket, sleep=slept.append, jitter=lambda: jitter)
    with MarketDataClient(transport) as client:
        client.trades("AEMD", START, END)
    assert slept == pytest.approx([waited])


def test_answers_with_429_do_not_count_as_failed_attempts(script: Script, rig: Rig) -> None:
    script.replies = [*[TOO_MANY] * 3, *[Reply(b"", 503)] * 3, *[TOO_MANY] * 3, GOOD]
    fetched = trades(rig)
    assert (fetched.requests, fetched.retries, fetched.throttled) == (10, 9, 6)


def test_a_pause_before_a_retry_grows_to_a_minute_at_most(script: Script) -> None:
    slept: list[float] = []
    script.replies = [Reply(b"", 503)] * 9 + [GOOD]
    bucket = TokenBucket(None, clock=lambda: sum(slept))
    transport = Transport(script.base, KEY, bucket=bucket, max_retries=9, sleep=slept.append, jitter=lambda: 1.0)
    with MarketDataClient(transport) as client:
        assert client.trades("AEMD", START, END).retries == 9
    assert slept == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60])


def test_threads_share_a_client(script: Script, rig: Rig) -> None:
    ids = count()
    script.replies = [lambda _: page(trade(next(ids) % 5))]
    heights: list[int] = []

    def work() -> None:
        heights.extend(trades(rig).frame.height for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heights == [1] * 20
    assert rig.client.totals().requests_sent == 20
