"""Trade conditions, exchanges and splits over real HTTP."""

import json
from collections.abc import Mapping
from datetime import date

import pytest

from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.errors import BadPage, MarketDataError, NotEntitled
from smallcaps_assets.market_data.catalogue_wire import CONDITIONS, EXCHANGES
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, refusal

NEWER, OLDER = "/stocks/v1/splits", "/v3/reference/splits"
YEARS = date(2024, 1, 1), date(2025, 12, 31)


def answer(*rows: Mapping[str, object]) -> Reply:
    body = json.dumps({"results": rows, "status": "OK", "request_id": "r"}).encode()
    return Reply(200, {"Content-Type": "application/json"}, body)


def split(day: str = "2025-03-04", **changes: object) -> dict[str, object]:
    return {"ticker": "AEMD", "execution_date": day, "split_from": 8, "split_to": 1} | changes


def condition(number: int, *rules: bool) -> dict[str, object]:
    names = CONDITIONS.names()[2:]
    updates = {"update_rules": {"consolidated": dict(zip(names, rules, strict=True))}} if rules else {}
    return {"id": number, "name": f"No. {number}", **updates}


def test_conditions_of_the_simulated_vendor_have_the_pinned_rules(client: MarketDataClient, gate: Gate) -> None:
    found = client.reference.trade_conditions()
    assert found.frame.schema == CONDITIONS
    assert found.requests == 1
    assert gate.requests[0][1].items() >= {"asset_class": "stocks", "data_type": "trade", "limit": "1000"}.items()
    pinned = pinned_conditions().select("id", *CONDITIONS.names()[2:])
    ours = found.frame.select("id", *CONDITIONS.names()[2:])
    assert ours.height == 18
    assert ours.equals(pinned.filter(pinned["id"].is_in(ours["id"].to_list())))


def test_a_condition_listed_twice_is_closed_where_either_row_is(client: MarketDataClient, gate: Gate) -> None:
    twice = condition(3, True, False, True), condition(1), condition(3, True, True, False)
    gate.rule = lambda path, query: answer(*twice)  # noqa: ARG005
    assert client.reference.trade_conditions().frame.rows() == [
        (1, "No. 1", None, None, None),
        (3, "No. 3", True, False, False),
    ]


def test_exchanges(client: MarketDataClient) -> None:
    found = client.reference.exchanges().frame
    assert found.schema == EXCHANGES
    assert dict(found.select("id", "mic").iter_rows()).items() >= {4: "FINR", 10: "XNYS", 12: "XNAS"}.items()


@pytest.mark.parametrize("status", [403, 404])
def test_splits_come_from_the_older_list_where_the_newer_is_refused(
    client: MarketDataClient, gate: Gate, status: int
) -> None:
    newer = client.reference.splits(*YEARS).frame
    assert newer.schema == SPLITS
    assert newer.height > 0
    assert newer["symbol"].is_sorted()
    assert [path for path, _ in gate.requests] == [NEWER]
    gate.rule = lambda path, query: refusal(status, "no") if path == NEWER else None  # noqa: ARG005
    gate.requests.clear()
    older = client.reference.splits(*YEARS).frame
    assert older.equals(newer)
    assert [path for path, _ in gate.requests] == [NEWER, OLDER]
    day = newer["execution_date"][0]
    # both ends are included
    assert client.reference.splits(day, day).frame.equals(newer.filter(newer["execution_date"] == day))
    assert client.reference.splits(date(2001, 1, 1), date(2001, 1, 2)).frame.is_empty()


def test_splits_that_neither_list_may_serve(client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(403, "not entitled")  # noqa: ARG005
    with pytest.raises(NotEntitled):
        client.reference.splits(*YEARS)


def test_splits_of_one_day_that_differ_are_left_out_and_named(client: MarketDataClient, gate: Gate) -> None:
    rows = split(), split(), split("2025-05-06"), split("2025-05-06", split_from=9), split("2025-07-08", ticker="B")
    gate.rule = lambda path, query: answer(*rows)  # noqa: ARG005
    found = client.reference.splits(*YEARS)
    assert found.frame.rows() == [
        ("AEMD", date(2025, 3, 4), 8.0, 1.0),
        ("B", date(2025, 7, 8), 8.0, 1.0),
    ]
    assert [*map(tuple, found.bad_rows)] == [("AEMD", "two rows of 2025-05-06 differ")]


@pytest.mark.parametrize("number", [-1, 2**40, 2**63 - 1])
def test_an_id_that_no_condition_and_no_exchange_has_is_rejected(
    client: MarketDataClient, gate: Gate, number: int
) -> None:
    """Tables of rules have one place for each id up to the highest."""
    gate.rule = lambda path, query: answer(condition(1), condition(number))  # noqa: ARG005
    for read in (client.reference.trade_conditions, client.reference.exchanges):
        with pytest.raises(BadPage, match=f"`id` is {number}, not from 0 to 65,535"):
            read()


def test_an_empty_list_of_conditions_is_no_answer(client: MarketDataClient, gate: Gate) -> None:
    """It would take the place of a good table, and make every trade one of unknown conditions."""
    gate.rule = lambda path, query: answer()  # noqa: ARG005
    with pytest.raises(BadPage, match="the vendor lists none"):
        client.reference.trade_conditions()


@pytest.mark.parametrize(
    "wrong",
    [
        split("2026-01-01"),
        split("soon"),
        split(split_to=0),
        split(split_from=-1),
        split(split_to=None),
        split(split_from=1e308),
        split(split_to=1e-300),
    ],
)
def test_impossible_splits_are_rejected(client: MarketDataClient, gate: Gate, wrong: dict[str, object]) -> None:
    gate.rule = lambda path, query: answer(wrong)  # noqa: ARG005
    with pytest.raises(BadPage):
        client.reference.splits(*YEARS)
    gate.rule = lambda path, query: answer(wrong, split())  # noqa: ARG005
    found = client.reference.splits(*YEARS)
    assert (found.frame.height, len(found.bad_rows)) == (1, 1)


def test_a_fault_of_the_newer_list_is_no_refusal(client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(400, "bad") if path == NEWER else answer(split())  # noqa: ARG005
    with pytest.raises(MarketDataError):
        client.reference.splits(*YEARS)
