import base64
import json
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import polars as pl
import pytest

from smallcaps_assets.simulated.hours import midnight_ns
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import ENDPOINTS, Exchange
from smallcaps_assets_tests.unit.simulated.conftest import LATER, at

KEY = {"Authorization": "Bearer anything", "Host": "127.0.0.1:8080"}
DAY = "2025-11-13"


@pytest.fixture(scope="module")
def exchange(market):
    return Exchange(market, clock=at(LATER))


def get(exchange, path, status=200, headers=KEY, /, **query):
    reply = exchange.reply(path, {name: str(value) for name, value in query.items()}, headers)
    body = json.loads(reply.body)
    assert reply.status == status, body
    return body


def follow(exchange, path, /, **query):
    """All pages of an answer."""
    body = get(exchange, path, **query)
    pages = [body]
    while "next_url" in body:
        address = urlsplit(body["next_url"])
        assert "apiKey" not in body["next_url"]
        assert address.netloc == "127.0.0.1:8080"
        body = get(exchange, address.path, **dict(parse_qsl(address.query)))
        pages.append(body)
    return pages


def rows_of(pages):
    return [row for page in pages for row in page.get("results", [])]


# --- keys, limits, errors


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


# --- trades and quotes


def test_the_key_does_not_travel_in_the_next_address(exchange):
    body = get(exchange, "/v3/trades/NA", 200, {}, apiKey="secret", timestamp=DAY, limit=10)
    cursor = dict(parse_qsl(urlsplit(body["next_url"]).query))["cursor"]
    assert b"secret" not in base64.urlsafe_b64decode(cursor + "==")
    get(exchange, "/v3/trades/NA", 401, {}, cursor=cursor)


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [97, 1000, 50_000])
@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_pages_join_to_exactly_the_market(exchange, market, kind, order, limit):
    pages = follow(
        exchange, f"/v3/{kind}/GRVE.B", **{"timestamp.gte": DAY, "timestamp.lt": "2025-11-15"}, order=order, limit=limit
    )
    assert all(len(page["results"]) == limit for page in pages[:-1])
    fetch = market.trades if kind == "trades" else market.quotes
    expected = fetch("GRVE.B", midnight_ns(date(2025, 11, 13)), midnight_ns(date(2025, 11, 15)))
    expected = expected.reverse() if order == "desc" else expected
    rows = rows_of(pages)
    assert [row["sip_timestamp"] for row in rows] == expected["timestamp"].dt.epoch("ns").to_list()
    assert [row["sequence_number"] for row in rows] == expected["sequence_number"].to_list()


def test_a_trade_has_the_vendors_keys_and_omits_absent_fields(exchange, market):
    rows = get(exchange, "/v3/trades/GRVE.B", timestamp=DAY, order="asc", limit=50_000)["results"]
    frame = market.trades("GRVE.B", midnight_ns(date(2025, 11, 13)), midnight_ns(date(2025, 11, 14)))
    required = {
        "decimal_size",
        "exchange",
        "id",
        "participant_timestamp",
        "price",
        "sequence_number",
        "sip_timestamp",
        "size",
        "tape",
    }
    optional = {"conditions", "trf_id", "trf_timestamp"}
    for row, trade in zip(rows, frame.iter_rows(named=True), strict=True):
        assert required <= row.keys() <= required | optional
        assert row.get("conditions", []) == trade["conditions"]
        assert row["price"] == trade["price"]
        assert row["size"] == float(row["decimal_size"]) == trade["size"]
        assert row.get("trf_id") == trade["trf_id"]
        assert isinstance(row["sip_timestamp"], int)
        assert None not in row.values()
    assert any(row["size"] % 1 for row in rows)


def test_newest_comes_first_by_default_and_a_thousand_at_a_time(exchange):
    body = get(exchange, "/v3/trades/CRVO")
    timestamps = [row["sip_timestamp"] for row in body["results"]]
    assert timestamps == sorted(timestamps, reverse=True)
    assert len(timestamps) == 1000
    assert timestamps[0] > midnight_ns(date(2026, 1, 2))


