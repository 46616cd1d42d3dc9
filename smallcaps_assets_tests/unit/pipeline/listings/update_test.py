"""Listings of a market over HTTP: exact, incremental, counted, and robust against faults of the vendor."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.listings.lookup import with_listing_facts
from smallcaps_assets.domain.symbols import ExchangeTestSymbols
from smallcaps_assets.errors import InputError, MarketDataError, VendorUnavailable
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.listings.asking import ListingRequests
from smallcaps_assets.pipeline.listings.costs import delisted_costs, list_costs
from smallcaps_assets.pipeline.listings.delisted_tickers import DelistedFound
from smallcaps_assets.pipeline.listings.update import ListingsMade, ListingsUpdate
from smallcaps_assets.simulated.corporate.companies import COMPANIES
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, refusal

SESSIONS = xnys_calendar(date(2025, 8, 4), date(2025, 12, 12))["date"].to_list()
LISTS = [date(2025, 8, 4), date(2025, 9, 2), date(2025, 10, 1), date(2025, 11, 3), date(2025, 12, 1), SESSIONS[-1]]
TICKERS = "/v3/reference/tickers"


def update(lake: Lake, client: MarketDataClient, log: list[str] | None = None, **changes: Any) -> ListingsUpdate:
    lake.root.mkdir(parents=True, exist_ok=True)
    requests = ListingRequests(
        store=ListingStore(lake),
        client=client,
        source="simulated",
        threads=changes.pop("threads", 2),
        log=([] if log is None else log).append,
    )
    settings: dict[str, Any] = {
        "tests": ExchangeTestSymbols(("Z?ZZ[TC]",)),
        "ticker_types": None,
        "named": (),
        "only_named": False,
        "is_exact": True,
    }
    return ListingsUpdate(requests=requests, **settings | changes)


def stated_requests(log: list[str]) -> int:
    """The requests for changes between lists that were stated before they were sent."""
    borders = [line.partition("at most ")[2] for line in log if line.startswith("asking on which sessions")]
    hints = [line.partition("shows: ")[2] for line in log if line.startswith("asking about ")]
    return sum(int(text.split()[0]) for text in (*borders, *hints))


def run(lake: Lake, client: MarketDataClient, sessions: list[date] = SESSIONS, **changes: Any) -> ListingsMade:
    made = update(lake, client, **changes).run(sessions)
    assert made is not None
    return made


def true_listings() -> dict[tuple[str, date], tuple[date | None, str | None, str | None]]:
    """Ticker and first session of each listing, with its last session, former and next ticker, from the companies.

    Tenures of one ticker that follow each other are one listing.
    """
    found = {}
    for company in COMPANIES:
        spans: list[list[Any]] = []
        for tenure in company.tenures:
            if spans and spans[-1][0] == tenure.ticker and (tenure.first - spans[-1][2]).days <= 3:
                spans[-1][2] = tenure.last
            else:
                spans.append([tenure.ticker, tenure.first, tenure.last])
        for number, (ticker, first, last) in enumerate(spans):
            follows = number > 0 and spans[number - 1][0] != ticker
            leads = number + 1 < len(spans) and spans[number + 1][0] != ticker
            former = spans[number - 1][0] if follows else None
            found[ticker, max(first, SESSIONS[0])] = (last, former, spans[number + 1][0] if leads else None)
    return found


def test_listings_of_a_market_are_exact_to_the_session(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    made = run(lake, client)
    table = made.tables.listings
    expected = {key: value for key, value in true_listings().items() if key[0] != "ZVZZT"}
    found = {
        (row["symbol"], row["active_from"]): (row["active_to"], row["former_symbol"], row["next_symbol"])
        for row in table.iter_rows(named=True)
    }
    assert found == expected
    assert table["to_is_exact"].all()
    assert table.filter(~pl.col("from_is_exact"))["active_from"].unique().to_list() == [SESSIONS[0]]
    assert (made.tests, made.open, made.unserved) == (["ZVZZT"], 0, None)
    # GRVE and the like are distinguished by their FIGIs, which the late ones have as well
    assert table.filter(symbol="LATE")["share_class_figi"].to_list() == ["BBGSIC000013"]
    days = pl.DataFrame({"symbol": "TYPE", "day": [date(2025, 10, 21), date(2025, 10, 22)]})
    assert with_listing_facts(days, made.tables.facts, "day")["ticker_type"].to_list() == ["ETF", "CS"]
    days = pl.DataFrame({"symbol": "MOVE", "day": [date(2025, 10, 7), date(2025, 10, 8)]})
    assert with_listing_facts(days, made.tables.facts, "day")["primary_exchange"].to_list() == ["BATS", "XNYS"]
    store = ListingStore(lake)
    assert store.snapshot_days() == LISTS
    assert store.covers() == (SESSIONS[0], SESSIONS[-1])
    stored = store.at(date(2025, 10, 1))
    assert stored is not None
    assert "REUS" not in stored["symbol"].to_list()
    # one page holds the whole market, so that a session costs one request however many tickers are asked for; only
    # delistings that no list shows are asked about one by one: BRIF, and BOUN, which is listed on the session before
    # its delisting and absent on the one after. The second THRD is in a list that was asked for because of others
    asked = [query for path, query in gate.requests if path == TICKERS]
    singles = sorted((query["ticker"], query["date"]) for query in asked if "ticker" in query)
    assert singles == [("BOUN", "2025-09-10"), ("BOUN", "2025-09-12"), ("BRIF", "2025-10-15")]
    # what these answers differ from is asked for in the end, of a session that others may have been asked for
    lists = [query["date"] for query in asked if query["active"] == "true" and "ticker" not in query]
    assert len(lists) - len(set(lists)) <= 2 * 4
    assert len([query for query in asked if query["active"] == "false"]) == 1
    assert made.delisted == DelistedFound(known=11, confirmed=11, since=f"{SESSIONS[0]}")


def test_the_list_of_delisted_tickers_is_asked_for_where_lists_can_miss_something(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    def asked() -> int:
        count = sum(query.get("active") == "false" for _, query in gate.requests)
        gate.requests.clear()
        return count

    november = [day for day in SESSIONS if day <= date(2025, 11, 18)]
    made = run(lake, client, november)
    # OLDN, REUS, SWPA, SWPB, BACK, BARE, BRIF, BOUN, and THRD twice; NA and ZVZZT do not count here
    assert (made.delisted.known, made.delisted.confirmed, made.delisted.unconfirmed) == (10, 10, ())
    assert asked() == 1
    # a night: the lists of two sessions in a row show every change
    run(lake, client, SESSIONS[: len(november) + 1])
    assert asked() == 0
    # a night was left out: what began and ended on it is in no list
    run(lake, client, SESSIONS[: len(november) + 3])
    assert asked() == 1
    # the vendor may name a delisting late: once a month
    for last in (date(2025, 11, 28), date(2025, 12, 1), date(2025, 12, 2)):
        made = run(lake, client, [day for day in SESSIONS if day <= last])
        assert asked() == (1 if last.day != 2 else 0)
    assert (made.delisted.known, made.delisted.confirmed) == (11, 11)
    # an earlier session: history was extended
    run(lake, client, [date(2025, 8, 1), *SESSIONS])
    assert asked() == 1


def test_lakes_made_before_ask_for_what_they_lack_only(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    whole = run(lake, client)
    lake.delisted_tickers.unlink()
    gate.requests.clear()
    again = run(lake, client)
    assert [query["active"] for _, query in gate.requests] == ["false"]
    assert again.tables.listings.equals(whole.tables.listings)
    assert again.delisted == whole.delisted


def test_a_plan_without_the_list_of_delisted_tickers_says_so(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(403) if query.get("active") == "false" else None  # noqa: ARG005
    made = run(lake, client)
    assert made.delisted.state == "not in the plan"
    assert unlisted_sessions(lake, ["NEWN"], SESSIONS) == {}
    assert "BRIF" not in made.tables.listings["symbol"].to_list()
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert "BRIF" in run(lake, client).tables.listings["symbol"].to_list()
    assert unlisted_sessions(lake, ["NEWN"], SESSIONS) == {"NEWN": {day for day in SESSIONS if day < date(2025, 9, 16)}}


def test_a_delisting_that_the_lists_deny_is_named_and_asked_about_once(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    def wrong(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        stay = {"ticker": "STAY", "active": False, "composite_figi": "BBGSIM000000", "share_class_figi": "BBGSIC000000"}
        undated = {"ticker": "GONE", "active": False, "name": "Gone Inc."}
        ghost = {"ticker": "GHOST", "active": False, "name": "Ghost", "delisted_utc": "2025-10-22T00:00:00Z"}
        return [*rows, stay | {"delisted_utc": "2025-10-21T04:00:00Z"}, undated, ghost]

    gate.rule = lambda path, query: changed(gate, path, query, None, wrong) if query.get("active") == "false" else None
    log: list[str] = []
    made = update(lake, client, log).run(SESSIONS)
    assert made is not None
    assert made.delisted.unconfirmed == ("GHOST on 2025-10-22", "STAY on 2025-10-21")
    assert made.delisted.doubtful == ("GHOST", "STAY")
    assert "1 delisted ticker without a day of delisting: left out" in log
    singles = sorted((query["ticker"], query["date"]) for _, query in gate.requests if "ticker" in query)
    # before and on the day of GHOST; before and after the day of STAY, which is listed then
    assert [one for one in singles if one[0] in ("GHOST", "STAY")] == [
        ("GHOST", "2025-10-21"),
        ("GHOST", "2025-10-22"),
        ("STAY", "2025-10-20"),
        ("STAY", "2025-10-22"),
    ]
    assert made.tables.listings.filter(symbol="STAY").height == 1
    assert "GHOST" not in made.tables.listings["symbol"].to_list()
    gate.requests.clear()
    assert run(lake, client).delisted == made.delisted
    assert gate.requests == []


def test_nothing_is_asked_for_twice(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    first = run(lake, client)
    gate.requests.clear()
    before = lake.listings.read_bytes()
    again = run(lake, client)
    assert gate.requests == []
    assert again.tables.listings.equals(first.tables.listings)
    assert lake.listings.read_bytes() == before


def test_a_night_costs_one_list_where_nothing_changed_and_replaces_the_list_of_the_night_before(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    run(lake, client, SESSIONS[:-3])
    for count in (2, 1):
        gate.requests.clear()
        run(lake, client, SESSIONS[: len(SESSIONS) - count])
        assert [query["date"] for _, query in gate.requests] == [f"{SESSIONS[-count - 1]}"]
    nights = run(lake, client)
    assert ListingStore(lake).snapshot_days() == LISTS
    lake.listings.unlink()
    assert run(lake, client).tables.listings.equals(nights.tables.listings)


def test_nights_and_one_run_over_all_of_them_end_alike(lake: Lake, client: MarketDataClient, tmp_path: Any) -> None:
    for count in range(60, len(SESSIONS) + 1, 7):
        run(lake, client, SESSIONS[:count])
    nightly = run(lake, client)
    at_once = run(Lake(tmp_path / "other"), client)
    assert nightly.tables.listings.equals(at_once.tables.listings)
    assert nightly.tables.facts.equals(at_once.tables.facts)


def test_the_cost_is_stated_before_it_is_paid(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    costs = list_costs(ListingStore(lake), SESSIONS)
    # nothing is stored, so that a list is taken for one of 12,000 tickers
    assert costs.as_json() == {"lists_missing": 6, "pages_per_list": 12, "requests_for_lists": 72}
    log: list[str] = []
    update(lake, client, log).run(SESSIONS)
    assert log[0] == "asking for 6 lists of tickers, from 2025-08-04 to 2025-12-12: about 72 requests"
    asked = sum(path == TICKERS for path, _ in gate.requests) - len(LISTS)
    stated = next(line for line in log if line.startswith("asking on which sessions"))
    # OLDN, NEWN, REUS, SWPA, SWPB, TYPE, MOVE, BACK, NA, BARE, BARF, IPOO and THRD, see COMPANIES
    assert "13 tickers changed between two lists: at most" in stated
    # 25 pages are assumed until the list is stored: there is one
    (delisted,) = (line for line in log if line.startswith("asking for the list of delisted tickers"))
    assert delisted.endswith("between two lists: about 25 requests")
    assert delisted_costs(ListingStore(lake), SESSIONS) == 0
    assert 0 < asked <= 1 + stated_requests(log)
    assert list_costs(ListingStore(lake), SESSIONS).requests == 0


def test_months_are_enough_for_those_who_do_not_pay_for_sessions(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    made = run(lake, client, is_exact=False)
    assert len(gate.requests) == len(LISTS)
    renamed = made.tables.listings.filter(symbol="NEWN").row(0, named=True)
    assert (renamed["active_from"], renamed["from_is_exact"]) == (date(2025, 10, 1), False)
    assert renamed["former_symbol"] == "OLDN"
    assert made.open > 0


def test_only_followed_types_are_asked_for(lake: Lake, client: MarketDataClient) -> None:
    """TYPE is an ETF until October, then a common stock: it counts for either."""
    made = run(lake, client, ticker_types=["ETF"])
    inexact = made.tables.listings.filter(~pl.col("from_is_exact"), pl.col("active_from") > SESSIONS[0])
    # one page answers for all types, so that only sessions that TYPE did not need are open
    assert "TYPE" not in inexact["symbol"].to_list()
    assert made.open > 0


def test_a_named_universe_asks_for_its_tickers_and_those_of_the_same_companies(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    run(lake, client, named=["NEWN"], only_named=True)
    table = ListingStore(lake).table()
    assert table is not None
    days = table.filter(pl.col("symbol").is_in(["OLDN", "NEWN"]))["active_to", "active_from"].rows()
    assert days == [(None, date(2025, 9, 16)), (date(2025, 9, 15), SESSIONS[0])]
    # from 2 September to 1 October are 21 sessions: at most 5 requests
    # and one for the list of delisted tickers
    assert len(gate.requests) <= len(LISTS) + 5 + 1


def test_a_plan_without_early_lists_gives_listings_since_its_first_one(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    gate.rule = lambda path, query: refusal(403) if query.get("date", "") < "2025-10-01" else None  # noqa: ARG005
    made = run(lake, client)
    assert made.unserved == date(2025, 9, 2)
    assert ListingStore(lake).covers() == (date(2025, 10, 1), SESSIONS[-1])
    assert made.tables.listings.filter(symbol="NEWN")["active_from"].to_list() == [date(2025, 10, 1)]


def test_a_plan_without_any_list_leaves_no_listings(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: refusal(403)  # noqa: ARG005
    assert update(lake, client).run(SESSIONS) is None
    assert len(gate.requests) == 1
    assert ListingStore(lake).table() is None


def test_an_interrupted_run_is_continued(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    def asked() -> Counter[tuple[str | None, ...]]:
        found = Counter(tuple(map(query.get, ("active", "ticker", "date"))) for _, query in gate.requests)
        gate.requests.clear()
        return found

    run(Lake(lake.root / "undisturbed"), client, threads=1)
    undisturbed = asked()
    gate.rule = lambda path, query: refusal(500) if len(gate.requests) > 9 else None  # noqa: ARG005
    with pytest.raises(VendorUnavailable):
        run(lake, client, threads=1)
    # the tenth request failed twice
    del gate.requests[9:]
    gate.rule = lambda path, query: None  # noqa: ARG005
    assert run(lake, client).open == 0
    assert asked() == undisturbed


def test_a_lost_row_of_one_list_splits_nothing(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: changed(gate, path, query, "2025-10-01", lambda rows: without(rows, "STAY", "GROW"))
    made = run(lake, client)
    for symbol in ("STAY", "GROW"):
        assert made.tables.listings.filter(symbol=symbol)["active_to"].to_list() == [None]
    assert made.open == 0


def test_contradicting_rows_say_nothing_of_their_day(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    def twice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        other = [row | {"type": "WARRANT", "composite_figi": "BBGOTHER0000"} for row in rows if row["ticker"] == "STAY"]
        repeated = [row | {"cik": None} for row in rows if row["ticker"] == "GROW"]
        return [*rows, *other, *repeated]

    gate.rule = lambda path, query: changed(gate, path, query, "2025-10-01", twice)
    log: list[str] = []
    made = update(lake, client, log).run(SESSIONS)
    assert made is not None
    assert made.unclear == ["STAY on 2025-10-01: its rows differ in ticker_type, composite_figi"]
    assert any(made.unclear[0] in line for line in log)
    assert made.tables.listings.filter(symbol="STAY")["active_to"].to_list() == [None]
    assert made.tables.listings.filter(symbol="GROW").height == 1


def test_lists_of_another_source_are_not_mixed_in(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    run(lake, client, SESSIONS[:20])
    gate.requests.clear()
    other = update(lake, client)
    other = replace(other, requests=replace(other.requests, source="vendor"))
    with pytest.raises(InputError, match=r"another source, 'simulated', and the settings name 'vendor'"):
        other.run(SESSIONS)
    assert gate.requests == []


def test_an_empty_list_is_a_fault_of_the_vendor(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    gate.rule = lambda path, query: changed(gate, path, query, "2025-10-01", lambda rows: [])  # noqa: ARG005
    with pytest.raises(MarketDataError, match="tickers of 2025-10-01: the vendor lists none"):
        run(lake, client)


def changed(gate: Gate, path: str, query: Mapping[str, str], day: str | None, change: Any) -> Reply | None:
    """The exchange's answer about one day, with other rows."""
    if query.get("date") != day:
        return None
    reply = gate.exchange.reply(path, query, {"authorization": "Bearer x"})
    body = json.loads(reply.body)
    body["results"] = change(body["results"])
    return Reply(reply.status, reply.headers, json.dumps(body).encode())


def without(rows: list[dict[str, Any]], *symbols: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["ticker"] not in symbols]
