"""Which symbols of the vendor's list are followed, and why others are not."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets_tests.conftest import Gate, files_below
from smallcaps_assets_tests.listings import DETAILS_OF, Listings, ticker
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.pipeline.universe.builds import (
    DAY,
    TICKERS,
    builder,
    details_requested,
    followed,
    made,
    reasons_of,
)


def test_the_universe_has_the_vendors_list_and_reference_data(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client)
    assert universe.schema == UNIVERSE
    assert universe["symbol"].to_list() == sorted(gate.exchange._market.symbols())
    assert universe["active"].all()
    assert universe["ticker_type"].unique().to_list() == ["CS"]
    assert universe["float_shares"].drop_nulls().len() > 0
    assert universe["short_interest_shares"].drop_nulls().len() > 0
    (avlo,) = universe.filter(symbol="AVLO").to_dicts()
    details = gate.exchange._market.details("AVLO", DAY)
    assert details is not None
    assert (avlo["market_cap_usd"], avlo["market_cap_date"]) == (details["market_cap"], DAY)
    assert (avlo["first_seen"], avlo["last_seen"]) == (DAY, DAY)
    assert UniverseStore(lake).read().equals(universe)
    (listing,) = [query for path, query in gate.requests if path == TICKERS]
    assert (listing["market"], listing["active"]) == ("stocks", "true")
    assert "type" not in listing, "who is of another type has a row with the reason"


def test_the_same_request_is_sent_once(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client)
    before = files_below(lake.root)
    gate.requests.clear()
    assert builder(lake, client).run(DAY).rows.equals(universe)
    limits = default_settings().universe.limits.model_dump() | {"max_large_cap_share": 0.5}
    again = builder(lake, client, limits=limits, test_symbols=["ZVZZT"]).run(DAY)
    assert again.rows.equals(universe)
    assert (again.added, again.left) == ([], [])
    assert gate.requests == []
    assert files_below(lake.root) == before
    made(lake, client, date(2025, 12, 2))
    assert gate.requests


def test_a_lake_without_drill_stays_as_it_is_on_the_same_day(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    without = builder(lake, client)
    market = without.source.embedded.model_copy(update={"drill": False})
    before = replace(without, source=without.source.model_copy(update={"embedded": market})).run(DAY).rows
    gate.requests.clear()
    assert builder(lake, client).source.embedded.drill
    assert builder(lake, client).run(DAY).rows.equals(before)
    assert gate.requests == []


LISTED = (
    ticker("GOOD"),
    ticker("ADR", type="ADRC"),
    ticker("FUND", type="ETF"),
    ticker("ODD", type=None),
    ticker("ELSE", primary_exchange="LTSE"),
    ticker("NOWHERE", primary_exchange=None),
    ticker("A|B"),
)


def test_every_listed_symbol_has_a_row_and_every_excluded_one_a_reason(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [*LISTED]
    universe = made(lake, client)
    assert reasons_of(universe) == {
        "ADR": "type ADRC",
        "A|B": "not usable as a name",
        "ELSE": "exchange LTSE",
        "FUND": "type ETF",
        "GOOD": None,
        "NOWHERE": "exchange unknown",
        "ODD": "type unknown",
    }
    by = dict(universe.select("symbol", "excluded_by").iter_rows())
    assert (by["ADR"], by["A|B"], by["ELSE"]) == ("type", "symbol", "exchange")
    assert details_requested(gate) == ["GOOD"], "an excluded symbol costs no request"
    (floats,) = [query for path, query in gate.requests if path == "/stocks/vX/float"]
    assert floats["ticker.any_of"] == "GOOD"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["GOOD"]),
        ({"ticker_types": None}, ["ADR", "FUND", "GOOD", "ODD"]),
        ({"ticker_types": ["CS", "ADRC"]}, ["ADR", "GOOD"]),
        ({"exchanges": None}, ["ELSE", "GOOD", "NOWHERE"]),
        ({"exchanges": ["LTSE"]}, ["ELSE"]),
    ],
)
def test_filters_by_type_and_exchange(
    lake: Lake, client: MarketDataClient, listings: Listings, changes: dict[str, Any], expected: list[str]
) -> None:
    listings.rows = [*LISTED]
    assert followed(made(lake, client, max_market_cap_usd=None, **changes)) == expected


def test_price_filters_take_one_request_and_keep_symbols_without_trades(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker(symbol) for symbol in ("CENT", "DEAR", "ONE", "TEN", "STILL")]
    listings.closes = {"CENT": 0.4, "DEAR": 10.01, "ONE": 1.0, "TEN": 10.0}
    assert all(reason is None for reason in reasons_of(made(lake, client, max_market_cap_usd=None)).values())
    assert not [path for path, _ in gate.requests if "grouped" in path]
    universe = made(lake, client, min_price_usd=1.0, max_price_usd=10.0, max_market_cap_usd=None)
    assert reasons_of(universe) == {
        "CENT": "price 0.4 below 1",
        "DEAR": "price 10.01 above 10",
        "ONE": None,
        "STILL": None,
        "TEN": None,
    }
    assert universe["excluded_by"].drop_nulls().to_list() == ["price", "price"]
    assert dict(universe.select("symbol", "price_usd").iter_rows())["STILL"] is None
    (grouped,) = [path for path, _ in gate.requests if "grouped" in path]
    assert grouped.endswith(f"/{DAY}"), "the last session that is over"


def test_prices_are_the_last_closes(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client, min_price_usd=0.01, max_market_cap_usd=None)
    market = gate.exchange._market
    closes = [market.daily(symbol, DAY, DAY)["close"].item() for symbol in universe["symbol"]]
    assert universe["price_usd"].to_list() == closes


def test_the_market_cap_limit_is_inclusive(lake: Lake, client: MarketDataClient, listings: Listings) -> None:
    listings.rows = [ticker(symbol) for symbol in ("EDGE", "HUGE", "NONE", "OVER")]
    listings.caps = {"EDGE": 2e9, "OVER": 2.004e9, "HUGE": 5.1e9}
    universe = made(lake, client)
    assert reasons_of(universe) == {
        "EDGE": None,
        "HUGE": "market cap 5.1 B above 2 B",
        "NONE": None,
        "OVER": "market cap 2.004 B above 2 B",
    }
    strict = made(lake, client, unknown_market_cap="exclude")
    assert reasons_of(strict)["NONE"] == "market cap unknown"
    assert strict.filter(symbol="NONE")["excluded_by"].item() == "market_cap"


def test_a_ticker_without_details_counts_as_unknown(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("KNOWN"), ticker("GONE")]
    listings.unknown = {"GONE"}
    assert reasons_of(made(lake, client)) == {"GONE": None, "KNOWN": None}
    gate.requests.clear()
    made(lake, client, date(2025, 12, 2))
    assert details_requested(gate) == [], "not found is an answer too"


def test_delisted_symbols_are_followed_to_their_last_day(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [
        ticker("LIVE"),
        ticker("AGAIN"),
        ticker("AGAIN", active=False, delisted_utc="2025-11-20T00:00:00Z"),
        ticker("LATE", active=False, delisted_utc="2025-11-18T00:00:00Z"),
        ticker("LATE", active=False, delisted_utc="2011-01-03T00:00:00Z", type="ETF"),
        ticker("OLD", active=False, delisted_utc="2019-05-01T00:00:00Z"),
        ticker("WHEN", active=False),
    ]
    assert set(reasons_of(made(lake, client))) == {"AGAIN", "LIVE"}
    gate.requests.clear()
    universe = made(lake, client, include_delisted=True)
    assert reasons_of(universe) == {
        "AGAIN": None,
        "LATE": None,
        "LIVE": None,
        "OLD": "delisted 2019-05-01, before history begins",
        "WHEN": "delisted, the vendor gives no date",
    }
    assert UniverseStore(lake).followed() == {"AGAIN": date.max, "LATE": date(2025, 11, 18), "LIVE": date.max}
    # on the day of its delisting the vendor no longer lists a symbol
    assert [query["date"] for path, query in gate.requests if path == f"{DETAILS_OF}LATE"] == ["2025-11-17"]
    gate.requests.clear()
    made(lake, client, date(2026, 12, 1), include_delisted=True)
    assert details_requested(gate) == ["AGAIN", "LIVE"], "past symbols do not expire"


def test_symbols_that_differ_only_in_case_or_name_a_device_of_windows_are_followed(
    lake: Lake, client: MarketDataClient
) -> None:
    made(lake, client, symbols=["KIMpL", "KIMPL", "CON", "PRN"], reference_data=False)
    assert list(UniverseStore(lake).followed()) == ["CON", "KIMPL", "KIMpL", "PRN"]


def test_an_empty_universe_is_rejected_with_the_reason(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker(symbol) for symbol in "ABCD"]
    with pytest.raises(InputError, match="no usable symbol: of 4 listed, 4 by type are excluded"):
        made(lake, client, ticker_types=["WARRANT"])
    listings.rows = []
    with pytest.raises(InputError, match="no usable symbol: no symbol is listed"):
        made(lake, client)
