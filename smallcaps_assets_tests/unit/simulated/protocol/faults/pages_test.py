"""Pages without rows, in a loop, without end, or with rows repeated."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.fault_pages import PAGE_FAULTS
from smallcaps_assets.simulated.protocol.faults import Fault, FaultyExchange
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at
from smallcaps_assets_tests.unit.simulated.protocol.faults.asked import (
    BARS,
    DAY,
    HOUR,
    KEY,
    MINUTES,
    QUOTES,
    STATUS,
    TICKERS,
    TRADES,
    always,
    asking,
    first_times,
    flat,
    follow,
    get,
    order_of,
    step,
)


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
