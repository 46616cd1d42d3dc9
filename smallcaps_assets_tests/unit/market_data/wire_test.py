"""Parsing of answers, and every malformed answer that is rejected."""

import json
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data import envelope, page_order, reference_wire, wire

START_NS = 1_760_441_340_000_000_000  # 2025-10-14 11:29:00 UTC
WINDOW = (START_NS, START_NS + 60 * envelope.NS_PER_S)
DAY_MS = (1_760_414_400_000, 1_760_500_800_000)

TRADE: dict[str, Any] = {
    "conditions": [12, 37],
    "decimal_size": "100.25",
    "exchange": 4,
    "id": "52983525027912",
    "participant_timestamp": START_NS + 1,
    "price": 3.4567,
    "sequence_number": 1063,
    "sip_timestamp": START_NS + 16_036_581,
    "size": 100,
}
QUOTE: dict[str, Any] = {
    "ask_exchange": 11,
    "ask_price": 3.46,
    "ask_size": 2,
    "bid_exchange": 12,
    "bid_price": 0,
    "bid_size": 0,
    "participant_timestamp": START_NS + 1,
    "sequence_number": 7,
    "sip_timestamp": START_NS + 2,
    "tape": 3,
}
BAR: dict[str, Any] = {"o": 1.5, "h": 2, "l": 1.25, "c": 1.75, "v": 9099.618093, "t": DAY_MS[0] + 60_000}


def v3(*rows: object, **head: object) -> bytes:
    return json.dumps({"results": rows, "status": "OK", "request_id": "r1", **head}).encode()


def aggregates(*rows: object, **head: object) -> bytes:
    counts = {"queryCount": len(rows), "resultsCount": len(rows), "count": len(rows)}
    envelope = {"ticker": "AEMD", "adjusted": False, "status": "OK", "request_id": "r1", **counts}
    return json.dumps({**envelope, **({"results": rows} if rows else {}), **head}).encode()


def read_trades(body: bytes) -> pl.DataFrame:
    return wire.parse_trades_page(body, WINDOW).frame


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def test_a_trade_is_read_exactly() -> None:
    page = wire.parse_trades_page(
        v3(TRADE, next_url="https://x/v3/trades/AEMD?cursor=c", unknown={"a": [1, "b"]}), WINDOW
    )
    assert page.next_url == "https://x/v3/trades/AEMD?cursor=c"
    assert page.request_id == "r1"
    assert page.frame.schema == TRADES_ALL
    row = page.frame.with_columns(pl.col("timestamp", "participant_timestamp").to_physical()).row(0, named=True)
    assert row == {
        "timestamp": START_NS + 16_036_581,
        "price": 3.4567,
        "size": 100.25,
        "exchange": 4,
        "conditions": [12, 37],
        "sequence_number": 1063,
        "trade_id": "52983525027912",
        "participant_timestamp": START_NS + 1,
        **dict.fromkeys(("trf_timestamp", "trf_id", "correction", "tape")),
    }


def test_size_is_used_where_there_is_no_decimal_size() -> None:
    rows = [TRADE, without(TRADE, "decimal_size"), {**TRADE, "decimal_size": None, "size": 7.5}]
    assert read_trades(v3(*rows))["size"].to_list() == [100.25, 100.0, 7.5]


def test_a_quote_is_read_and_absent_fields_are_null() -> None:
    frame = wire.parse_quotes_page(v3(QUOTE, without(QUOTE, "bid_price", "tape")), WINDOW).frame
    assert frame.schema == QUOTES_ALL
    assert frame["bid_price"].to_list() == [0.0, None]
    assert frame["tape"].to_list() == [3, None]
    assert frame["indicators"].to_list() == [None, None]


def test_bars_are_read_as_sent() -> None:
    rows = [BAR, {**BAR, "vw": 1.6, "n": 12, "otc": True}]
    frame = wire.parse_bars_page(aggregates(*rows, status="DELAYED"), "AEMD", DAY_MS).frame
    assert frame.schema == BARS
    assert frame["volume"].to_list() == [9099.618093] * 2
    assert frame["vwap"].to_list() == [None, 1.6]
    assert frame["transactions"].to_list() == [None, 12]
    assert frame["timestamp"].to_physical().to_list() == [(DAY_MS[0] + 60_000) * 1000] * 2


