"""Symbols named by the user, and symbols that join and leave."""

from datetime import date

import pytest

from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets_tests.conftest import Gate, files_below
from smallcaps_assets_tests.listings import Listings, ticker
from smallcaps_assets_tests.unit.pipeline.universe.builds import (
    DAY,
    TICKERS,
    builder,
    details_requested,
    followed,
    made,
    reasons_of,
)


def test_named_symbols_need_no_list(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    universe = made(lake, client, symbols=["CRVO", "AVLO", "CRVO"], reference_data=False)
    assert gate.requests == []
    assert universe["symbol"].to_list() == ["AVLO", "CRVO"]
    assert universe["float_shares"].null_count() == 2


def test_named_symbols_are_followed_regardless_of_filters_and_have_their_details(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("AAPL"), ticker("SPY", type="ETF", primary_exchange="ARCX")]
    listings.caps = {"AAPL": 3.4e12}
    listings.unknown = {"TYPO"}
    universe = made(lake, client, symbols=["spy", "AAPL", "TYPO"])
    assert reasons_of(universe) == {"AAPL": None, "SPY": None, "TYPO": None}
    assert universe["ticker_type"].to_list() == ["CS", "ETF", None]
    assert universe["market_cap_usd"].to_list() == [3.4e12, None, None]
    assert universe["primary_exchange"].to_list() == ["XNAS", "ARCX", None]
    assert not [path for path, _ in gate.requests if path == TICKERS]


def test_only_values_missing_in_the_file_are_requested(
    lake: Lake, client: MarketDataClient, gate: Gate, listings: Listings
) -> None:
    listings.rows = [ticker("AEMD"), ticker("ATRA", type="ADRC"), ticker("BNRX")]
    listings.caps = {"ATRA": 7e6, "BNRX": 8e6}
    (lake.root.parent / "mine.csv").write_text(
        "symbol,ticker_type,market_cap_usd,float_shares,active\n"
        "AEMD,CS,5e6,1000000,yes\nATRA,CS,,,\nBNRX,,9e6,,\nCRVO,,,,no\nA|B,,,,\n"
    )
    universe = made(lake, client, file="mine.csv")
    assert reasons_of(universe) == {
        "A|B": "not usable as a name",
        "AEMD": None,
        "ATRA": None,
        "BNRX": None,
        "CRVO": "inactive in mine.csv",
    }
    assert details_requested(gate) == ["ATRA", "BNRX"]
    rows = universe.filter("active").select("symbol", "ticker_type", "market_cap_usd", "market_cap_date").rows()
    assert rows == [("AEMD", "CS", 5e6, DAY), ("ATRA", "CS", 7e6, DAY), ("BNRX", "CS", 9e6, DAY)]
    (floats,) = [query for path, query in gate.requests if path == "/stocks/vX/float"]
    assert floats["ticker.any_of"] == "ATRA,BNRX"
    assert universe.filter(symbol="AEMD")["float_shares"].item() == 1e6


def test_an_edited_file_is_read_again_and_an_unchanged_one_costs_no_request(
    lake: Lake, client: MarketDataClient, gate: Gate
) -> None:
    file = lake.root.parent / "mine.csv"
    file.write_text("ticker\nAVLO\nBNRX\n")
    made(lake, client, file="mine.csv")
    gate.requests.clear()
    assert builder(lake, client, file="mine.csv").run(DAY).added == []
    assert gate.requests == []
    file.write_text("ticker\nAVLO\nCRVO\n")
    again = builder(lake, client, file="mine.csv").run(DAY)
    assert (again.added, again.left) == (["CRVO"], ["BNRX"])
    assert reasons_of(again.rows) == {"AVLO": None, "BNRX": "no longer in mine.csv", "CRVO": None}
    assert details_requested(gate) == ["CRVO"]


def test_a_missing_file_is_named(lake: Lake, client: MarketDataClient) -> None:
    with pytest.raises(InputError, match=r"mine\.csv: cannot be read .*Correct universe\.file"):
        made(lake, client, file="mine.csv")


def test_a_symbol_that_left_stays_inactive_with_a_reason_and_may_return(
    lake: Lake, client: MarketDataClient, listings: Listings
) -> None:
    listings.rows = [ticker("A"), ticker("B")]
    first = builder(lake, client).run(DAY)
    assert (first.added, first.left) == (["A", "B"], [])
    listings.rows = [ticker("A")]
    left = builder(lake, client).run(date(2025, 12, 2))
    assert (left.added, left.left) == ([], ["B"])
    assert reasons_of(left.rows) == {"A": None, "B": "no longer listed"}
    assert left.rows["excluded_by"].to_list() == [None, "gone"]
    assert left.rows.select("first_seen", "last_seen").rows() == [(DAY, date(2025, 12, 2)), (DAY, DAY)]
    listings.rows = [ticker("B"), ticker("C")]
    back = builder(lake, client).run(date(2025, 12, 3))
    assert (back.added, back.left) == (["B", "C"], ["A"])
    assert reasons_of(back.rows) == {"A": "no longer listed", "B": None, "C": None}
    assert back.rows["first_seen"].to_list() == [DAY, DAY, date(2025, 12, 3)]


def test_excluded_symbols_keep_the_reference_data_used_for_their_events(lake: Lake, client: MarketDataClient) -> None:
    before = made(lake, client)
    largest = before.sort("market_cap_usd")["symbol"][-1]
    caps = before["market_cap_usd"].sort()
    after = made(lake, client, max_market_cap_usd=(caps[-2] + caps[-1]) / 2)
    assert reasons_of(after)[largest] is not None
    assert after.select(*REFERENCE).equals(before.select(*REFERENCE))
    assert before.filter(symbol=largest)["float_shares"].item() is not None


def test_a_universe_of_an_earlier_version_is_read(lake: Lake, client: MarketDataClient) -> None:
    earlier = ["market_cap_usd", "market_cap_date", "price_usd", "listed", "delisted"]
    earlier += ["excluded_by", "first_seen", "last_seen"]
    universe = made(lake, client, symbols=["AVLO"])
    publish_frame(lake.universe, universe.drop(earlier), {"source": "simulated market, seed 7"})
    assert UniverseStore(lake).read().drop(earlier).equals(universe.drop(earlier))
    assert UniverseStore(lake).followed() == {"AVLO": date.max}
    assert followed(made(lake, client, symbols=["AVLO"])) == ["AVLO"]


def test_data_of_another_source_are_rejected(lake: Lake, client: MarketDataClient) -> None:
    made(lake, client)
    before = files_below(lake.root)
    with pytest.raises(InputError, match=r"holds data of another source .*seed 7, not simulated market, seed 8"):
        made(lake, client, seed=8)
    assert files_below(lake.root) == before
