"""The client over real HTTP: what it sends, and what it makes of good answers."""

import json
import threading
from datetime import UTC, date, datetime
from itertools import count

import pytest

from smallcaps_assets.domain.tables import BARS, QUOTES_ALL, TRADES_ALL
from smallcaps_assets.errors import (
    InputError,
    Stopped,
)
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets_tests.contract.scripted_server import (
    END,
    GOOD,
    KEY,
    START,
    START_NS,
    Reply,
    Rig,
    Script,
    page,
    trade,
    trades,
    zipped,
)


def test_next_page_is_requested_from_the_configured_host(script: Script, rig: Rig) -> None:
    vendor_url = "https://api.massive.com/v3/trades/AEMD?cursor=YXA9Ng&x=a%7Cb&apiKey=leaked"
    script.replies = [zipped(page(trade(0), trade(1), next_url=vendor_url)), page(trade(1), trade(2), request_id="r2")]
    fetched = trades(rig)
    assert fetched.frame.schema == TRADES_ALL
    assert fetched.frame["sequence_number"].to_list() == [0, 1, 2]
    assert fetched.frame["size"].to_list() == [1.5, 2.5, 3.5]
    assert (fetched.requests, fetched.retries, fetched.throttled, fetched.pages) == (2, 0, 0, 2)
    assert fetched.request_ids == ("r1", "r2")
    first, second = script.seen
    assert first.path == second.path == "/v3/trades/AEMD"
    assert first.query == {
        "timestamp.gte": str(START_NS),
        "timestamp.lt": str(START_NS + 600_000_000_000),
        "sort": "timestamp",
        "order": "asc",
        "limit": "50000",
    }
    assert second.query == {"cursor": "YXA9Ng", "x": "a|b"}
    assert {seen.authorization for seen in script.seen} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("prefix_comes_back", [True, False])
def test_the_path_of_a_base_url_is_kept_and_not_doubled(script: Script, *, prefix_comes_back: bool) -> None:
    next_path = "/proxy/v3/trades/AEMD" if prefix_comes_back else "/v3/trades/AEMD"
    script.replies = [page(trade(0), next_url=f"http://elsewhere{next_path}?cursor=c"), page(trade(1))]
    with MarketDataClient(Transport(f"{script.base}/proxy/", KEY, bucket=TokenBucket(None))) as client:
        assert client.trades("AEMD", START, END).pages == 2
    assert [seen.path for seen in script.seen] == ["/proxy/v3/trades/AEMD"] * 2


def test_quotes_have_a_separate_path_and_an_empty_answer_is_valid(script: Script, rig: Rig) -> None:
    script.replies = [page()]
    fetched = rig.client.quotes("BRK.B", START, END)
    assert (fetched.frame.schema, fetched.frame.height, fetched.pages) == (QUOTES_ALL, 0, 1)
    assert script.seen[0].path == "/v3/quotes/BRK.B"


def test_bars_are_requested_month_by_month(script: Script, rig: Rig) -> None:
    def bars(start: datetime) -> Reply:
        row = {"o": 1, "h": 1, "l": 1, "c": 1, "v": 10.5, "t": int(start.timestamp() * 1000)}
        head = {"ticker": "AEMD", "adjusted": False, "queryCount": 1, "resultsCount": 1, "count": 1}
        return page(row, **head)

    empty = {"ticker": "AEMD", "adjusted": False, "queryCount": 0, "resultsCount": 0, "status": "OK"}
    script.replies = [
        bars(datetime(2025, 10, 30, 4, 0, tzinfo=UTC)),  # midnight of the first day in New York
        bars(datetime(2025, 12, 1, 4, 59, tzinfo=UTC)),  # the last minute of 30 November there, after the clock change
        Reply(json.dumps(empty).encode()),
    ]
    fetched = rig.client.minute_bars("AEMD", date(2025, 10, 30), date(2025, 12, 1))
    assert (fetched.frame.schema, fetched.frame.height, fetched.pages) == (BARS, 2, 3)
    root = "/v2/aggs/ticker/AEMD/range/1/minute"
    assert [seen.path for seen in script.seen] == [
        f"{root}/2025-10-30/2025-10-31",
        f"{root}/2025-11-01/2025-11-30",
        f"{root}/2025-12-01/2025-12-01",
    ]
    assert script.seen[0].query == {"adjusted": "false", "sort": "asc", "limit": "50000"}


def test_reference_data_keeps_the_latest_row_of_each_symbol(script: Script, rig: Rig) -> None:
    def short(symbol: str, day: str, shares: int) -> dict[str, object]:
        return {"ticker": symbol, "settlement_date": day, "short_interest": shares, "days_to_cover": 1.5}

    next_url = "https://x/stocks/v1/short-interest?cursor=c"
    script.replies = [
        page(short("B", "2026-01-15", 5), short("A", "2026-01-30", 7), next_url=next_url),
        page(short("A", "2026-01-15", 6)),
    ]
    frame = rig.client.reference.short_interest(["B", "A", "C", "A"]).frame
    assert frame.rows() == [("A", 7.0, 1.5, date(2026, 1, 30)), ("B", 5.0, 1.5, date(2026, 1, 15))]
    assert script.seen[0].query["ticker.any_of"] == "A,B,C"


def test_many_symbols_are_requested_in_chunks_and_no_symbols_need_no_request(script: Script, rig: Rig) -> None:
    script.replies = [page()]
    assert rig.client.reference.float_shares([f"S{i:03}" for i in range(401)]).pages == 3
    empty = rig.client.reference.float_shares([])
    assert (empty.requests, empty.frame.columns) == (0, ["symbol", "float_shares", "effective_date"])


def test_tickers_accept_the_vendors_filters(script: Script, rig: Rig) -> None:
    script.replies = [page({"ticker": "AEMD", "active": True, "type": "CS"})]
    assert rig.client.reference.tickers(type="CS", market="stocks").frame["symbol"].to_list() == ["AEMD"]
    assert script.seen[0].query == {
        "type": "CS",
        "market": "stocks",
        "sort": "ticker",
        "order": "asc",
        "limit": "1000",
    }


def test_a_request_with_invalid_arguments_is_not_sent(script: Script, rig: Rig) -> None:
    with pytest.raises(InputError, match="symbol"):
        rig.client.trades("../AEMD", START, END)
    with pytest.raises(ValueError, match="time zone"):
        rig.client.trades("AEMD", START.replace(tzinfo=None), END)
    with pytest.raises(ValueError, match="after the start"):
        rig.client.quotes("AEMD", START, START)
    with pytest.raises(ValueError, match="before the first"):
        rig.client.minute_bars("AEMD", date(2025, 10, 2), date(2025, 10, 1))
    assert script.seen == []


def test_nothing_is_sent_once_a_stop_is_set(script: Script, rig: Rig) -> None:
    script.replies = [GOOD]
    stop = threading.Event()
    stopped = rig.client.until(stop)
    assert stopped.trades("AEMD", START, END).frame.height == 2
    stop.set()
    with pytest.raises(Stopped):
        stopped.trades("AEMD", START, END)
    assert len(script.seen) == 1
    # the client that it was made from continues
    trades(rig)
    assert len(script.seen) == 2


def test_threads_share_a_client(script: Script, rig: Rig) -> None:
    ids = count()
    script.replies = [lambda _: page(trade(next(ids) % 5))]
    heights: list[int] = []

    def work() -> None:
        heights.extend(trades(rig).frame.height for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heights == [1] * 20
    assert rig.client.totals().requests_sent == 20
