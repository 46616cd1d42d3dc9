"""Lists of reference data from a server that means harm: each answer ends in time, with an error of ours."""

import gzip
import json
import re
from collections.abc import Callable
from datetime import date
from typing import Final

import pytest

from smallcaps_assets.errors import MarketDataError
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets_tests.contract.hostile_vendor_test import BOMB, GZIP, OK, TOO_LONG, client_of
from smallcaps_assets_tests.hostile_server import GOOD_BODY, Piece, drip, hostile_server, reply

DAY: Final = date(2025, 11, 26)
LISTS: Final[dict[str, Callable[[MarketDataClient], object]]] = {
    "conditions": lambda client: client.reference.trade_conditions(),
    "exchanges": lambda client: client.reference.exchanges(),
    "splits": lambda client: client.reference.splits(DAY, DAY),
    "tickers": lambda client: client.reference.tickers(),
    "closes": lambda client: client.reference.closes(DAY),
    "floats": lambda client: client.reference.float_shares(["A"]),
    "short interest": lambda client: client.reference.short_interest(["A"]),
    "details": lambda client: client.reference.ticker_details("A", DAY),
}
# what a row of each list has
ROW: Final = {
    "id": 1,
    "name": "x",
    "ticker": "A",
    "active": True,
    "free_float": 5,
    "short_interest": 5,
    "execution_date": f"{DAY}",
    "settlement_date": f"{DAY}",
    "split_from": 2,
    "split_to": 1,
}
PAGED: Final = [name for name in LISTS if name not in {"closes", "details"}]


def text(body: str, *headers: str) -> bytes:
    return reply(body.encode(), "200 OK", *headers)


HOSTILE: Final[dict[str, tuple[list[Piece], str]]] = {
    "a bomb": ([reply(BOMB, "200 OK", GZIP)], TOO_LONG),
    "a bomb in a bomb": ([reply(gzip.compress(BOMB), "200 OK", GZIP)], "not a JSON object"),
    "no JSON": ([text("<html>")], "not a JSON object"),
    "no results": ([text('{"status":"OK"}')], "no `results`"),
    "null": ([text('{"status":"OK","results":null}')], "no `results`"),
    "numbers": ([text('{"status":"OK","results":[1,2]}')], "not the promised JSON"),
    "another status": ([text('{"status":"ERROR","results":[]}')], "status 'ERROR'"),
    "a number that is none": ([text('{"status":"OK","results":[{"id":NaN,"ticker":NaN,"T":NaN}]}')], "JSON"),
}


@pytest.mark.parametrize("answer", HOSTILE)
@pytest.mark.parametrize("name", LISTS)
def test_a_hostile_answer_to_a_list_is_an_error_of_ours(name: str, answer: str) -> None:
    pieces, words = HOSTILE[answer]
    with (
        hostile_server(lambda: pieces) as server,
        client_of(server.address_of("http"), deadline_s=5.0) as client,
        pytest.raises(MarketDataError, match=f"{re.escape(words)}|JSON"),
    ):
        LISTS[name](client)


@pytest.mark.parametrize("name", LISTS)
def test_the_deadline_ends_a_list_that_drips(name: str) -> None:
    dripping = drip(OK + b"Content-Length: 126\r\n\r\n", b" ", GOOD_BODY)
    with (
        hostile_server(dripping) as server,
        client_of(server.address_of("http"), deadline_s=0.1) as client,
        pytest.raises(MarketDataError, match=r"an answer without end after 0\.1 s \(within its body\)"),
    ):
        LISTS[name](client)


@pytest.mark.parametrize("target", ["http://elsewhere.example/v3/x", "//elsewhere.example/x", "/v2/last", None])
@pytest.mark.parametrize("name", PAGED)
def test_a_list_leads_nowhere_else_and_not_in_circles(name: str, target: str | None) -> None:
    def answers() -> list[Piece]:
        following = target or f"{server.address_of('http')}{server.heads[-1].split(b' ')[1].decode()}"
        return [text(json.dumps({"status": "OK", "results": [ROW], "next_url": following}))]

    words = "leads away from" if target else "was followed before: the cursor loops"
    with (
        hostile_server(answers) as server,
        client_of(server.address_of("http"), deadline_s=5.0) as client,
        pytest.raises(MarketDataError, match=words),
    ):
        LISTS[name](client)
    assert len(server.heads) == 1
