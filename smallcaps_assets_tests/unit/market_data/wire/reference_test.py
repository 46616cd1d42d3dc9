"""Tickers, their details and their events."""

import json
from datetime import date
from typing import Any

import pytest

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data import reference_wire
from smallcaps_assets_tests.unit.market_data.wire.answers import v3, without


def test_reference_pages_are_read() -> None:
    ticker = {"ticker": "AEMD", "name": "Aethlon", "active": True, "type": "CS", "primary_exchange": "XNAS"}
    tickers = reference_wire.parse_tickers_page(v3(ticker, {"ticker": "NA", "active": False})).frame
    assert tickers["symbol"].to_list() == ["AEMD", "NA"]
    assert tickers["type"].to_list() == ["CS", None]
    free = {"ticker": "AEMD", "free_float": 2_000_000, "effective_date": "2026-01-31", "free_float_percent": 77.1}
    assert reference_wire.parse_float_page(v3(free), ["AEMD"]).frame.rows() == [("AEMD", 2e6, date(2026, 1, 31))]
    short = {"ticker": "AEMD", "settlement_date": "2026-01-15", "short_interest": 12345, "avg_daily_volume": 5}
    shorts = reference_wire.parse_short_interest_page(v3(short), ["AEMD"]).frame
    assert shorts.rows() == [("AEMD", 12345.0, None, date(2026, 1, 15))]
    with pytest.raises(BadPage, match="not requested"):
        reference_wire.parse_float_page(v3(free), ["AEM"])
    with pytest.raises(BadPage, match="is not a date YYYY-MM-DD"):
        reference_wire.parse_short_interest_page(v3({**short, "settlement_date": "15.01.2026"}), ["AEMD"])


DETAILS: dict[str, Any] = {"ticker": "AEMD", "name": "Aethlon", "type": "CS", "market_cap": 4.5e6, "active": True}


def details(row: object, **head: object) -> bytes:
    return json.dumps({"results": row, "status": "OK", "request_id": "r1", **head}).encode()


def test_details_of_a_ticker_are_one_row() -> None:
    whole = reference_wire.parse_details_page(details(DETAILS), "AEMD").frame
    assert whole.rows() == [("AEMD", "Aethlon", "CS", None, 4.5e6, *[None] * 5)]
    listed = reference_wire.parse_details_page(details(DETAILS | {"list_date": "2024-03-05"}), "AEMD").frame["listed"]
    assert listed.to_list() == [date(2024, 3, 5)]
    for nothing in ({"market_cap": 0}, {"market_cap": None}):
        assert reference_wire.parse_details_page(details(DETAILS | nothing), "AEMD").frame["market_cap_usd"][0] is None


def change(day: object = "2022-06-09", ticker: object = "META", **more: object) -> dict[str, object]:
    return {"type": "ticker_change", "date": day, "ticker_change": {"ticker": ticker}} | more


def test_ticker_events_are_read_oldest_first_and_without_repeats() -> None:
    events = [change(), change(), change("2012-05-18", "FB"), {"type": "split", "date": "2020-01-01"}]
    row = {"name": "Meta", "composite_figi": "BBG000MM2P62", "cik": "0001326801", "events": events}
    security = ("BBG000MM2P62", "0001326801")
    expected = [(*security, date(2012, 5, 18), "FB"), (*security, date(2022, 6, 9), "META")]
    assert reference_wire.parse_ticker_events_page(details(row)).frame.rows() == expected
    none = reference_wire.parse_ticker_events_page(details({"name": "Meta", "events": []})).frame
    assert none.schema == reference_wire.TICKER_CHANGES
    assert none.rows() == [(None, None, None, None)]


@pytest.mark.parametrize(
    "row",
    [
        None,
        {"name": "Meta"},
        {"events": [None]},
        {"events": [change(type=None)]},
        {"events": [change("9 June")]},
        {"events": [change(day=None)]},
        {"events": [change(ticker=None)]},
        {"events": [change(ticker_change=None)]},
        {"events": [change(ticker=7)]},
    ],
)
def test_ticker_events_of_another_shape_are_refused(row: object) -> None:
    with pytest.raises(BadPage):
        reference_wire.parse_ticker_events_page(details(row))


@pytest.mark.parametrize(
    ("weighted", "of_class", "expected"),
    [(30e6, 20e6, 30e6), (None, 20e6, 20e6), (0, 20e6, 20e6), (0, 0, None), (None, None, None)],
)
def test_shares_outstanding_are_those_of_all_classes(weighted: Any, of_class: Any, expected: Any) -> None:
    counts = {"weighted_shares_outstanding": weighted, "share_class_shares_outstanding": of_class}
    frame = reference_wire.parse_details_page(details(DETAILS | counts), "AEMD").frame
    assert frame["shares_outstanding"].to_list() == [expected]


@pytest.mark.parametrize(
    "body",
    [
        details([DETAILS]),
        details(None),
        json.dumps({"status": "OK"}).encode(),
        details(DETAILS, status="ERROR"),
        details(DETAILS | {"ticker": "AEM"}),
        details(without(DETAILS, "ticker")),
        details(DETAILS | {"market_cap": "4.5e6"}),
        details(DETAILS | {"list_date": "05.03.2024"}),
        details(DETAILS).replace(b"4500000.0", b"NaN"),
    ],
)
def test_details_that_do_not_match_the_request_are_rejected(body: bytes) -> None:
    with pytest.raises(BadPage):
        reference_wire.parse_details_page(body, "AEMD")
