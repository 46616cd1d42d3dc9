"""Trades and quotes: pages, filters, order, and the vendor's keys."""

import base64
from datetime import date
from urllib.parse import parse_qsl, urlsplit

import pytest

from smallcaps_assets.simulated.hours import midnight_ns
from smallcaps_assets_tests.unit.simulated.protocol.exchange.asked import DAY, follow, get, rows_of


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