def test_empty_answers_are_empty_frames() -> None:
    assert wire.parse_trades_page(v3(), WINDOW).frame.schema == TRADES_ALL
    assert wire.parse_quotes_page(v3(), WINDOW).frame.schema == QUOTES_ALL
    empty = wire.parse_bars_page(aggregates(), "AEMD", DAY_MS).frame
    assert (empty.schema, empty.height) == (BARS, 0)


NO_PAGE = {
    "nothing": b"",
    "a bare null": b"null",
    "an array": b"[]",
    "a number": b"5",
    "HTML": b"<html><body>maintenance</body></html>",
    "a cut object": v3(TRADE)[:-1],
    "two objects": v3() + v3(),
    "an object and null": v3() + b" null",
    "trailing words": v3() + b" and more",
    "invalid UTF-8": v3().replace(b"r1", b"\xff\xfe"),
    "results twice": b'{"status":"OK","results":[],"results":[]}',
    "no results": json.dumps({"status": "OK"}).encode(),
    "null results": json.dumps({"status": "OK", "results": None}).encode(),
    "an object for results": json.dumps({"status": "OK", "results": {}}).encode(),
    "no status": b'{"results":[]}',
    "an error with status 200": v3(status="ERROR", error="limit"),
    "a status that is no text": v3(status=200),
    "a next_url that is no text": v3(next_url=5),
    "a null row": v3(TRADE, None),
    "a row that is a list": v3([1]),
}


@pytest.mark.parametrize("name", NO_PAGE)
def test_malformed_pages_are_rejected(name: str) -> None:
    for read in (wire.parse_trades_page, wire.parse_quotes_page):
        with pytest.raises(BadPage):
            read(NO_PAGE[name], WINDOW)
    with pytest.raises(BadPage):
        reference_wire.parse_tickers_page(NO_PAGE[name])
    with pytest.raises(BadPage):
        wire.parse_bars_page(NO_PAGE[name], "AEMD", DAY_MS)


