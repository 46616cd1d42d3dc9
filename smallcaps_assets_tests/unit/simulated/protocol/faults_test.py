import gzip
import http.client
import json
import socket
import zlib
from argparse import Namespace
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Thread
from urllib.parse import parse_qsl, urlsplit

import pytest

from smallcaps_assets.commands import exchange as command
from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.fault_pages import PAGE_FAULTS
from smallcaps_assets.simulated.protocol.faults import FAULT_KINDS, SECONDS, Fault, FaultyExchange, fault_script
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Delivery, Reply
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at

KEY = {"Authorization": "Bearer anything", "Host": "127.0.0.1:8080"}
STATUS = "/v1/marketstatus/now"
TRADES = "/v3/trades/AVLO"
QUOTES = "/v3/quotes/AVLO"
BARS = "/v2/aggs/ticker/AVLO/range/1/minute/2025-11-13/2025-11-14"
TICKERS = "/v3/reference/tickers"
DAY = {"timestamp": "2025-11-13", "order": "asc"}
HOUR = {"timestamp.gte": "2025-11-13T15:00:00Z", "timestamp.lt": "2025-11-13T16:00:00Z"}
FIRST_STRUCK = [1, 5, 8, 11, 13, 31, 33, 38, 39, 44, 45, 51, 52, 55, 57]
MINUTES = {**HOUR, "timestamp.lt": "2025-11-13T15:10:00Z"}


@pytest.fixture(scope="module")
def exchange(small_market):
    return Exchange(small_market, clock=at(LATER))


def always(fault, **fields):
    return Fault(fault, rate=1.0, **fields)


def get(exchange, path, /, **query):
    reply = exchange.reply(path, {name: str(value) for name, value in query.items()}, KEY)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def step(exchange, url):
    address = urlsplit(url)
    return get(exchange, address.path, **dict(parse_qsl(address.query)))


def follow(exchange, path, /, **query):
    """All pages of an answer, which must end."""
    pages = [get(exchange, path, **query)]
    while "next_url" in pages[-1]:
        pages.append(step(exchange, pages[-1]["next_url"]))
        assert len(pages) < 1000
    return [page.get("results", []) for page in pages]


def flat(pages):
    return [row for page in pages for row in page]


def first_times(rows):
    """Rows without exact repeats."""
    return list({json.dumps(row): row for row in rows}.values())


def order_of(rows):
    return [(row["sip_timestamp"], row["sequence_number"]) for row in rows]


@contextmanager
def asking(exchange, *script, seed=0):
    """A function that sends one GET over HTTP to the exchange under faults."""
    with serve(FaultyExchange(exchange, script, seed)) as server:
        connections = []

        def ask(path=STATUS, **headers):
            connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
            connections.append(connection)
            connection.request("GET", path, headers={"Authorization": "Bearer x", **headers})
            response = connection.getresponse()
            return response, response.read()

        yield ask
        for connection in connections:
            connection.close()


# --- scripts


def test_a_script_is_read():
    script = fault_script(
        '[{"fault": "429_retry_after", "rate": 0.5, "path": "/v3/", "seconds": 2},'
        ' {"fault": "reset", "requests": [3, 7]}, {"fault": "drip", "rate": 0}]'
    )
    assert script == (
        Fault("429_retry_after", rate=0.5, path="/v3/", seconds=2.0),
        Fault("reset", requests=(3, 7)),
        Fault("drip"),
    )
    assert [str(fault) for fault in script] == [
        "429_retry_after (2 s) at rate 0.5 of /v3/",
        "reset at request 3, 7",
        "drip (10 s) never",
    ]
    assert fault_script("[]") == ()


