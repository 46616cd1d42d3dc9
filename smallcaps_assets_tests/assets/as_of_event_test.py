"""A market whose companies are renamed, delisted, replaced and grown, from listings to the manifest, over HTTP."""

from datetime import date

import polars as pl
import pytest

from smallcaps_assets.commands.inspecting.status import count_history
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.bars.roads import plan_bars
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.corporate.companies import COMPANIES
from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.assets.platform import Platform, metadata_of
from smallcaps_assets_tests.conftest import LATER

pytestmark = pytest.mark.slow
FIRST, LAST = date(2025, 9, 15), date(2025, 11, 20)
LIMIT = 2e9


@pytest.fixture
def corporate(fresh: Platform) -> Platform:
    """An empty lake, and a market whose companies have a history."""
    fresh.gate.exchange = Exchange(CorporateMarket(clock=lambda: LATER), clock=lambda: LATER)
    fresh.overrides["history"] = {"first_session": f"{FIRST}", "last_session": f"{LAST}"}
    fresh.overrides["research"] = {"enabled": False}
    return fresh


def test_events_are_of_the_owner_of_their_day_and_count_by_the_universe_of_it(corporate: Platform) -> None:
    market, lake = CorporateMarket(clock=lambda: LATER), corporate.lake
    corporate.run("listings")
    corporate.run("universe")
    followed = sorted(UniverseStore(lake).followed())
    # those that today's list lacks: renamed, swapped, delisted; never listed as stock within the history: none
    expected = {tenure.ticker for company in COMPANIES for tenure in company.tenures} - {"ZVZZT"}
    assert set(followed) == expected
    corporate.run("minute_bars", first=followed[0], last=followed[-1])
    require_no_request_of_nobody(corporate)
    corporate.run("event_shards", first=followed[0], last=followed[-1])
    result = corporate.run("master_events", "event_listings", ["core", "manifest"])
    master, rows = pl.read_parquet(lake.master), EventListingStore(lake).table()
    assert rows is not None

    # every verdict, from the companies themselves
    for event, row in zip(master.rows(named=True), rows.rows(named=True), strict=True):
        day = date.fromisoformat(event["date"])
        (company,) = [one for one in COMPANIES if (there := one.on(day)) and there.ticker == event["symbol"]]
        tenure = company.on(day)
        assert tenure is not None
        details = market.details(event["symbol"], day)
        assert details is not None
        large = event["close"] * float(str(details["weighted_shares_outstanding"])) > LIMIT
        verdict = "type" if tenure.type != "CS" else "market_cap" if large else None
        assert (row["excluded_by"], row["unknown"]) == (verdict, None), event["event_id"]
        place = company.tenures.index(tenure)
        former = company.tenures[place - 1].ticker if place else None
        if former and former != tenure.ticker:
            assert row["former_symbol"] == former
    assert rows["in_universe_at_event"].null_count() == 0
    assert {"type", "market_cap"} <= set(rows["excluded_by"].drop_nulls())

    # the new owner of a ticker begins without a baseline
    listings = ListingStore(lake).table()
    assert listings is not None
    ids = listings.filter(symbol="REUS")["listing_id"].to_list()
    assert len(ids) == 2
    of_ticker = master.join(rows.filter(symbol="REUS").select("event_id", "listing_id"), on="event_id")
    days = ShardStore(lake).coverage("REUS")
    assert days is not None
    new = sorted(day for day in days.dollar_volumes if day >= date(2025, 11, 5))
    early = pl.col("date").is_in([f"{day}" for day in new[:5]])
    second = of_ticker.filter(listing_id=ids[1])
    assert second.filter(early)["rvol_day"].null_count() == second.filter(early).height
    assert second.filter(~early)["rvol_day"].null_count() == 0

    # manifests leave the others out, and say how many
    sidecar = ManifestStore.in_lake(lake, "core").sidecar()
    step = sidecar["funnel"][1]
    assert step["rows"] == sidecar["funnel"][0]["rows"] - rows["excluded_by"].drop_nulls().len()
    (figures,) = metadata_of(result, "event_listings").values()
    assert figures["differing_pct"].value > 0


def require_no_request_of_nobody(corporate: Platform) -> None:
    """Nothing is requested of months in which no security had a ticker, and neither plan nor status misses it."""
    # REUS in October, BRIF in other months
    asked = {
        (parts[-6], parts[-2][:7])
        for parts in (path.split("/") for path, _ in corporate.gate.requests if "/range/1/minute/" in path)
    }
    assert {month for symbol, month in asked if symbol == "REUS"} == {"2025-09", "2025-11"}
    assert {month for symbol, month in asked if symbol == "BRIF"} == {"2025-10"}
    assert min(month for symbol, month in asked if symbol == "IPOO") == "2025-10"
    settings = load_settings(overrides=corporate.overrides)
    assert plan_bars(corporate.lake, settings, LATER).missing == 0
    counts = count_history(corporate.lake, settings, LATER).counts
    assert 0 < counts["published"] == counts["expected"] < counts["followed"] * counts["sessions"]
