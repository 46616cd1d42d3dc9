"""Both official clients, unchanged, against the exchange over real HTTP."""

import gzip
import http.client
import json
import threading
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import massive
import polygon
import pytest

from smallcaps_assets.simulated.hours import midnight_ns
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = "2025-11-13"


def clock():
    return NOW


@pytest.fixture(scope="module")
def market():
    return SimulatedMarket(clock=clock)


@pytest.fixture(scope="module")
def server(market):
    with serve(Exchange(market, api_key="secret", clock=clock)) as running:
        yield running


@pytest.fixture(scope="module", params=[massive, polygon], ids=["massive", "polygon"])
def client(request, server):
    client = request.param.RESTClient("secret", base=server.base_url)
    yield client
    client.client.clear()


def test_aggregates_over_pages(client, market):
    aggs = list(client.list_aggs("GRVE.B", 1, "minute", "2025-10-30", "2025-11-04", limit=500, adjusted=False))
    bars = market.bars("GRVE.B", date(2025, 10, 30), date(2025, 11, 4))
    assert [agg.timestamp for agg in aggs] == bars["timestamp"].dt.epoch("ms").to_list()
    assert [agg.vwap for agg in aggs] == bars["vwap"].to_list()
    assert client.get_aggs("ZZRO", 1, "minute", DAY, DAY) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_trades_and_quotes_over_pages(client, market, order):
    start, end = midnight_ns(date(2025, 11, 13)), midnight_ns(date(2025, 11, 14))
    trades = list(client.list_trades("NA", timestamp_gte=start, timestamp_lt=end, order=order, limit=400))
    expected = market.trades("NA", start, end)["timestamp"].dt.epoch("ns").to_list()
    assert [trade.sip_timestamp for trade in trades] == (expected if order == "asc" else expected[::-1])
    quotes = list(client.list_quotes("NA", DAY, order=order, limit=1000))
    expected = market.quotes("NA", start, end)["sequence_number"].to_list()
    assert [quote.sequence_number for quote in quotes] == (expected if order == "asc" else expected[::-1])


def test_reference_data_over_pages(client, market):
    assert [one.ticker for one in client.list_tickers(limit=5, market="stocks", active=True)] == sorted(
        market.symbols()
    )
    details = client.get_ticker_details("GRVE.B", date=DAY)
    assert details.weighted_shares_outstanding > 1_000_000
    assert [split.ticker for split in client.list_splits(limit=1, ticker="DRFT")] == ["DRFT"]
    interest = list(client.list_short_interest(ticker="NA", limit=3, sort="settlement_date", order="asc"))
    assert len(interest) > 10
    assert interest[0].settlement_date < interest[-1].settlement_date
    assert {one.id for one in client.list_conditions(asset_class="stocks", data_type="trade", limit=7)} >= {12, 37, 41}


def test_floats_and_new_splits_over_pages(server):
    client = massive.RESTClient("secret", base=server.base_url)
    assert len(list(client.list_stocks_floats(limit=3))) == 10
    assert next(client.list_stocks_splits(limit=1)).historical_adjustment_factor == 8.0
    client.client.clear()


def test_whole_days(client):
    grouped = client.get_grouped_daily_aggs(DAY)
    assert len(grouped) == 11
    assert client.get_grouped_daily_aggs("2025-11-15") == []
    assert client.get_previous_close_agg("NA")[0].close > 0
    assert client.get_daily_open_close_agg("NA", DAY).symbol == "NA"
    assert client.get_market_holidays()[0].date == "2026-01-19"
    assert client.get_market_status().market == "extended-hours"


@pytest.mark.parametrize("library", [massive, polygon], ids=["massive", "polygon"])
def test_errors_have_the_vendors_message(server, library):
    stranger = library.RESTClient("wrong", base=server.base_url)
    with pytest.raises(library.exceptions.BadResponse, match="Unknown API Key"):
        stranger.get_market_status()
    known = library.RESTClient("secret", base=server.base_url)
    with pytest.raises(library.exceptions.BadResponse, match="Ticker not found"):
        known.get_ticker_details("NOPE")
    with pytest.raises(library.exceptions.BadResponse, match="limit"):
        next(known.list_trades("NA", limit=50_001))
    for one in (stranger, known):
        one.client.clear()


@pytest.fixture
def connection(server):
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=10)
    yield connection
    connection.close()


def ask(connection, path, method="GET", **headers):
    connection.request(method, path, headers={"Authorization": "Bearer secret", **headers})
    response = connection.getresponse()
    return response, response.read()


def test_one_connection_serves_many_requests_compressed_or_not(server, connection):
    before = server.requests
    plain, body = ask(connection, f"/v3/trades/NA?timestamp={DAY}")
    packed, small = ask(connection, f"/v3/trades/NA?timestamp={DAY}", **{"Accept-Encoding": "gzip"})
    assert plain.getheader("Content-Encoding") is None
    assert packed.getheader("Content-Encoding") == "gzip"
    assert packed.getheader("X-Item-Count") == "1000"
    assert packed.getheader("Link").endswith('rel="next"')
    assert len(small) < len(body) / 3
    unpacked = json.loads(gzip.decompress(small))
    assert unpacked["results"] == json.loads(body)["results"]
    assert unpacked["next_url"].startswith(server.base_url)
    assert server.requests == before + 2


def test_paths_may_be_encoded_and_other_methods_are_rejected(connection):
    response, body = ask(connection, f"/v2/aggs/ticker/GRVE%2EB/range/1/minute/{DAY}/{DAY}?limit=1")
    assert response.status == 200
    assert json.loads(body)["ticker"] == "GRVE.B"
    response, body = ask(connection, "/v3/trades/NA", method="POST")
    assert response.status == 405


def test_threads_are_served_concurrently_and_counted(market):
    with serve(Exchange(market, clock=clock)) as running:

        def work():
            connection = http.client.HTTPConnection(urlsplit(running.base_url).netloc, timeout=10)
            for _ in range(10):
                ask(connection, "/v1/marketstatus/now")
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert running.requests == 60


def test_closing_frees_the_port_and_drops_open_connections(market):
    running = serve(Exchange(market, clock=clock))
    port = int(running.base_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    ask(connection, "/v1/marketstatus/now")
    running.close()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(connection, "/v1/marketstatus/now")
    connection.close()
    running.close()
    with serve(Exchange(market, clock=clock), port=port) as again:
        assert again.base_url.endswith(f":{port}")
