"""Symbols that today's list lacks are followed where listings say that they were in the universe once."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from smallcaps_assets.domain.listings.past_symbols import ELIGIBLE, count_not_followed, follow_past_symbols
from smallcaps_assets.domain.listings.tables import LISTINGS
from smallcaps_assets.domain.universe import measure_composition
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.pipeline.universe.shares import SharesUpdate
from smallcaps_assets_tests.conftest import Gate, refusal
from smallcaps_assets_tests.listings import DETAILS_OF, Listings, ticker
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market
from smallcaps_assets_tests.unit.pipeline.universe.builds import DAY, builder, details_requested, followed, made

FIRST = date(2024, 3, 1)
KNOWN = market(
    listing("SMALL", "2020-01-02"),
    listing("GREW", "2020-01-02"),
    listing("DIPPED", "2020-01-02"),
    listing("HUGE", "2020-01-02"),
    listing("DEAD", "2021-01-04", "2024-08-30"),
    listing("EARLY", "2021-01-04", "2024-02-29"),
    listing("OLDN", "2021-01-04", "2025-06-30", next_symbol="NEWN"),
    listing("NEWN", "2025-07-01", former_symbol="OLDN"),
    listing("FUND", "2021-01-04", "2025-01-31", ticker_type="ETF"),
    listing("WAS", "2020-01-02"),
    facts=[
        ("WAS_20200102", "2020-01-02", "2024-12-31", "CS", "XNAS"),
        ("WAS_20200102", "2025-01-01", None, "ETF", "XNAS"),
    ],
)


@pytest.fixture
def written(lake: Lake, listings: Listings) -> Listings:
    """Today's list, market caps of some days, and a lake with listings."""
    ListingStore(lake).publish(KNOWN.listings, KNOWN.facts, {"first": "2020-01-02", "last": "2025-11-28"})
    listings.rows = [ticker(symbol) for symbol in ("SMALL", "GREW", "DIPPED", "HUGE", "NEWN")]
    listings.rows.append(ticker("WAS", type="ETF"))
    listings.caps = {"GREW": 3e9, "DIPPED": 3e9, "HUGE": 9e11, "SMALL": 1e8, "OLDN": 1e8, "DEAD": 2.5e9, "NEWN": 1e8}
    # what each was worth when the history begins, and a year later
    listings.on_day = {
        ("GREW", "2024-03-01"): {"market_cap": 0.5e9},
        ("DEAD", "2024-03-01"): {"market_cap": 1.5e9},
        ("DIPPED", "2025-01-01"): {"market_cap": 1.9e9},
    }
    return listings


@pytest.mark.usefixtures("written")
def test_symbols_that_were_in_the_universe_once_are_followed(lake: Lake, client: MarketDataClient, gate: Gate) -> None:
    log = list[str]()
    rows = replace(builder(lake, client, log), first_session=FIRST).run(DAY).rows
    assert followed(rows) == ["DEAD", "DIPPED", "GREW", "NEWN", "OLDN", "SMALL", "WAS"]
    why = {row["symbol"]: (row["excluded_by"], row["reason"]) for row in rows.rows(named=True)}
    assert why["SMALL"] == why["NEWN"] == (None, None)
    assert why["GREW"] == ("market_cap", "followed for earlier events; today market cap 3 B above 2 B")
    assert why["OLDN"] == ("delisted", "followed for earlier events; today delisted after 2025-06-30")
    assert why["DEAD"][0] == "market_cap"
    assert why["WAS"] == ("type", "followed for earlier events; today type ETF")
    assert why["HUGE"] == (
        "market_cap",
        "market cap 900 B above 2 B; above it on the first day of each year as well; not looked at in between",
    )
    assert count_not_followed(rows) == (1, 0)
    # each up to its last day
    last = UniverseStore(lake).followed()
    assert (last["OLDN"], last["DEAD"], last["GREW"]) == (date(2025, 6, 30), date(2024, 8, 30), date.max)
    said = next(line for line in log if "above the limit" in line)
    assert said.startswith("4 symbols above the limit of the market cap today: 3 below it")
    # GREW and DEAD at the start, DIPPED and HUGE a year later as well, whose list ends there
    asked = [(path.removeprefix(DETAILS_OF), query["date"]) for path, query in gate.requests if DETAILS_OF in path]
    earlier = sorted(one for one in asked if one[1] in {"2024-03-01", "2025-01-01"})
    assert earlier == [
        ("DEAD", "2024-03-01"),
        ("DIPPED", "2024-03-01"),
        ("DIPPED", "2025-01-01"),
        ("GREW", "2024-03-01"),
        ("HUGE", "2024-03-01"),
        ("HUGE", "2025-01-01"),
    ]
    # those of the past do not make the universe one of large caps
    assert measure_composition(rows, default_settings().universe.limits).symbols == 2
    gate.requests.clear()
    again = replace(builder(lake, client), first_session=FIRST).run(DAY)
    assert again.rows.equals(rows)
    assert details_requested(gate) == []


def test_large_symbols_without_an_earlier_market_cap_are_named(
    lake: Lake, client: MarketDataClient, written: Listings
) -> None:
    written.on_day |= {("HUGE", day): {"market_cap": None} for day in ("2024-03-01", "2025-01-01")}
    log = list[str]()
    rows = replace(builder(lake, client, log), first_session=FIRST).run(DAY).rows
    (reason,) = rows.filter(symbol="HUGE")["reason"]
    assert reason == "market cap 900 B above 2 B; no earlier market cap is known"
    assert count_not_followed(rows) == (0, 1)
    said = next(line for line in log if "above the limit" in line)
    assert "1 without an earlier market cap and not followed, 0 above it on each of these days" in said


