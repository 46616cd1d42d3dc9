"""Malformed answers and pages without end are rejected with their reason."""

from collections.abc import Callable
from datetime import date

import pytest

from smallcaps_assets.errors import (
    BadPage,
)
from smallcaps_assets.market_data.pages import MAX_PAGES
from smallcaps_assets_tests.contract.scripted_server import START_NS, Reply, Rig, Script, page, trade, trades

NEXT = "http://x/v3/trades/AEMD?cursor=again"


def leading_to(path: str) -> list[Reply | Callable[[int], Reply]]:
    """A page whose `next_url` has this path, then a good last page, which must not be requested."""
    return [page(trade(0), next_url=f"http://x{path}?cursor=c"), page(trade(1))]


# answers, the reason for their rejection, and the number of requests until then
BAD: dict[str, tuple[list[Reply | Callable[[int], Reply]], str, int]] = {
    "HTML with 200": (
        [Reply(b"<html>login</html>", headers={"Content-Type": "text/html"})],
        "18 bytes that are not a JSON object",
        1,
    ),
    "no results": ([Reply(b'{"status":"OK","request_id":"r1"}')], "no `results`, which is not the same as an", 1),
    "null results": ([Reply(b'{"status":"OK","results":null}')], "no `results`, which is not the same as an", 1),
    "an error with 200": ([page(status="ERROR")], "status 'ERROR' is not one of OK, DELAYED", 1),
    "a text price": (
        [page(trade(0, price="3.25"))],
        "not the promised JSON: JSON parse error: Column(/results/[]/price",
        1,
    ),
    "a float time": (
        [page(trade(0, sip_timestamp=float(START_NS)))],
        "not the promised JSON: Failed to convert JSON to int64",
        1,
    ),
    "another window": (
        [page(trade(0, sip_timestamp=START_NS - 1))],
        f"1 of 1 row lies outside the requested window, the first at {START_NS - 1}",
        1,
    ),
    "descending": ([page(trade(4), trade(0))], "`sip_timestamp` is not in ascending order", 1),
    "pages run backwards": (
        [page(trade(4), next_url=NEXT), page(trade(0))],
        f"pages run backwards: one ends at {START_NS + 2}, the next at {START_NS}",
        2,
    ),
    "a broken second page": ([page(trade(0), next_url=NEXT), Reply(b"{}")], "status None is not one of", 2),
    "a cursor that loops": (
        [page(trade(0), next_url=NEXT), page(trade(1), next_url=NEXT), page(trade(2))],
        "was followed before: the cursor loops",
        2,
    ),
    "another ticker": (leading_to("/v3/trades/AEM"), "leads away from /v3/trades/AEMD", 1),
    "a ticker that begins alike": (leading_to("/v3/trades/AEMDW"), "leads away from /v3/trades/AEMD", 1),
    "steps up": (leading_to("/v3/trades/AEMD/../AEM"), "leads away from /v3/trades/AEMD", 1),
    "steps up, escaped": (leading_to("/v3/trades/AEMD/%2e%2e/AEM"), "leads away from /v3/trades/AEMD", 1),
    "steps up at the end": (leading_to("/v3/trades/AEMD/.."), "leads away from /v3/trades/AEMD", 1),
    "no path": ([page(trade(0), next_url=""), page(trade(1))], "leads away from /v3/trades/AEMD", 1),
    "no URL": (
        [page(trade(0), next_url="http://[x/v3/trades/AEMD?cursor=c"), page(trade(1))],
        "`next_url` 'http://[x/v3/trades/AEMD?cursor=c' is not a URL",
        1,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_answer_is_rejected_without_retry_and_with_its_reason(script: Script, rig: Rig, name: str) -> None:
    replies, reason, requests = BAD[name]
    script.replies = [*replies]
    with pytest.raises(BadPage, match="GET /v3/trades/AEMD for trades: ") as caught:
        trades(rig)
    assert reason in str(caught.value)
    assert (len(script.seen), rig.slept) == (requests, [])


@pytest.mark.slow
def test_endless_pages_are_rejected(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(trade(n), next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match=f"{MAX_PAGES} pages and no end"):
        trades(rig)
    assert len(script.seen) == MAX_PAGES


def test_a_long_series_of_empty_pages_is_rejected(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match="page 11 has no rows, as the 10 before it"):
        trades(rig)
    assert len(script.seen) == 11


def test_pages_that_alternate_are_rejected_at_the_third(script: Script, rig: Rig) -> None:
    script.replies = [lambda n: page(trade(10 * (n % 2)), next_url=f"http://x/v3/trades/AEMD?cursor={n}")]
    with pytest.raises(BadPage, match="pages run backwards"):
        trades(rig)
    assert len(script.seen) <= 3


def test_next_page_of_bars_must_have_the_same_path(script: Script, rig: Rig) -> None:
    head = {"ticker": "AEMD", "adjusted": False, "queryCount": 1, "resultsCount": 1, "count": 1}
    rows = [{"o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "t": 1_760_441_340_000 + i * 60_000} for i in range(2)]
    root = "http://x/v2/aggs/ticker"
    query = "1760441400000/2025-10-14?cursor=c"
    script.replies = [page(rows[0], next_url=f"{root}/AEMD/range/1/minute/{query}", **head), page(rows[1], **head)]
    assert rig.client.minute_bars("AEMD", date(2025, 10, 14), date(2025, 10, 14)).frame.height == 2
    assert script.seen[1].path.endswith("/1760441400000/2025-10-14")
    script.replies = [page(rows[0], next_url=f"{root}/AEMD/range/1/day/{query}", **head)]
    with pytest.raises(BadPage, match="leads away"):
        rig.client.minute_bars("AEMD", date(2025, 10, 14), date(2025, 10, 14))