def test_time_filters_are_exact_to_the_nanosecond(exchange, market):
    frame = market.trades("CRVO", midnight_ns(date(2025, 11, 13)), midnight_ns(date(2025, 11, 14)))
    timestamps = frame["timestamp"].dt.epoch("ns").to_list()
    low, high = timestamps[100], timestamps[300]
    for lower, upper, expected in (
        ("gte", "lte", [one for one in timestamps if low <= one <= high]),
        ("gt", "lt", [one for one in timestamps if low < one < high]),
    ):
        query = {f"timestamp.{lower}": low, f"timestamp.{upper}": high}
        rows = get(exchange, "/v3/trades/CRVO", order="asc", limit=5000, **query)["results"]
        assert [row["sip_timestamp"] for row in rows] == expected
    rows = get(exchange, "/v3/trades/CRVO", timestamp=low)["results"]
    assert {row["sip_timestamp"] for row in rows} == {low}


def test_a_bare_date_is_the_new_york_day(exchange):
    whole = get(exchange, "/v3/trades/CRVO", timestamp=DAY, limit=50_000)["results"]
    same = get(exchange, "/v3/trades/CRVO", limit=50_000, **{"timestamp.gte": DAY, "timestamp.lte": DAY})["results"]
    text = get(
        exchange,
        "/v3/trades/CRVO",
        limit=50_000,
        **{"timestamp.gte": "2025-11-13T00:00:00.000000000-05:00", "timestamp.lt": "2025-11-14T05:00:00Z"},
    )["results"]
    assert whole == same == text
    assert get(exchange, "/v3/trades/CRVO", **{"timestamp.gt": DAY, "timestamp.lt": "2025-11-14"})["results"] == []


def test_symbols_without_ticks_have_empty_results(exchange):
    for symbol in ("ZZRO", "NOPE", "grve.b"):
        body = get(exchange, f"/v3/trades/{symbol}", timestamp=DAY)
        assert body["results"] == []
        assert body["status"] == "OK"
        assert "next_url" not in body


# --- aggregates


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [333, 50_000])
def test_minute_pages_join_to_exactly_the_market(exchange, market, sort, limit):
    first, last = date(2025, 10, 30), date(2025, 11, 5)
    path = f"/v2/aggs/ticker/GRVE.B/range/1/minute/{first}/{last}"
    rows = rows_of(follow(exchange, path, sort=sort, limit=limit))
    bars = market.bars("GRVE.B", first, last)
    bars = bars.reverse() if sort == "desc" else bars
    assert [row["t"] for row in rows] == bars["timestamp"].dt.epoch("ms").to_list()
    for key, name in {
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "vw": "vwap",
        "n": "transactions",
    }.items():
        assert [row[key] for row in rows] == bars[name].to_list()


def test_the_envelope_of_aggregates(exchange):
    body = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", limit=10)
    assert body["ticker"] == "NA"
    assert body["queryCount"] == body["resultsCount"] == body["count"] == 10
    assert body["adjusted"] is True
    assert "/range/1/minute/" in body["next_url"]
    for symbol in ("ZZRO", "NOPE"):
        body = get(exchange, f"/v2/aggs/ticker/{symbol}/range/1/minute/{DAY}/{DAY}")
        assert "results" not in body
        assert body["resultsCount"] == body["queryCount"] == 0


def test_milliseconds_bound_both_ends(exchange):
    whole = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{DAY}/{DAY}", limit=50_000)["results"]
    low, high = whole[50]["t"], whole[80]["t"]
    part = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/{low}/{high}")["results"]
    assert part == whole[50:81]


@pytest.mark.parametrize("end", ["9999-12-31", "99999999999999"])
def test_a_range_may_end_in_the_far_future(exchange, market, end):
    rows = get(exchange, f"/v2/aggs/ticker/NA/range/1/minute/2025-12-31/{end}", limit=50_000)["results"]
    assert len(rows) == len(market.bars("NA", date(2025, 12, 31), date(2026, 1, 5)))
    ticks = get(exchange, "/v3/trades/NA", **{"timestamp.gte": DAY, "timestamp.lte": "9999-12-31"}, limit=5)["results"]
    assert len(ticks) == 5
    assert get(exchange, "/v3/trades/NA", **{"timestamp.lt": "0001-01-01"})["results"] == []