@pytest.mark.parametrize(
    "changed",
    [
        {"price": "3.4567"},
        {"price": True},
        {"price": float("nan")},
        {"price": float("inf")},
        {"price": None},
        {"sip_timestamp": float(START_NS)},
        {"sip_timestamp": str(START_NS)},
        {"sip_timestamp": True},
        {"sip_timestamp": 2**63},
        {"sip_timestamp": START_NS // 1000},
        {"sip_timestamp": WINDOW[1]},
        {"sip_timestamp": START_NS - 1},
        {"sequence_number": 1.0},
        {"sequence_number": None},
        {"exchange": "4"},
        {"id": 52983525027912},
        {"id": None},
        {"conditions": "12,37"},
        {"conditions": 12},
        {"conditions": [12.0]},
        {"conditions": ["12"]},
        {"conditions": [12, None]},
        {"decimal_size": 100.25},
        {"decimal_size": "1e2"},
        {"decimal_size": "nan"},
        {"decimal_size": "inf"},
        {"decimal_size": ""},
        {"decimal_size": "9" * 400},
        {"tape": 1.5},
    ],
    ids=str,
)
def test_a_trade_of_the_wrong_type_or_time_is_rejected(changed: dict[str, object]) -> None:
    with pytest.raises(BadPage):
        read_trades(v3(TRADE, {**TRADE, **changed}))


@pytest.mark.parametrize("changed", [{"participant_timestamp": START_NS // 1000}, {"trf_timestamp": START_NS * 3}])
def test_other_times_of_which_none_is_plausible_are_in_another_unit(changed: dict[str, object]) -> None:
    """Single ones are judged later, row by row."""
    with pytest.raises(BadPage, match="not 2000 to 2100 in this unit"):
        read_trades(v3({**TRADE, **changed}))
    found = read_trades(v3({**TRADE, "trf_timestamp": START_NS}, {**TRADE, **changed, "id": "2"}))
    assert found[next(iter(changed))].to_physical()[1] == next(iter(changed.values()))


@pytest.mark.parametrize(
    "name", ["sip_timestamp", "participant_timestamp", "sequence_number", "price", "exchange", "id"]
)
def test_a_missing_field_of_a_trade_is_named(name: str) -> None:
    with pytest.raises(BadPage, match=f"1 of 2 rows lack `{name}`, the first is row 1"):
        read_trades(v3(TRADE, without(TRADE, name)))


def test_a_trade_without_any_size_is_rejected() -> None:
    with pytest.raises(BadPage, match="lacks `size`"):
        read_trades(v3(without(TRADE, "size", "decimal_size")))


def test_numbers_that_no_trade_has_are_left_to_the_rules_of_tape() -> None:
    rows = [{**TRADE, "decimal_size": "-1.5"}, {**TRADE, "price": -1}, {**TRADE, "price": 1e308}]
    assert read_trades(v3(*rows)).select("price", "size").rows() == [(3.4567, -1.5), (-1.0, 100.25), (1e308, 100.25)]


def test_a_venue_without_reporting_facility_may_say_zero() -> None:
    assert read_trades(v3({**TRADE, "trf_timestamp": 0}))["trf_timestamp"].to_list() == [None]


def test_ticks_that_repeat_exactly_may_do_so_in_any_place() -> None:
    """An answer that gives its rows once more: they come in order of time, and are removed with other repeats."""
    rows = [{**TRADE, "sip_timestamp": START_NS + i, "sequence_number": i} for i in range(4)]
    repeated = read_trades(v3(*rows, *rows, rows[2]))
    assert repeated["sequence_number"].to_list() == [0, 0, 1, 1, 2, 2, 2, 3, 3]
    with pytest.raises(BadPage, match="ascending"):
        read_trades(v3(*rows, {**rows[2], "price": 1.0}))
    unnumbered = [without(row, "sequence_number", "id") for row in rows]
    with pytest.raises(BadPage, match="ascending"):
        read_trades(v3(*unnumbered, *unnumbered))


def test_descending_ticks_are_rejected() -> None:
    with pytest.raises(BadPage, match="ascending"):
        read_trades(v3(TRADE, {**TRADE, "sip_timestamp": START_NS}))


@pytest.mark.parametrize(
    ("rows", "head"),
    [
        ([BAR], {"ticker": "AEM"}),
        ([BAR], {"ticker": None}),
        ([], {"ticker": "AEM"}),
        ([BAR], {"adjusted": True}),
        ([BAR], {"resultsCount": 2}),
        ([BAR], {"resultsCount": None}),
        ([BAR], {"count": 2}),
        ([], {"resultsCount": 3}),
        ([], {"resultsCount": None}),
        ([], {"queryCount": 3}),
        ([], {"count": 3}),
        ([], {"results": None}),
        ([{**BAR, "t": DAY_MS[1]}], {}),
        ([{**BAR, "t": DAY_MS[0] - 60_000}], {}),
        ([{**BAR, "t": DAY_MS[0] // 1000}], {}),
        ([{**BAR, "t": DAY_MS[0] * 1_000_000}], {}),
        ([{**BAR, "t": float(DAY_MS[0])}], {}),
        ([{**BAR, "t": DAY_MS[0] + 120_000}, BAR], {}),
        ([{**BAR, "t": DAY_MS[0] + 120_000}, BAR, {**BAR, "t": DAY_MS[0] + 120_000}], {}),
        ([{**BAR, "o": "1.5"}], {}),
        ([{name: value for name, value in BAR.items() if name != "v"}, {**BAR, "v": None}], {}),
        ([{**BAR, "n": 1.5}], {}),
        ([{**BAR, "vw": "1.6"}], {}),
    ],
)
def test_aggregates_that_do_not_match_the_request_are_rejected(rows: list[object], head: dict[str, object]) -> None:
    with pytest.raises(BadPage):
        wire.parse_bars_page(aggregates(*rows, **head), "AEMD", DAY_MS)


def test_a_price_or_volume_sent_as_null_is_left_to_the_quarantine() -> None:
    later = {**BAR, "t": BAR["t"] + 60_000, "o": None, "v": None}
    bars = wire.parse_bars_page(aggregates(BAR, later), "AEMD", DAY_MS).frame
    assert bars["open"].null_count() == bars["volume"].null_count() == 1


def test_a_bar_off_the_minute_is_left_to_the_quarantine() -> None:
    bars = wire.parse_bars_page(aggregates(BAR, {**BAR, "t": BAR["t"] + 1}), "AEMD", DAY_MS).frame
    assert bars["timestamp"].to_physical().to_list() == [BAR["t"] * 1_000, BAR["t"] * 1_000 + 1_000]


def test_bars_that_repeat_a_minute_out_of_order_come_in_order_of_time() -> None:
    """All rows are kept: whether they are repeats or contradict one another is decided later."""
    first, second = BAR, {**BAR, "t": BAR["t"] + 60_000}
    bars = wire.parse_bars_page(aggregates(first, second, first, {**first, "v": 5}), "AEMD", DAY_MS).frame
    assert bars["volume"].to_list() == [9099.618093, 9099.618093, 5.0, 9099.618093]
    assert bars["timestamp"].is_sorted()


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
    assert whole.rows() == [("AEMD", "Aethlon", "CS", None, 4.5e6, None, None)]
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


# the whole market's day bars carry the end of regular hours, 16:00 New York
CLOSE: dict[str, Any] = {"T": "AEMD", "c": 1.75, "o": 1.5, "v": 100, "t": DAY_MS[0] + 16 * 3_600_000}


def test_closes_of_a_day_are_read() -> None:
    body = aggregates(CLOSE, {**CLOSE, "T": "NA", "c": None}, ticker=None)
    assert reference_wire.parse_closes_page(body, DAY_MS).frame.rows() == [("AEMD", 1.75), ("NA", None)]
    assert reference_wire.parse_closes_page(aggregates(ticker=None), DAY_MS).frame.is_empty()


@pytest.mark.parametrize(
    "body",
    [
        aggregates({**CLOSE, "t": DAY_MS[1]}, ticker=None),
        aggregates(without(CLOSE, "T"), ticker=None),
        aggregates(without(CLOSE, "c"), ticker=None),
        aggregates(CLOSE, ticker=None, adjusted=True),
        aggregates(CLOSE, ticker=None, resultsCount=2),
        aggregates(ticker=None, resultsCount=1),
    ],
)
def test_closes_that_do_not_match_the_request_are_rejected(body: bytes) -> None:
    with pytest.raises(BadPage):
        reference_wire.parse_closes_page(body, DAY_MS)


def test_overlapping_pages_are_joined_without_repeats_and_backward_pages_rejected() -> None:
    rows = [{**TRADE, "sip_timestamp": START_NS + i, "sequence_number": i} for i in range(6)]
    first, second = read_trades(v3(*rows[:4])), read_trades(v3(*rows[2:]))
    joined = page_order.merge_pages([first, read_trades(v3()), second], "timestamp", "sequence_number")
    assert joined.rows.equals(read_trades(v3(*rows)))
    assert joined.removed == 2
    with pytest.raises(BadPage, match="backwards"):
        page_order.merge_pages([second, first], "timestamp", "sequence_number")


def test_rows_that_share_time_and_number_but_differ_all_stay() -> None:
    frame = read_trades(v3(TRADE, TRADE, {**TRADE, "correction": 1}))
    merged = page_order.merge_pages([frame], "timestamp", "sequence_number")
    assert (merged.rows["correction"].to_list(), merged.removed) == ([None, 1], 1)


finite = st.floats(0.0001, 1e6, allow_nan=False)
small = st.integers(0, 2**31)
trades = st.fixed_dictionaries(
    {
        "sip_timestamp": st.integers(WINDOW[0], WINDOW[1] - 1),
        "participant_timestamp": st.integers(WINDOW[0], WINDOW[1]),
        "sequence_number": st.integers(0, 2**62),
        "price": finite | st.integers(1, 10**6),
        "exchange": small,
        "id": st.text(max_size=12),
        "size": finite,
    },
    optional={
        "conditions": st.none() | st.lists(small, max_size=4),
        "decimal_size": st.decimals(0, 10**6, places=6).map(str),
        "trf_timestamp": st.integers(WINDOW[0], WINDOW[1]),
        "trf_id": st.none() | small,
        "correction": small,
        "tape": small,
    },
)


@settings(max_examples=60)
@given(rows=st.lists(trades, max_size=12))
def test_written_frames_read_back_unchanged(rows: list[dict[str, Any]]) -> None:
    rows.sort(key=lambda row: row["sip_timestamp"])
    frame = wire.parse_trades_page(v3(*rows), WINDOW).frame
    wire_names = {"timestamp": "sip_timestamp", "trade_id": "id"}
    times = pl.col("timestamp", "participant_timestamp", "trf_timestamp").to_physical()
    for row, read in zip(rows, frame.with_columns(times).to_dicts(), strict=True):
        expected = {name: row.get(wire_names.get(name, name)) for name in TRADES_ALL}
        assert read == {**expected, "size": float(row.get("decimal_size", row["size"]))}


def test_trades_of_one_instant_on_two_pages_are_sorted_by_sequence_number() -> None:
    first, second = (read_trades(v3({**TRADE, "sequence_number": number})) for number in (9, 4))
    merged = page_order.merge_pages([first, second], "timestamp", "sequence_number")
    assert merged.rows["sequence_number"].to_list() == [4, 9]
