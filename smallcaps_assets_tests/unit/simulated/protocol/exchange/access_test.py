"""Keys, plans, limits, and requests that are rejected."""

import json
from datetime import timedelta

import pytest

from smallcaps_assets.simulated.protocol.exchange import ENDPOINTS, Exchange
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at
from smallcaps_assets_tests.unit.simulated.protocol.exchange.asked import DAY, KEY, get


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Basic abc"}])
def test_a_request_without_a_key_is_rejected_without_details(exchange, headers):
    body = get(exchange, "/v1/marketstatus/now", 401, headers)
    assert body["error"] == "API Key was not provided"
    assert body["status"] == "ERROR"
    assert body["request_id"]


def test_an_unknown_key_is_rejected_in_header_and_query(market):
    exchange = Exchange(market, api_key="right", clock=at(LATER))
    for headers, query in (({"authorization": "Bearer wrong"}, {}), ({}, {"apiKey": "wrong"})):
        assert get(exchange, "/v1/marketstatus/now", 401, headers, **query)["error"] == "Unknown API Key"
    for headers, query in (({"authorization": "Bearer right"}, {}), ({}, {"apiKey": "right"})):
        get(exchange, "/v1/marketstatus/now", 200, headers, **query)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("minute_bars", f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}"),
        ("daily_bars", f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}"),
        ("trades", "/v3/trades/NA"),
        ("quotes", "/v3/quotes/NA"),
        ("tickers", "/v3/reference/tickers"),
        ("ticker_details", "/v3/reference/tickers/NA"),
        ("float", "/stocks/vX/float"),
        ("short_interest", "/stocks/v1/short-interest"),
        ("conditions", "/v3/reference/conditions"),
        ("splits", "/stocks/v1/splits"),
    ],
)
def test_a_plan_without_an_endpoint_denies_that_one_only(market, name, path):
    without = Exchange(market, api_key="right", clock=at(LATER), denied=[name])
    others = Exchange(market, api_key="right", clock=at(LATER), denied=ENDPOINTS.keys() - {name})
    key = {"Authorization": "Bearer right"}
    assert get(without, path, 403, key) == {
        "status": "NOT_AUTHORIZED",
        "request_id": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"[:32],
        "message": "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing",
    }
    assert get(others, path, 200, key)["status"] == "OK"
    assert get(without, path, 401, {})["error"] == "API Key was not provided"


def test_the_limit_is_a_sliding_minute(market):
    now = [LATER]
    exchange = Exchange(market, requests_per_minute=2, retry_after=True, clock=lambda: now[0])
    get(exchange, "/v1/marketstatus/now")
    now[0] += timedelta(seconds=20)
    get(exchange, "/v1/marketstatus/now")
    now[0] += timedelta(seconds=20)
    reply = exchange.reply("/v1/marketstatus/now", {}, KEY)
    assert reply.status == 429
    assert reply.headers["Retry-After"] == "20"
    assert json.loads(reply.body)["error"].startswith("You've exceeded the maximum requests per minute")
    now[0] += timedelta(seconds=20)
    get(exchange, "/v1/marketstatus/now")
    get(exchange, "/v1/marketstatus/now", 429)


def test_retry_after_is_only_sent_if_configured(market):
    exchange = Exchange(market, requests_per_minute=0, clock=at(LATER))
    reply = exchange.reply("/v1/marketstatus/now", {}, KEY)
    assert reply.status == 429
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("path", "query", "complaint"),
    [
        ("/v3/trades/NA", {"limit": 50_001}, "limit"),
        ("/v3/trades/NA", {"limit": 0}, "limit"),
        ("/v3/quotes/NA", {"limit": "many"}, "limit"),
        ("/v3/trades/NA", {"order": "up"}, "order"),
        ("/v3/trades/NA", {"sort": "price"}, "sort"),
        ("/v3/trades/NA", {"timestamp.gte": "yesterday"}, "timestamp.gte"),
        ("/v3/trades/NA", {"timestamp": "2025-13-01"}, "timestamp"),
        ("/v3/trades/NA", {"cursor": "###"}, "cursor"),
        ("/v3/trades/NA", {"cursor": "YXM9eA"}, "cursor"),
        (f"/v2/aggs/ticker/NA/range/1/second/{DAY}/{DAY}", {}, "timespan"),
        (f"/v2/aggs/ticker/NA/range/0/minute/{DAY}/{DAY}", {}, "multiplier"),
        (f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/2025-11-12", {}, "from"),
        (f"/v2/aggs/ticker/NA/range/1/minute/then/{DAY}", {}, "from"),
        (f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", {"limit": 50_001}, "limit"),
        (f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", {"adjusted": "maybe"}, "adjusted"),
        ("/v3/reference/tickers", {"limit": 1001}, "limit"),
        ("/stocks/v1/short-interest", {"days_to_cover.gte": "some"}, "days_to_cover"),
        ("/stocks/v1/short-interest", {"sort": "nothing.asc"}, "sort"),
    ],
)
def test_invalid_parameters_are_named(exchange, path, query, complaint):
    body = get(exchange, path, 400, **query)
    assert body["status"] == "ERROR"
    assert complaint in body["error"]


def test_unknown_paths_and_tickers_are_not_found(exchange):
    assert get(exchange, "/v9/nothing", 404)["status"] == "NOT_FOUND"
    body = get(exchange, "/v3/reference/tickers/NOPE", 404)
    assert body["message"] == "Ticker not found."


def test_every_answer_has_a_different_id(exchange):
    replies = [exchange.reply("/v1/marketstatus/now", {}, KEY) for _ in range(5)]
    assert len({reply.headers["X-Request-Id"] for reply in replies}) == 5
    assert replies[0].headers["Content-Type"] == "application/json"