def test_every_kind_can_be_scripted():
    for kind in FAULT_KINDS:
        rule = {"fault": kind, "rate": 1} | ({"seconds": 0.5} if kind in SECONDS else {})
        assert fault_script(json.dumps([rule])) == (always(kind, seconds=rule.get("seconds")),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", ["not usable JSON", "list such as"]),
        ("[" * 100_000, ["not usable JSON"]),
        ('{"fault": "500"}', ["{'fault': '500'}", "Give a list"]),
        ('[{"fault": "500", "rate": 1}, 7]', ["rule 2 of 2", "7", "object"]),
        ('[{"fault": "teapot", "rate": 1}]', ["rule 1 of 1", "`fault`", "'teapot'", "'429'"]),
        ('[{"fault": 429, "rate": 1}]', ["`fault`", "429"]),
        ('[{"fault": ["429"], "rate": 1}]', ["`fault`", "['429']"]),
        ('[{"rate": 1}]', ["`fault`", "None"]),
        ('[{"fault": "500", "rat": 1}]', ["`rat`", "fault, rate, requests, path, seconds"]),
        ('[{"fault": "500"}]', ["`rate`", "never applies"]),
        ('[{"fault": "500", "rate": 1.5}]', ["`rate`", "1.5", "0 to 1"]),
        ('[{"fault": "500", "rate": NaN}]', ["NaN is no number of JSON"]),
        ('[{"fault": "500", "rate": true}]', ["`rate`", "True"]),
        ('[{"fault": "500", "rate": "1"}]', ["`rate`", "'1'"]),
        ('[{"fault": "500", "requests": 3}]', ["`requests`", "3", "from 1"]),
        ('[{"fault": "500", "requests": [0]}]', ["`requests`", "[0]"]),
        ('[{"fault": "500", "requests": [1.0]}]', ["`requests`", "[1.0]"]),
        ('[{"fault": "500", "requests": [true]}]', ["`requests`", "[True]"]),
        ('[{"fault": "500", "rate": 1, "path": 3}]', ["`path`", "3"]),
        ('[{"fault": "500", "rate": 1, "seconds": 3}]', ["`seconds`", "leave it out"]),
        ('[{"fault": "drip", "rate": 1, "seconds": -1}]', ["`seconds`", "-1"]),
        ('[{"fault": "drip", "rate": 1, "seconds": Infinity}]', ["Infinity is no number of JSON"]),
        ('[{"fault": "drip", "rate": 1, "seconds": null}]', ["`seconds`", "None"]),
    ],
)
def test_a_wrong_script_is_named(text, words):
    with pytest.raises(InputError) as caught:
        fault_script(text)
    for word in words:
        assert word in str(caught.value)


def test_the_command_names_a_file_it_cannot_use(tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('[{"fault": "teapot"}]')
    for given, words in ((tmp_path / "none.json", "cannot read"), (tmp_path, "cannot read"), (wrong, "'teapot'")):
        with pytest.raises(InputError, match=words) as caught:
            command.run(Namespace(faults=str(given)))
        assert str(given) in str(caught.value)
    with pytest.raises(InputError, match="'teapot'"):
        command.run(Namespace(faults=' [{"fault": "teapot"}]'))


# --- which requests are struck


def statuses(exchange, script, count, seed=0, path=STATUS):
    faulty = FaultyExchange(exchange, script, seed)
    return [faulty.reply(path, {}, KEY).status for _ in range(count)]


def test_rates_are_kept_the_same_way_every_time(exchange):
    script = [Fault("500", rate=0.1), Fault("503", rate=0.1)]
    seen = statuses(exchange, script, 1000)
    assert seen == statuses(exchange, script, 1000)
    assert Counter(seen) == {200: 826, 500: 93, 503: 81}
    assert [number for number, status in enumerate(seen[:60], 1) if status != 200] == FIRST_STRUCK
    other = statuses(exchange, script, 1000, seed=1)
    assert other != seen
    assert Counter(other) == {200: 822, 500: 88, 503: 90}


def test_a_rate_of_one_is_always_and_of_zero_never(exchange):
    assert set(statuses(exchange, [Fault("500"), always("503")], 200)) == {503}


def test_requests_are_counted_from_one_whatever_their_path(exchange):
    script = [Fault("503", requests=(2, 4), path="/v3/"), Fault("500", requests=(3, 4))]
    faulty = FaultyExchange(exchange, script)
    paths = [STATUS, STATUS, STATUS, "/v3/nothing", STATUS]
    assert [faulty.reply(path, {}, KEY).status for path in paths] == [200, 200, 500, 503, 200]
    assert faulty.counts() == {"500": 1, "503": 1}


def test_a_path_is_matched_decoded(exchange):
    faulty = FaultyExchange(exchange, [always("500", path="/AVLO")])
    assert faulty.reply("/v3/trades/%41VLO", {"limit": "1"}, KEY).status == 500
    assert faulty.reply("/v3/trades/BNRX", {"limit": "1"}, KEY).status == 200


def test_threads_share_one_count(exchange):
    script = [Fault("500", rate=0.3)]
    alone = statuses(exchange, script, 400)
    faulty = FaultyExchange(exchange, script)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: faulty.reply(STATUS, {}, KEY).status, range(400)))
    assert Counter(together) == Counter(alone)
    assert faulty.counts() == {"500": alone.count(500)}


