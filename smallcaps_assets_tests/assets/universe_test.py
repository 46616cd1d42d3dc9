"""Asset `universe` in Dagster: its partitions, its figures, and the check that stops paid work."""

import dagster as dg
import pytest

from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets_tests.assets.platform import Platform, failure, metadata_of, rows_of
from smallcaps_assets_tests.listings import Listings, ticker

SMALL = [f"S{number:02}" for number in range(19)]


@pytest.fixture
def listings(fresh: Platform) -> Listings:
    """A list of tickers written by the test."""
    written = Listings()
    fresh.gate.rule = written.reply
    return written


def partitions(platform: Platform) -> list[str]:
    return list(platform.instance.get_dynamic_partitions("symbols"))


def test_partitions_are_the_followed_symbols(fresh: Platform, listings: Listings) -> None:
    listings.rows = [ticker("DRFT"), ticker("CRVO"), ticker("FUND", type="ETF"), ticker("HUGE")]
    listings.caps = {"HUGE": 3e9}
    (figures,) = metadata_of(fresh.run("universe"), "universe").values()
    assert partitions(fresh) == ["CRVO", "DRFT"]
    expected = {
        "dagster/row_count": 4,
        "symbols_active": 2,
        "symbols_inactive": 2,
        "added": 2,
        "left": 0,
        "symbols_added": "CRVO, DRFT",
        "symbols_left": "none",
        # the list, three market caps, floats and short interest
        "requests": 6,
    }
    assert {name: figures[name].value for name in expected} == expected
    assert rows_of(figures["excluded"]) == [("market_cap", 1), ("type", 1)]
    # floats and short interest of both are unknown as well
    assert rows_of(figures["unknown"])[:2] == [("type", 0, 0.0), ("market cap", 2, 100.0)]
    # a symbol that left keeps its partition, new ones are appended, and one that returns keeps its place
    fresh.overrides["history"] = {"first_session": "2025-11-24", "last_session": "2025-11-28"}
    listings.rows = [ticker("AVLO"), ticker("DRFT")]
    (figures,) = metadata_of(fresh.run("universe"), "universe").values()
    assert partitions(fresh) == ["CRVO", "DRFT", "AVLO"]
    names = ("symbols_added", "symbols_left", "symbols_active")
    assert [figures[name].value for name in names] == ["AVLO", "CRVO", 2]
    assert rows_of(figures["excluded"]) == [("gone", 3)]
    fresh.overrides["history"] = {"first_session": "2025-11-24", "last_session": "2025-12-01"}
    listings.rows = [ticker("AVLO"), ticker("CRVO"), ticker("DRFT")]
    fresh.run("universe")
    assert partitions(fresh) == ["CRVO", "DRFT", "AVLO"]


def test_bars_are_requested_to_the_last_day_a_symbol_is_followed(fresh: Platform, listings: Listings) -> None:
    listings.rows = [ticker("AVLO", active=False, delisted_utc="2025-11-26T00:00:00Z"), ticker("CRVO"), ticker("DRFT")]
    fresh.overrides["universe"] = {"include_delisted": True}
    fresh.run("universe")
    listings.rows = listings.rows[:2]
    fresh.overrides["universe"] = {"include_delisted": True, "market_cap_max_age_days": 31}
    fresh.run("universe")
    fresh.run("minute_bars", first="AVLO", last="DRFT")
    store = BarsStore(fresh.lake)
    assert [len(store.covered(symbol)) for symbol in ("AVLO", "CRVO", "DRFT")] == [3, 5, 0]


def test_large_caps_stop_all_paid_work_until_the_universe_is_fixed(fresh: Platform, listings: Listings) -> None:
    fresh.overrides["history"] = {"first_session": "2025-12-01", "last_session": "2025-12-01"}
    listings.caps = dict.fromkeys(SMALL, 1e9) | {"AAPL": 3.4e12, "MSFT": 3.1e12}
    file = fresh.root.parent / "mine.csv"
    file.write_text("\n".join(["symbol,ticker_type", *(f"{symbol},CS" for symbol in (*SMALL, "AAPL", "MSFT"))]))
    fresh.overrides["universe"] = {"file": str(file)}
    result = fresh.run("universe", fails=True)
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.severity) == ("small_caps", False, dg.AssetCheckSeverity.ERROR)
    assert check.metadata["large_caps"].value == "AAPL (3400 B), MSFT (3100 B)"
    assert check.metadata["large_cap_pct"].value == 9.524
    assert check.metadata["max_large_cap_pct"].value == 5
    assert check.metadata["unknown_market_cap_pct"].value == 0
    assert check.metadata["max_unknown_market_cap_pct"].value == 50
    assert "2 of 21 symbols (9.5 %)" in str(check.metadata["problems"].value)
    assert set(partitions(fresh)) == {*SMALL, "AAPL", "MSFT"}, "the table is published all the same"
    # a later run without the check of the universe
    fresh.gate.requests.clear()
    message = failure(fresh.run("minute_bars", first="AAPL", last="S18", fails=True))
    for words in ("InputError", "2 of 21 symbols (9.5 %)", "AAPL (3400 B), MSFT (3100 B). No request was sent"):
        assert words in message
    assert fresh.gate.requests == []
    file.write_text("\n".join(["symbol,ticker_type", *(f"{symbol},CS" for symbol in (*SMALL, "AAPL"))]))
    result = fresh.run("universe")
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]
    fresh.run("minute_bars", first="S00", last="S18")
    assert [path for path, _ in fresh.gate.requests if path.startswith("/v2/aggs/ticker/S00/")]


def test_a_short_list_of_symbols_is_not_judged(fresh: Platform, listings: Listings) -> None:
    fresh.overrides["universe"] = {"symbols": ["AVLO", "CRVO"], "reference_data": False}
    fresh.overrides["history"] = {"first_session": "2025-12-01", "last_session": "2025-12-01"}
    result = fresh.run("universe")
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.metadata["judged"].value, check.metadata["unknown_type_pct"].value) == (
        True,
        False,
        100,
    )
    assert check.description == (
        "Passed without a look at shares: 2 symbols are too few, shares are judged from 20 on "
        "(universe.limits.from_symbols)."
    )
    fresh.run("minute_bars", first="AVLO", last="CRVO")
    assert not listings.rows