@pytest.mark.usefixtures("written")
def test_the_universe_of_today_and_that_without_listings_are_as_before(lake: Lake, client: MarketDataClient) -> None:
    (lake.root.parent / "other").mkdir()
    without = replace(builder(Lake(lake.root.parent / "other"), client), first_session=FIRST).run(DAY).rows
    today = replace(builder(lake, client, as_of="today"), first_session=FIRST).run(DAY).rows
    assert without.equals(today)
    assert followed(today) == ["NEWN", "SMALL"]
    assert "listings" not in (UniverseStore(lake).inputs() or {})
    named = made(lake, client, symbols=["HUGE"], reference_data=False)
    assert followed(named) == ["HUGE"]


def test_shares_are_asked_for_once_and_unknown_where_the_plan_has_none(
    lake: Lake, client: MarketDataClient, gate: Gate, written: Listings
) -> None:
    store, log = EventListingStore(lake), list[str]()
    days = pl.DataFrame({"symbol": ["A", "B"], "asked_for": [date(2025, 1, 1), date(2025, 4, 1)]})
    written.on_day = {("A", "2025-01-01"): {"weighted_shares_outstanding": 5e6}}
    written.unknown = {"B"}
    update = SharesUpdate(store, client, "s", 2, log.append)
    assert update.run(days) == 0
    assert store.shares().rows() == [("A", date(2025, 1, 1), 5e6, None), ("B", date(2025, 4, 1), None, None)]
    assert "2 requests" in log[0]
    gate.requests.clear()
    assert update.run(days) == 0
    assert gate.requests == []
    gate.rule = lambda path, query: refusal(403)  # noqa: ARG005
    more = days.with_columns(asked_for=date(2025, 7, 1))
    assert update.run(more) == 2
    assert len(update.denied) == 1
    assert store.shares().height == 2
    # one request finds out
    assert len(gate.requests) == 1


def test_shares_of_another_security_than_was_listed_are_unknown(
    lake: Lake, client: MarketDataClient, written: Listings
) -> None:
    """The first number that both have decides: share class FIGI, composite FIGI, CIK."""
    store, log = EventListingStore(lake), list[str]()
    day, symbols = date(2025, 4, 1), ["OTHER", "SAME", "CIKS", "BARE", "GONE"]
    numbers = {"share_class_figi": ["BBG1", "BBG2", None, None, "BBG5"], "cik": ["1", "2", "3", None, "5"]}
    listed = pl.DataFrame({"symbol": symbols, "listing_id": symbols, "active_from": date(2025, 1, 2), **numbers})
    # the listing of GONE was over before that day: nothing is known of its ticker
    gone = pl.when(pl.col("symbol") == "GONE").then(pl.lit(date(2025, 2, 3)))
    listings = listed.with_columns(active_to=gone).match_to_schema(LISTINGS, missing_columns="insert")
    shares = {"weighted_shares_outstanding": 5e6, "market_cap": 9e6}
    answers = {
        "OTHER": {"share_class_figi": "BBG9", "cik": "1"},
        "SAME": {"share_class_figi": "BBG2", "cik": "9"},
        "CIKS": {"share_class_figi": "BBG3", "cik": "9"},
        "BARE": {"share_class_figi": "BBG4", "cik": "4"},
        "GONE": {"share_class_figi": "BBG6", "cik": "6"},
    }
    written.on_day = {(symbol, f"{day}"): shares | more for symbol, more in answers.items()}
    update = SharesUpdate(store, client, "s", 2, log.append, listings)
    days = pl.DataFrame({"symbol": symbols, "asked_for": day})
    assert update.run(days) == 0
    given = {symbol: figures for symbol, _, *figures in store.shares().rows()}
    known, unknown = [5e6, 9e6], [None, None]
    assert given == {"OTHER": unknown, "SAME": known, "CIKS": unknown, "BARE": known, "GONE": known}
    assert sorted(update.of_others) == ["CIKS on 2025-04-01", "OTHER on 2025-04-01"]
    assert any("of another security than the one that was listed: CIKS on 2025-04-01, OTHER" in line for line in log)
    # what is stored is an answer, and not asked for again
    assert update.missing(days).is_empty()


def test_a_ticker_that_is_listed_again_today_is_not_delisted() -> None:
    """The listings were made before it returned: its last listing that they know is over."""
    last = date(2025, 10, 31)
    eligible = pl.DataFrame({"symbol": ["BACK", "DEAD"], "last": last, "former": True})
    judged = pl.DataFrame(
        {"symbol": ["BACK", "DEAD"], "active": True, "delisted": [None, last], "excluded_by": None, "reason": None},
        schema_overrides={"excluded_by": pl.String, "reason": pl.String},
    )
    params = default_settings().universe.model_copy(update={"include_delisted": False})
    none = pl.Series([], dtype=pl.String)
    rows = follow_past_symbols(judged, eligible.match_to_schema(ELIGIBLE, missing_columns="insert"), params, none, none)
    assert rows.select("symbol", "active", "excluded_by", "reason").rows() == [
        ("BACK", True, None, None),
        ("DEAD", True, "delisted", "followed for earlier events; today delisted after 2025-10-31"),
    ]
