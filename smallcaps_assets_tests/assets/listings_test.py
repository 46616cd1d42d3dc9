"""Asset `listings` in Dagster: its figures and its check, and nights that only keep listings up to date."""

from datetime import date

import dagster as dg
import pytest

from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.simulated.corporate.market import CorporateMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.assets.platform import Platform, metadata_of, rows_of
from smallcaps_assets_tests.conftest import LATER, refusal


@pytest.fixture
def corporate(fresh: Platform) -> Platform:
    """An empty lake, and a market whose companies have a history."""
    fresh.gate.exchange = Exchange(CorporateMarket(clock=lambda: LATER), clock=lambda: LATER)
    fresh.overrides["history"] = {"first_session": "2025-08-04", "last_session": "2025-12-12"}
    return fresh


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = result.get_asset_check_evaluations()
    return found


def test_listings_are_made_when_asked_for_and_kept_up_to_date_by_nights(corporate: Platform) -> None:
    night = {"listings": {"go_on": True, "begin": False}}
    assert metadata_of(corporate.run("listings", config=night), "listings") == {}
    assert corporate.gate.requests == []
    result = corporate.run("listings")
    (figures,) = metadata_of(result, "listings").values()
    assert check_of(result).passed
    expected = {
        "known": True,
        "from": "2025-08-04",
        "to": "2025-12-12",
        "lists asked for": 6,
        # STAY, NEWN, REUS, SWPA, SWPB, TYPE, MOVE, GROW, BACK, BARF, LATE, IPOO, THRD and BOUN
        "listed": 14,
        "renamed": 4,
        # REUS, SWPA, SWPB, BACK, THRD and BOUN
        "tickers with several listings": 6,
        # OLDN, REUS, SWPA, SWPB, BACK, NA, BARE, BRIF, BOUN, and THRD twice
        "delisted by the vendor's list": 11,
        "of these the listing ends then": 11,
        "without a FIGI": 2,
        "changes known to a month": 0,
        "test symbols left out": "1 ticker (universe.test_symbols): ZVZZT",
        "requests": len(corporate.gate.requests),
    }
    assert {name: figures[name].value for name in expected} == expected
    assert rows_of(figures["latest renames"])[0][:2] == ("SWPB", "SWPA")
    corporate.gate.requests.clear()
    corporate.overrides["history"] = {"first_session": "2025-08-04", "last_session": "2025-12-15"}
    corporate.run("listings", config=night)
    assert [query["date"] for _, query in corporate.gate.requests] == ["2025-12-15"]
    covered = ListingStore(corporate.lake).covers()
    assert covered == (date(2025, 8, 4), date(2025, 12, 15))


def test_borders_that_are_not_asked_for_are_named_and_a_plan_without_lists_is_said_so(corporate: Platform) -> None:
    corporate.gate.rule = lambda path, query: refusal(403)  # noqa: ARG005
    (figures,) = metadata_of(corporate.run("listings"), "listings").values()
    assert figures["known"].value is False
    corporate.gate.rule = lambda path, query: None  # noqa: ARG005
    corporate.overrides["universe"] = {"listing_borders": "monthly"}
    result = corporate.run("listings")
    check = check_of(result)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "rows break this rule" in (check.description or "")