@pytest.mark.parametrize("limit", [7, 100, 50_000])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_wider_windows_are_whole_on_every_page(exchange, market, limit, sort):
    rows = rows_of(follow(exchange, f"/v2/aggs/ticker/CRVO/range/15/minute/{DAY}/{DAY}", limit=limit, sort=sort))
    bars = market.bars("CRVO", date(2025, 11, 13), date(2025, 11, 13))
    wide = bars.group_by_dynamic("timestamp", every="15m").agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
    )
    wide = wide.reverse() if sort == "desc" else wide
    assert [(row["t"], row["o"], row["h"], row["l"], row["c"]) for row in rows] == list(
        wide.select(pl.col("timestamp").dt.epoch("ms"), "open", "high", "low", "close").iter_rows()
    )
    assert [row["v"] for row in rows] == pytest.approx(wide["volume"].to_list())


def test_day_bars_page_and_begin_at_midnight_in_new_york(exchange):
    rows = rows_of(follow(exchange, "/v2/aggs/ticker/CRVO/range/1/day/2025-10-27/2025-11-07", limit=4))
    assert len(rows) == 10
    assert [row["t"] for row in rows[4:6]] == [
        int(datetime(2025, 10, 31, 4, tzinfo=UTC).timestamp() * 1000),
        int(datetime(2025, 11, 3, 5, tzinfo=UTC).timestamp() * 1000),
    ]


def test_prices_are_split_adjusted_by_default(exchange):
    split = get(exchange, "/stocks/v1/splits", ticker="DRFT")["results"][0]
    assert (split["split_from"], split["split_to"], split["adjustment_type"]) == (8, 1, "reverse_split")
    path = "/v2/aggs/ticker/DRFT/range/1/minute/2025-11-04/2025-11-05"
    traded = get(exchange, path, adjusted="false", limit=50_000)["results"]
    adjusted = get(exchange, path, limit=50_000)["results"]
    assert adjusted[0]["c"] == pytest.approx(traded[0]["c"] * 8)
    assert adjusted[0]["v"] == pytest.approx(traded[0]["v"] / 8)
    assert adjusted[-1] == traded[-1]
    assert abs(adjusted[-1]["c"] / adjusted[0]["c"] - 1) < 0.5


def test_the_whole_market_on_one_day(exchange):
    body = get(exchange, "/v2/aggs/grouped/locale/us/market/stocks/2025-11-28", adjusted="false")
    assert {row["T"] for row in body["results"]} >= {"AVLO", "NA", "GRVE.B"}
    assert body["resultsCount"] == 11
    assert body["results"][0]["t"] == int(datetime(2025, 11, 28, 18, tzinfo=UTC).timestamp() * 1000)
    holiday = get(exchange, "/v2/aggs/grouped/locale/us/market/stocks/2025-11-27")
    assert holiday["resultsCount"] == 0
    assert "results" not in holiday


def test_previous_day_and_open_close(exchange):
    previous = get(exchange, "/v2/aggs/ticker/NA/prev")["results"]
    assert [row["T"] for row in previous] == ["NA"]
    assert previous[0]["t"] == int(datetime(2026, 1, 2, 5, tzinfo=UTC).timestamp() * 1000)
    day = get(exchange, f"/v1/open-close/NA/{DAY}")
    assert day["symbol"] == "NA"
    assert day["low"] <= day["open"] <= day["high"]
    get(exchange, "/v1/open-close/NA/2025-11-15", 404)


# --- reference


def test_tickers_page_in_order(exchange, market):
    pages = follow(exchange, "/v3/reference/tickers", limit=5)
    assert [page["count"] for page in pages] == [5, 5, 2]
    assert [row["ticker"] for row in rows_of(pages)] == sorted(market.symbols())


def test_tickers_are_filtered(exchange, market):
    def tickers(**query):
        return [row["ticker"] for row in get(exchange, "/v3/reference/tickers", **query)["results"]]

    assert tickers(ticker="NA") == ["NA"]
    assert tickers(type="ADRC") == ["IRVN"]
    assert tickers(**{"ticker.gte": "HLXA", "ticker.lt": "NA"}) == ["HLXA", "IRVN", "KLMpA"]
    assert tickers(search="grve") == ["GRVE.B"]
    assert tickers(active="false") == []
    assert tickers(market="otc") == []
    assert len(tickers(exchange="XNAS")) + len(tickers(exchange="XNYS")) + len(tickers(exchange="XASE")) == 12
    assert tickers(order="desc") == sorted(market.symbols(), reverse=True)


