"""Requests to the exchange under faults, and what its pages hold."""

import http.client
import json
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlsplit

from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets.simulated.protocol.server import serve

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


def statuses(exchange, script, count, seed=0, path=STATUS):
    faulty = FaultyExchange(exchange, script, seed)
    return [faulty.reply(path, {}, KEY).status for _ in range(count)]
