"""Pages that are malformed."""

import json

import pytest

from smallcaps_assets.errors import BadPage
from smallcaps_assets.market_data import reference_wire, wire
from smallcaps_assets_tests.unit.market_data.wire.answers import DAY_MS, TRADE, WINDOW, v3

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