def test_details_are_those_of_the_date(exchange):
    before = get(exchange, "/v3/reference/tickers/DRFT", date="2025-11-04")["results"]
    after = get(exchange, "/v3/reference/tickers/DRFT", date="2025-11-05", ticker="DRFT")["results"]
    assert before["weighted_shares_outstanding"] == 8 * after["weighted_shares_outstanding"]
    assert before["market_cap"] == pytest.approx(after["market_cap"], rel=0.5)


def test_short_interest_is_filtered_sorted_and_paged(exchange):
    rows = rows_of(follow(exchange, "/stocks/v1/short-interest", limit=50))
    assert len(rows) == 10 * len({row["settlement_date"] for row in rows})
    assert [row["ticker"] for row in rows] == sorted(row["ticker"] for row in rows)
    some = get(
        exchange,
        "/stocks/v1/short-interest",
        **{"ticker.any_of": "NA,CRVO", "settlement_date.gte": "2025-11-01"},
        limit=100,
    )
    assert {row["ticker"] for row in some["results"]} == {"NA", "CRVO"}
    assert all(row["settlement_date"] >= "2025-11-01" for row in some["results"])
    latest = get(exchange, "/stocks/v1/short-interest", ticker="NA", sort="settlement_date", order="desc", limit=1)[
        "results"
    ]
    assert latest[0]["settlement_date"] == "2025-12-15"
    crowded = get(exchange, "/stocks/v1/short-interest", **{"days_to_cover.gt": 5}, limit=500)["results"]
    assert "KLMpA" in {row["ticker"] for row in crowded}
    assert all(row["days_to_cover"] > 5 for row in crowded)


def test_floats_and_splits(exchange):
    rows = rows_of(follow(exchange, "/stocks/vX/float", limit=3))
    assert "FNTA" not in {row["ticker"] for row in rows}
    assert all(0 < row["free_float_percent"] <= 100 for row in rows)
    old = get(exchange, "/v3/reference/splits", ticker="DRFT", reverse_split="true")["results"]
    assert old[0].keys() == {"id", "execution_date", "split_from", "split_to", "ticker"}
    assert get(exchange, "/v3/reference/splits", reverse_split="false")["results"] == []


def test_holidays_are_a_bare_array(exchange):
    rows = get(exchange, "/v1/marketstatus/upcoming")
    assert rows[0] == {
        "exchange": "NYSE",
        "name": "Martin Luther King, Jr. Day",
        "date": "2026-01-19",
        "status": "closed",
    }
    early = [row for row in rows if row["status"] == "early-close"]
    assert early[0]["date"] == "2026-11-27"
    assert early[0]["close"] == "2026-11-27T18:00:00.000Z"


@pytest.mark.parametrize(
    ("now", "market_is"),
    [
        (datetime(2025, 11, 13, 8, 59, tzinfo=UTC), "closed"),
        (datetime(2025, 11, 13, 9, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 13, 14, 30, tzinfo=UTC), "open"),
        (datetime(2025, 11, 13, 21, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 28, 18, 0, tzinfo=UTC), "extended-hours"),
        (datetime(2025, 11, 28, 22, 0, tzinfo=UTC), "closed"),
        (datetime(2025, 11, 27, 17, 0, tzinfo=UTC), "closed"),
    ],
)
def test_the_market_status_follows_the_session(now, market_is):
    exchange = Exchange(SimulatedMarket(symbols=1, clock=at(now)), clock=at(now))
    assert get(exchange, "/v1/marketstatus/now")["market"] == market_is


def test_conditions_carry_their_rules(exchange):
    rows = get(exchange, "/v3/reference/conditions", asset_class="stocks", data_type="trade", limit=1000)["results"]
    rules = {row["id"]: tuple(row["update_rules"]["consolidated"].values()) for row in rows if "update_rules" in row}
    assert rules[12] == rules[37] == rules[2] == (False, False, True)
    assert rules[16] == (False, False, False)
    assert rules[32] == rules[10] == (True, False, True)
    assert rules[38] == (True, True, False)
    assert 60 in {row["id"] for row in rows}
    assert 60 not in rules
