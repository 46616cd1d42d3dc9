"""Tickers whose rows in the vendor's list contradict each other or are bad."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.errors import RequestRejected
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import Gate, files_below, refusal
from smallcaps_assets_tests.listings import CLOSE_MS, Listings, answer, ticker
from smallcaps_assets_tests.unit.pipeline.universe.builds import DAY, builder, followed, made, reasons_of


def test_a_ticker_with_rows_of_two_types_or_exchanges_is_left_out_with_the_reason(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    """A row that repeats another exactly is none, and a row of another name only is logged."""
    listings.rows = [
        *(ticker("A"), ticker("B"), ticker("A", type="ETF"), ticker("B")),
        *(ticker("C"), ticker("C", name="Other"), ticker("D"), ticker("D", primary_exchange=None)),
    ]
    log: list[str] = []
    built = builder(lake, client, log).run(DAY)
    of_a, of_d = (
        f"the vendor lists it as {rows}"
        for rows in ("CS on XNAS and as ETF on XNAS", "CS on XNAS and as CS on unknown")
    )
    assert reasons_of(built.rows) == {"A": of_a, "B": None, "C": None, "D": of_d}
    assert built.rows.filter(~pl.col("active"))["excluded_by"].to_list() == ["source"] * 2
    assert built.bad_rows == (f"tickers of A, {of_a}", f"tickers of D, {of_d}")
    assert f"left out of the vendor's list: A, {of_a}" in log
    assert "the vendor lists C several times with different details; the first ones count" in log
    # it is followed as soon as its rows agree
    listings.rows = [ticker("A"), ticker("B")]
    assert followed(made(lake, client, date(2025, 12, 2))) == ["A", "B"]


def test_of_delisted_companies_of_a_ticker_only_rows_of_the_same_day_contradict_each_other(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    def gone(symbol: str, day: str | None, **changes: Any) -> dict[str, Any]:
        return ticker(symbol, active=False, delisted_utc=None if day is None else f"{day}T00:00:00Z", **changes)

    listings.rows = [
        *(ticker("A"), gone("A", "2025-11-20", type="ETF")),
        *(gone("B", "2025-11-20"), gone("B", "2025-11-10", type="ETF")),
        *(gone("C", "2025-11-20"), gone("C", "2025-11-20", type="ETF")),
        *(gone("D", None), gone("D", None, type="ETF")),
    ]
    assert reasons_of(made(lake, client, include_delisted=True)) == {
        "A": None,
        "B": None,
        "C": "the vendor lists it as CS on XNAS and as ETF on XNAS",
        "D": "delisted, the vendor gives no date",
    }


def test_a_ticker_without_capitals_beside_the_same_in_capitals_is_left_out(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    """Files of users that say brk.a mean BRK.A; a preferred share, and a lone name without capitals, are clear."""
    listings.rows = [ticker(symbol) for symbol in ("BRK.A", "brk.a", "BCPC", "BCpC", "abc")]
    built = builder(lake, client).run(DAY)
    reason = "the vendor lists BRK.A as well, which differs only in case"
    assert reasons_of(built.rows) == {"BCPC": None, "BCpC": None, "BRK.A": None, "abc": None, "brk.a": reason}
    assert built.bad_rows == (f"tickers of brk.a, {reason}",)


def test_a_symbol_with_a_bad_row_in_the_list_is_named_and_one_that_is_followed_stays(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker("A"), ticker("B"), ticker("C")]
    assert followed(made(lake, client)) == ["A", "B", "C"]
    listings.rows = [ticker("A"), ticker("B", name=5), ticker("C")]
    log: list[str] = []
    later = date(2025, 12, 2)
    built = builder(lake, client, log).run(later)
    assert followed(built.rows) == ["A", "B", "C"]
    assert built.bad_rows == ("tickers of B, row 2: `name` is 5",)
    assert "a bad row in the vendor's list is left out: tickers of B, row 2: `name` is 5" in log
    # it is asked for again, although nothing else changed
    listings.rows = [ticker("A"), ticker("B"), ticker("C"), ticker("D", name=5)]
    universe = made(lake, client, later)
    assert reasons_of(universe) == {"A": None, "B": None, "C": None, "D": "the vendor's row is bad, row 4: `name` is 5"}
    assert universe.filter(symbol="D")["excluded_by"].to_list() == ["source"]


def test_a_symbol_with_two_prices_or_floats_is_named_and_its_value_unknown(
    lake: Lake, client: MarketDataClient, listings: Listings, gate: Gate
) -> None:
    listings.rows = [ticker("A"), ticker("B")]

    def rule(path: str, query: Mapping[str, str]) -> Reply | None:
        if path.startswith("/v2/aggs/grouped"):
            bars = [{"T": symbol, "c": price, "t": CLOSE_MS} for symbol, price in (("A", 5), ("B", 5), ("B", 0.5))]
            return answer(results=bars, adjusted=False, resultsCount=3, queryCount=3)
        if path == "/stocks/vX/float":
            shares = [("A", 2e7), ("A", 3e7), ("B", 2e7)]
            return answer(results=[{"ticker": symbol, "free_float": value} for symbol, value in shares])
        return listings.reply(path, query)

    gate.rule = rule
    log: list[str] = []
    built = builder(lake, client, log, min_price_usd=1.0, reference_data=True).run(DAY)
    known = built.rows.select("symbol", "active", "price_usd", "float_shares")
    assert known.rows() == [("A", True, 5.0, None), ("B", True, None, 2e7)]
    named = ("prices of B, 2 rows differ: price_usd 5.0 / 0.5", "float_shares of A, 2 rows differ: float_shares")
    assert [row.startswith(words) for row, words in zip(built.bad_rows, named, strict=True)] == [True, True]
    assert [line for line in log if "bad row" in line] == [
        f"a bad row in the vendor's list is left out: {row}" for row in built.bad_rows
    ]


def test_of_many_bad_rows_a_few_are_logged(
    lake: Lake, client: MarketDataClient, listings: Listings, gate: Gate
) -> None:
    symbols = [f"S{number:02}" for number in range(30)]
    listings.rows = [ticker(symbol) for symbol in symbols]
    bars = [{"T": symbol, "c": price, "t": CLOSE_MS} for symbol in symbols for price in (5, 6)]
    closes = answer(results=bars, adjusted=False, resultsCount=60, queryCount=60)
    gate.rule = lambda path, query: closes if path.startswith("/v2/aggs/grouped") else listings.reply(path, query)
    log: list[str] = []
    built = builder(lake, client, log, min_price_usd=1.0).run(DAY)
    assert len(built.bad_rows) == 30
    lines = [line for line in log if "bad row" in line]
    assert len(lines) == 21
    assert lines[-1] == "bad rows in the vendor's list of prices are left out: 30 in all"


def test_a_failed_request_for_the_list_changes_nothing(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    made(lake, client)
    before = files_below(lake.root)
    gate.rule = lambda path, query: refusal(400)  # noqa: ARG005
    with pytest.raises(RequestRejected):
        made(lake, client, date(2025, 12, 2))
    assert files_below(lake.root) == before
