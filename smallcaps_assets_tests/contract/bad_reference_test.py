"""Reference data of a vendor that answers badly for one symbol, or says two things of it: the others are known."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate

SYMBOLS = [f"S{number:03}" for number in range(200)]


def answer(*rows: dict[str, Any], **head: object) -> Reply:
    return Reply(200, {}, json.dumps({"results": rows, "status": "OK", **head}).encode())


def floats(gate: Gate, *bad: str) -> None:
    """Answers with the float of each symbol; that of `bad` symbols is text."""

    def rule(path: str, query: Mapping[str, str]) -> Reply:  # noqa: ARG001
        asked = query["ticker.any_of"].split(",")
        return answer(
            *({"ticker": one, "free_float": "?" if one in bad else 5, "effective_date": None} for one in asked)
        )

    gate.rule = rule


def test_one_symbol_with_a_bad_answer_is_unknown_and_named(gate: Gate, client: MarketDataClient) -> None:
    """200 symbols are halved eight times: 16 further requests."""
    floats(gate, "S123")
    found = client.reference.float_shares(SYMBOLS)
    assert found.unserved == ("S123",)
    assert found.frame["symbol"].to_list() == [symbol for symbol in SYMBOLS if symbol != "S123"]
    assert 1 < len(gate.requests) <= 17
    assert found.requests == len(gate.requests)


def test_answers_that_are_all_bad_are_an_error_after_a_few_requests(gate: Gate, client: MarketDataClient) -> None:
    floats(gate, *SYMBOLS)
    with pytest.raises(BadPage):
        client.reference.float_shares(SYMBOLS)
    assert len(gate.requests) == 7


def test_of_two_latest_rows_that_differ_neither_is_used(gate: Gate, client: MarketDataClient) -> None:
    """A repeats its row exactly, B says two things, C said another thing earlier."""

    def row(symbol: str, shares: int, day: str = "2026-01-15") -> dict[str, Any]:
        return {"ticker": symbol, "settlement_date": day, "short_interest": shares, "days_to_cover": 1.5}

    rows = [row("A", 5), row("A", 5), row("B", 5), row("B", 7), row("C", 9, "2025-12-31"), row("C", 8)]
    gate.rule = lambda path, query: answer(*rows)  # noqa: ARG005
    found = client.reference.short_interest(["A", "B", "C"])
    assert found.frame.select("symbol", "short_interest_shares").rows() == [("A", 5.0), ("C", 8.0)]
    assert [*map(tuple, found.bad_rows)] == [("B", "2 rows differ: short_interest_shares 5.0 / 7.0")]


def test_of_two_floats_that_differ_neither_is_used(gate: Gate, client: MarketDataClient) -> None:
    """The date of B is unknown, so that all its rows may be the latest; A has a later row that is one."""

    def row(symbol: str, shares: int, day: str | None) -> dict[str, Any]:
        return {"ticker": symbol, "free_float": shares, "effective_date": day}

    rows = [row("A", 5, "2026-01-14"), row("A", 6, "2026-01-15"), *(row("B", shares, None) for shares in (1, 2, 3, 4))]
    gate.rule = lambda path, query: answer(*rows)  # noqa: ARG005
    found = client.reference.float_shares(["A", "B"])
    assert found.frame.select("symbol", "float_shares").rows() == [("A", 6.0)]
    assert [*map(tuple, found.bad_rows)] == [("B", "4 rows differ: float_shares 1.0 / 2.0 / 3.0 and 1 more")]


def test_of_two_closes_of_a_day_that_differ_neither_is_used(gate: Gate, client: MarketDataClient) -> None:
    def close(symbol: str, price: float) -> dict[str, Any]:
        return {"T": symbol, "c": price, "t": 1_760_472_000_000}

    rows = [close("A", 1.5), close("B", 2.5), close("A", 1.5), close("B", 2.75), close("C", 3.0)]
    head = {"queryCount": len(rows), "resultsCount": len(rows), "adjusted": False}
    gate.rule = lambda path, query: answer(*rows, **head)  # noqa: ARG005
    found = client.reference.closes(date(2025, 10, 14))
    assert found.frame.rows() == [("A", 1.5), ("C", 3.0)]
    assert [*map(tuple, found.bad_rows)] == [("B", "2 rows differ: price_usd 2.5 / 2.75")]


CLOSE_MS = 1_760_472_000_000  # 16:00 New York on 2025-10-14


def listed(number: int) -> dict[str, Any]:
    return {"ticker": f"S{number:03}", "name": "A", "type": "CS", "primary_exchange": "XNAS", "active": True}


def closed(number: int) -> dict[str, Any]:
    return {"T": f"S{number:03}", "c": 1.0 + number, "t": CLOSE_MS}


@pytest.mark.parametrize(
    ("row", "symbol", "reason"),
    [
        (listed(7) | {"active": None}, "S007", "`active` is missing"),
        (listed(7) | {"active": "yes"}, "S007", "`active` is 'yes'"),
        (listed(7) | {"name": 5}, "S007", "`name` is 5"),
        (listed(7) | {"ticker": "S\ud800"}, None, "`ticker` is 'S\\ud800'"),
        ({"name": "A", "active": True}, None, "`ticker` is missing"),
        (listed(7) | {"ticker": 7}, None, "`ticker` is 7"),
        (None, None, "is no object"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_row_of_the_ticker_list_is_left_out_and_named(
    gate: Gate, client: MarketDataClient, row: object, symbol: str | None, reason: str
) -> None:
    rows: list[Any] = [listed(number) for number in range(100)]
    rows[7] = row
    gate.rule = lambda path, query: answer(*rows)  # noqa: ARG005
    found = client.reference.tickers()
    assert found.frame["symbol"].to_list() == [one for one in SYMBOLS[:100] if one != "S007"]
    assert found.bad_rows == ((symbol, f"row 8: {reason}"),)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"c": "x"}, "`c` is 'x'"),
        ({"c": -1}, "`c` is -1"),
        ({"c": 0}, "`c` is 0"),
        ({"c": 1e308}, "`c` is 1e+308"),
        ({"c": float("nan")}, "`c` is nan"),
        ({"t": CLOSE_MS + 86_400_000}, "`t` is 1760558400000, on another day"),
        ({"t": None}, "`t` is missing"),
    ],
    ids=str,
)
def test_a_bad_row_of_the_closes_is_left_out_and_named(
    gate: Gate, client: MarketDataClient, changed: dict[str, Any], reason: str
) -> None:
    rows = [closed(number) | (changed if number == 7 else {}) for number in range(100)]
    head = dict.fromkeys(("queryCount", "resultsCount", "count"), 100)
    gate.rule = lambda path, query: answer(*rows, **head, adjusted=False)  # noqa: ARG005
    found = client.reference.closes(date(2025, 10, 14))
    assert found.frame.rows() == [(f"S{number:03}", 1.0 + number) for number in range(100) if number != 7]
    assert found.bad_rows == (("S007", f"row 8: {reason}"),)


@pytest.mark.parametrize(("bad", "is_used"), [(3, True), (4, False)])
def test_more_than_one_bad_row_in_a_hundred_is_another_answer(
    gate: Gate, client: MarketDataClient, *, bad: int, is_used: bool
) -> None:
    rows = [listed(number) | ({"active": None} if number < bad else {}) for number in range(300)]
    gate.rule = lambda path, query: answer(*rows)  # noqa: ARG005
    if is_used:
        assert client.reference.tickers().frame.height == 297
    else:
        with pytest.raises(BadPage, match="4 of 300 rows lack `active`"):
            client.reference.tickers()


def test_a_long_answer_is_not_searched_for_its_bad_rows(gate: Gate, client: MarketDataClient) -> None:
    """A few bytes, compressed, would become gigabytes of objects."""
    body = answer(listed(1), {"ticker": 7, "other": [0] * 500_000})
    gate.rule = lambda path, query: body  # noqa: ARG005
    with pytest.raises(BadPage, match="not the promised JSON"):
        client.reference.tickers()