def test_an_empty_script_changes_nothing(small_market):
    plain, faulty = (Exchange(small_market, clock=at(LATER)) for _ in range(2))
    faulty = FaultyExchange(faulty, [])
    for path, query in ((TRADES, {"limit": "10"}), (TICKERS, {}), ("/v9", {}), (TRADES, {"cursor": "###"})):
        assert faulty.reply(path, query, KEY) == plain.reply(path, query, KEY)


# --- refusals


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


# --- faults on the way


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


# --- faults of pages


def test_results_are_missing(exchange):
    with asking(exchange, always("no_results")) as ask:
        answers = [ask(f"{path}?limit=3") for path in (TRADES, QUOTES, BARS, TICKERS, f"{TICKERS}/AVLO")]
    for response, body in answers:
        assert response.status == 200
        assert response.getheader("X-Item-Count") is None
        assert "results" not in json.loads(body)
        assert json.loads(body)["status"] == "OK"


@pytest.mark.parametrize("fault", PAGE_FAULTS)
def test_answers_without_rows_are_left_alone(exchange, fault):
    faulty = FaultyExchange(exchange, [always(fault)])
    for path, query in ((TRADES, {"limit": "0"}), (TRADES, {"cursor": "###"}), ("/v9", {}), ("/v3", {}), (STATUS, {})):
        expected = exchange.reply(path, query, KEY)
        reply = faulty.reply(path, query, KEY)
        assert reply.status == expected.status
        assert reply.body.partition(b"request_id")[0] == expected.body.partition(b"request_id")[0]
    assert faulty.counts() == {}


@pytest.mark.parametrize("path", [TRADES, BARS, TICKERS])
def test_a_loop_leads_to_itself_for_ever(exchange, path):
    expected = get(exchange, path, limit=2)
    faulty = FaultyExchange(exchange, [Fault("loop", requests=(1,))])
    first = get(faulty, path, limit=2)
    second = step(faulty, first["next_url"])
    third = step(faulty, second["next_url"])
    assert first["next_url"] == second["next_url"] == third["next_url"]
    assert first["results"] == second["results"] == third["results"] == expected["results"]
    assert faulty.counts() == {"loop": 1}


def test_an_endless_cursor_is_new_each_time(exchange):
    expected = get(exchange, QUOTES, **DAY, limit=3)
    faulty = FaultyExchange(exchange, [Fault("endless", requests=(2,)), Fault("drip", requests=(4,))])
    page = get(faulty, QUOTES, **DAY, limit=3)
    assert page["results"] == expected["results"]
    following = step(exchange, page["next_url"])
    seen = {page["next_url"]}
    for _ in range(10):
        page = step(faulty, page["next_url"])
        assert page["results"] == following["results"]
        seen.add(page["next_url"])
    assert len(seen) == 11
    assert faulty.counts() == {"endless": 1, "drip": 1}


