"""Ticker events of the renames that no share class FIGI proves, over HTTP: BARE -> BARF of the corporate market."""

import json
from typing import Any

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.listings.ticker_changes import NOT_IN_PLAN
from smallcaps_assets.pipeline.listings.update import ListingsMade
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, refusal
from smallcaps_assets_tests.unit.pipeline.listings.update_test import SESSIONS, run, update

EVENTS = "/vX/reference/tickers/BARF/events"


def asked(gate: Gate) -> list[str]:
    return [path for path, _ in gate.requests if path.endswith("/events")]


def former_of(made: ListingsMade, symbol: str = "BARF") -> str | None:
    return str(made.tables.listings.filter(symbol=symbol)["former_symbol"][0] or "") or None


def answer(*changes: tuple[str, str], **more: Any) -> Reply:
    events = [{"type": "ticker_change", "date": day, "ticker_change": {"ticker": to}} for day, to in changes]
    body = {"status": "OK", "request_id": "r", "results": {"name": "Bare", "events": events, **more}}
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def on_events(gate: Gate, reply: Reply | None) -> None:
    gate.rule = lambda path, query: reply if path.endswith("/events") else None  # noqa: ARG005


def test_only_the_rename_without_a_figi_is_asked_for_once_and_stated_before(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    log: list[str] = []
    made = update(lake, client, log).run(SESSIONS)
    assert made is not None
    assert asked(gate) == [EVENTS]
    assert any("ticker events of 1 security whose change" in line and line.endswith("1 request") for line in log)
    assert (made.renames.doubtful, made.renames.confirmed, made.renames.denied) == (1, 1, 0)
    assert former_of(made) == "BARE"
    stored = ListingStore(lake).ticker_events().select("asked_for", "is_known", "ticker").rows()
    assert stored == [("BARF", True, "BARE"), ("BARF", True, "BARF")]
    gate.requests.clear()
    assert former_of(run(lake, client)) == "BARE"
    assert gate.requests == []


def test_another_former_ticker_or_none_denies_what_rests_on_company_and_type(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    on_events(gate, answer(("2025-10-16", "BARF"), ("2012-01-03", "OTHR"), cik="9000012"))
    made = run(lake, client)
    assert (former_of(made), made.renames.denied, made.renames.undecided) == (None, 1, 0)
    # the renames by share class FIGI stay
    assert former_of(made, "NEWN") == "OLDN"


@pytest.mark.parametrize(
    ("reply", "rows"),
    [
        (refusal(404), 1),
        # another company, a change long before, two tickers on one day, none at all
        (answer(("2025-10-16", "BARF"), cik="0000000001"), 1),
        (answer(("2019-03-04", "BARF")), 1),
        (answer(("2025-10-16", "BARF"), ("2025-10-16", "BARG")), 2),
        (answer(), 1),
    ],
)
def test_an_answer_that_does_not_say_leaves_the_rename_as_it_is(
    lake: Lake, client: MarketDataClient, gate: Gate, reply: Reply, rows: int
) -> None:
    on_events(gate, reply)
    made = run(lake, client)
    assert (former_of(made), made.renames.undecided, made.renames.state) == ("BARE", 1, None)
    assert ListingStore(lake).ticker_events().height == rows
    # it was given more than 30 days after the rename of 16 October, and is not asked for again
    gate.requests.clear()
    run(lake, client)
    assert gate.requests == []


def test_an_early_answer_that_does_not_say_is_asked_for_once_more(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    """The 30th day after the rename of 16 October is Saturday, 15 November: the next session is the 17th."""
    on_events(gate, refusal(404))
    for day, count in (("2025-10-20", 1), ("2025-11-14", 1), ("2025-11-17", 2), ("2025-12-12", 2)):
        run(lake, client, [one for one in SESSIONS if f"{one}" <= day])
        assert len(asked(gate)) == count


def test_a_plan_without_ticker_events_costs_one_request_and_is_said_so(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    on_events(gate, refusal(403))
    made = run(lake, client)
    assert (former_of(made), made.renames.state) == ("BARE", NOT_IN_PLAN)
    assert len(asked(gate)) == 1
    assert not lake.ticker_events.exists()
    on_events(gate, None)
    assert run(lake, client).renames.confirmed == 1


def test_a_failure_is_asked_for_again_and_months_ask_for_nothing(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    assert run(lake, client, is_exact=False).renames.undecided > 0
    assert asked(gate) == []
    on_events(gate, refusal(500))
    assert former_of(run(lake, client)) == "BARE"
    on_events(gate, None)
    assert run(lake, client).renames.confirmed == 1


def test_a_ticker_that_is_not_followed_is_not_asked_for(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    run(lake, client, ticker_types=["ETF"])
    assert asked(gate) == []
