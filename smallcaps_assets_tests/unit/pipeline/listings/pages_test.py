"""Lists of several pages: few tickers are asked for one by one, and a list that lost a page is asked for again."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date

import polars as pl

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, client_of, refusal
from smallcaps_assets_tests.unit.pipeline.listings.update_test import SESSIONS, stated_requests, update

UNTIL = [day for day in SESSIONS if day <= date(2025, 10, 15)]
PAGES = 2


def test_few_tickers_are_asked_for_one_by_one_and_no_more_than_stated(lake: Lake, wide_gate: Gate) -> None:
    log: list[str] = []
    with client_of(wide_gate) as client:
        made = update(lake, client, log).run(UNTIL)
    assert made is not None
    borders = made.tables.listings.select("symbol", "active_from", "active_to")
    assert ("NEWN", date(2025, 9, 16), None) in borders.rows()
    # on the last session that is asked for, the session of its first day
    assert ("IPOO", date(2025, 10, 14), None) in borders.rows()
    # further pages have their query in the cursor
    lists = Counter(query["date"] for _, query in wide_gate.requests if "date" in query and "ticker" not in query)
    singles = [query for _, query in wide_gate.requests if "ticker" in query]
    # one page of delisted tickers
    assert len(wide_gate.requests) == PAGES * sum(lists.values()) + len(singles) + 1
    assert singles
    of_borders = len(singles) + PAGES * (sum(lists.values()) - len(ListingStore(lake).snapshot_days()))
    assert of_borders <= stated_requests(log)
    # as many tickers as the list has pages: the list is asked for. REUS and BOUN are asked for on one session, but BOUN
    # only after the answers on delisted tickers
    days = Counter(query["date"] for query in singles if query["ticker"] != "BOUN")
    assert max(days.values()) < PAGES
    assert lists.keys() > {f"{day}" for day in ListingStore(lake).snapshot_days()}


def test_a_list_that_lost_its_pages_is_asked_for_again(lake: Lake, wide_gate: Gate) -> None:
    times = 0

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:
        nonlocal times
        if query.get("date") != "2025-09-02":
            return None
        times += 1
        reply = wide_gate.exchange.reply(path, query, {"authorization": "Bearer x"})
        body = json.loads(reply.body)
        if times == 1:
            del body["next_url"]
        return Reply(reply.status, reply.headers, json.dumps(body).encode())

    wide_gate.rule = rule
    log: list[str] = []
    with client_of(wide_gate) as client:
        made = update(lake, client, log, is_exact=False).run(UNTIL)
    assert made is not None
    (again,) = (line for line in log if "short" in line)
    assert again.startswith("the list of tickers of 2025-09-02 was short, and asked for again: +")
    assert times == 2
    table = made.tables.listings.filter(pl.col("symbol").str.contains("^T[0-9]{4}$"))
    assert (table.height, table["active_to"].null_count()) == (1050, 1050)


def test_a_few_answers_that_fail_leave_their_border_open_until_the_next_run(lake: Lake, wide_gate: Gate) -> None:
    wide_gate.rule = lambda path, query: refusal(500) if query.get("ticker") == "REUS" else None  # noqa: ARG005
    with client_of(wide_gate) as client:
        made = update(lake, client).run(UNTIL)
        assert made is not None
        assert made.open > 0
        reused = made.tables.listings.filter(symbol="REUS")
        assert reused["to_is_exact"].to_list() == [False]
        wide_gate.rule = lambda path, query: None  # noqa: ARG005
        made = update(lake, client).run(UNTIL)
    assert made is not None
    assert made.open == 0
    assert made.tables.listings.filter(symbol="REUS")["active_to"].to_list() == [date(2025, 9, 30)]