def test_the_way_back_from_an_endless_cursor_is_open(exchange):
    faulty = FaultyExchange(exchange, [Fault("endless", requests=(1,))])
    assert "next_url" in get(faulty, TICKERS)
    assert "next_url" not in get(faulty, TICKERS)


def test_addresses_name_the_host_and_not_the_key(exchange):
    faulty = FaultyExchange(exchange, [always("endless")])
    reply = faulty.reply(TICKERS, {"apiKey": "secret"}, {"host": "here:1"})
    url = json.loads(reply.body)["next_url"]
    assert url.startswith(f"http://here:1{TICKERS}?cursor=")
    assert reply.headers["Link"] == f'<{url}>; rel="next"'
    assert faulty.reply(TICKERS, dict(parse_qsl(urlsplit(url).query)), {}).status == 401


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (TRADES, {**HOUR, "order": "asc", "limit": 100}),
        (TRADES, {**HOUR, "order": "desc", "limit": 100}),
        (TRADES, {**MINUTES, "order": "asc", "limit": 6}),
        (TRADES, {**MINUTES, "order": "asc", "limit": 4}),
        (QUOTES, {**HOUR, "order": "asc", "limit": 50_000}),
        (BARS, {"limit": 100, "sort": "asc"}),
        (BARS, {"limit": 50_000}),
        (BARS, {"limit": 100, "sort": "desc"}),
        (BARS.replace("/1/minute", "/1/hour"), {"limit": 600}),
        (TICKERS, {"limit": 2}),
    ],
)
def test_repeated_rows_end_and_join_to_the_undisturbed_answer(exchange, path, query):
    plain = flat(follow(exchange, path, **query))
    faulty = FaultyExchange(exchange, [always("repeat")])
    pages = follow(faulty, path, **query)
    assert len(flat(pages)) > len(plain)
    assert first_times(flat(pages)) == plain
    assert faulty.counts() == {"repeat": len(pages) // 2}


@pytest.mark.parametrize(("path", "query"), [(TRADES, HOUR), (QUOTES, HOUR), (BARS, {})])
def test_a_repeat_begins_with_the_last_five_rows(exchange, path, query):
    faulty = FaultyExchange(exchange, [Fault("repeat", requests=(2, 4))])
    order = {"sort": "asc"} if path == BARS else {"order": "asc"}
    first, second, third, *rest = follow(faulty, path, **query, **order, limit=40)
    assert second[0] not in first
    assert third[:5] == second[-5:]
    assert len(third) == 40
    assert third[5] not in second
    assert first_times(flat([first, second, third, *rest])) == flat(follow(exchange, path, **query, **order, limit=40))


class Clustered:
    """A market of one day whose trades of AVLO all share one time and one sequence number."""

    def __init__(self, market, count):
        trades = market.trades("AVLO", 1_763_000_000_000_000_000, 1_763_080_000_000_000_000).head(count)
        self._trades = trades.with_columns(
            timestamp=trades["timestamp"][0], sequence_number=trades["sequence_number"][0]
        )
        self._market = market

    def __getattr__(self, name):
        return getattr(self._market, name)

    def trades(self, _symbol, start_ns, end_ns):
        at_ns = self._trades["timestamp"].dt.epoch("ns")
        return self._trades.filter((at_ns >= start_ns) & (at_ns < end_ns))


def test_rows_that_share_their_place_are_repeated_exactly(small_market):
    exchange = Exchange(Clustered(small_market, 60), clock=at(LATER))
    plain = flat(follow(exchange, TRADES, **DAY, limit=8))
    assert len(plain) == 60
    assert len(set(order_of(plain))) == 1
    pages = follow(FaultyExchange(exchange, [always("repeat")]), TRADES, **DAY, limit=8)
    assert first_times(flat(pages)) == plain
    for before, after in zip(pages[::2], pages[1::2], strict=True):
        assert after[:5] == before[-5:]


# --- rows as they are given later


def republished(exchange, path, seed=0, **query):
    faulty = FaultyExchange(exchange, [always("republish")], seed)
    reply = faulty.reply(path, {name: str(value) for name, value in query.items()}, KEY)
    rows = json.loads(reply.body)["results"]
    assert reply.headers["X-Item-Count"] == str(len(rows))
    assert faulty.counts() == {"republish": 1}
    return rows


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("path", [TRADES, QUOTES])
def test_republished_rows_keep_their_order(exchange, path, order):
    query = {"timestamp": "2025-11-13", "order": order, "limit": 50_000}
    plain = get(exchange, path, **query)["results"]
    rows = republished(exchange, path, **query)
    places = order_of(rows)
    assert places == sorted(places, reverse=order == "desc")
    assert len(set(places)) == len(places)
    before = dict(zip(order_of(plain), plain, strict=True))
    after = dict(zip(places, rows, strict=True))
    added = after.keys() - before.keys()
    changed = [place for place in after.keys() & before.keys() if after[place] != before[place]]
    assert len(before.keys() - after.keys()) == pytest.approx(len(plain) / 40, rel=0.25)
    assert len(added) == pytest.approx(len(plain) / 40, rel=0.25)
    assert len(changed) == pytest.approx(len(plain) / 20, rel=0.25)
    assert len({row["sequence_number"] for row in rows}) == len(rows)
    for place in changed:
        differing = {name for name in after[place] if after[place][name] != before[place].get(name)}
        if path == TRADES:
            assert differing == {"correction"}
            assert after[place]["correction"] == 1
        else:
            assert differing in ({"bid_size"}, {"ask_size"})
    if path == TRADES:
        assert len({row["id"] for row in rows}) == len(rows)


def test_the_same_rows_are_republished_the_same_way(exchange):
    query = {**DAY, "limit": 2000}
    rows = republished(exchange, TRADES, **query)
    assert rows == republished(exchange, TRADES, **query)
    assert rows != republished(exchange, TRADES, seed=1, **query)


def test_pages_are_republished_each_by_itself(exchange):
    faulty = FaultyExchange(exchange, [always("republish")])
    pages = follow(faulty, TRADES, **DAY, limit=500)
    places = order_of(flat(pages))
    assert len(pages) > 3
    assert places == sorted(set(places))


def test_a_row_is_added_wherever_there_is_room_and_nowhere_else():
    class Fixed:
        def __init__(self, places):
            self.rows = [
                {"id": str(number), "price": 1.0, "sip_timestamp": when, "sequence_number": sequence}
                for number, (when, sequence) in enumerate(places)
            ]

        def reply(self, *_):
            return Reply(200, {}, json.dumps({"results": self.rows}).encode())

    def added(places):
        rows = get(FaultyExchange(Fixed(places), [always("republish")]), TRADES)["results"]
        assert order_of(rows) == sorted(set(order_of(rows)))
        return [row for row in rows if row["id"].endswith("R")]

    assert len(added([(1000 * number, number) for number in range(2000)])) > 20
    assert len(added([(7, 2 * number) for number in range(2000)])) > 20
    assert added([(7, number) for number in range(2000)]) == []
    assert added([(number, 2 * number) for number in range(2000)]) == []


@pytest.mark.parametrize(("path", "name"), [(TRADES, "price"), (QUOTES, "bid_price")])
def test_impossible_rows_differ_in_one_price_only(exchange, path, name):
    query = {"limit": 9}
    rows = get(exchange, path, **query)["results"]
    spoiled = [{**row, name: -1} for row in rows]
    assert get(FaultyExchange(exchange, [always("impossible")]), path, **query)["results"] == spoiled
    one = get(FaultyExchange(exchange, [always("bad_row")]), path, **query)["results"]
    assert one == [*rows[:4], spoiled[4], *rows[5:]]
    bars = get(FaultyExchange(exchange, [always("impossible")]), BARS)["results"]
    assert bars == get(exchange, BARS)["results"]
