"""Trades and quotes are read exactly as sent, or rejected by name."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data import page_order, wire
from smallcaps_assets_tests.unit.market_data.wire.answers import (
    BAR,
    DAY_MS,
    QUOTE,
    START_NS,
    TRADE,
    WINDOW,
    aggregates,
    read_trades,
    v3,
    without,
)


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


def test_empty_answers_are_empty_frames() -> None:
    assert wire.parse_trades_page(v3(), WINDOW).frame.schema == TRADES_ALL
    assert wire.parse_quotes_page(v3(), WINDOW).frame.schema == QUOTES_ALL
    empty = wire.parse_bars_page(aggregates(), "AEMD", DAY_MS).frame
    assert (empty.schema, empty.height) == (BARS, 0)


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
