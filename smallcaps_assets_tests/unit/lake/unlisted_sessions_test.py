"""Sessions on which a symbol is certainly not listed: what makes it certain, and what makes it unknown."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

SESSIONS = xnys_calendar(date(2025, 1, 2), date(2025, 6, 30))["date"].to_list()
KNOWN = {"first": "2025-01-02", "last": "2025-06-30", "delisted_since": "2025-01-02", "doubtful": []}
SYMBOLS = ("ENDED", "BEGUN", "REUSED", "ALWAYS", "OPEN", "STRANGER")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return new_lake(tmp_path)


def publish(lake: Lake, **changes: Any) -> None:
    tables = market(
        listing("ENDED", "2025-01-02", "2025-03-14", from_is_exact=False),
        listing("BEGUN", "2025-03-17"),
        listing("REUSED", "2025-01-02", "2025-02-14", from_is_exact=False),
        listing("REUSED", "2025-05-01"),
        listing("ALWAYS", "2025-01-02", from_is_exact=False),
        listing("OPEN", "2025-01-02", "2025-02-14", to_is_exact=False),
    )
    provenance = {name: value for name, value in (KNOWN | changes).items() if value is not None}
    ListingStore(lake).publish(tables.listings, tables.facts, provenance)


def between(first: str, last: str) -> set[date]:
    return {day for day in SESSIONS if date.fromisoformat(first) <= day <= date.fromisoformat(last)}


def test_days_outside_listings_with_exact_borders_are_certain(lake: Lake) -> None:
    publish(lake)
    found = unlisted_sessions(lake, SYMBOLS, SESSIONS)
    assert found == {
        "ENDED": between("2025-03-17", "2025-06-30"),
        "BEGUN": between("2025-01-02", "2025-03-14"),
        "REUSED": between("2025-02-18", "2025-04-30"),
    }
    assert unlisted_sessions(lake, ["ENDED"], SESSIONS).keys() == {"ENDED"}
    assert unlisted_sessions(lake, SYMBOLS, []) == {}


def test_days_that_no_list_is_of_are_unknown(lake: Lake) -> None:
    publish(lake, first="2025-02-03", last="2025-05-30", delisted_since="2025-02-14")
    found = unlisted_sessions(lake, SYMBOLS, SESSIONS)
    assert found == {
        "ENDED": between("2025-03-17", "2025-05-30"),
        "BEGUN": between("2025-02-14", "2025-03-14"),
        "REUSED": between("2025-02-18", "2025-04-30"),
    }


def test_a_delisting_that_no_listing_confirms_makes_its_ticker_unknown(lake: Lake) -> None:
    publish(lake, doubtful=["REUSED", "ENDED"])
    assert unlisted_sessions(lake, SYMBOLS, SESSIONS).keys() == {"BEGUN"}


@pytest.mark.parametrize("name", ["delisted_since", "doubtful"])
def test_without_the_list_of_delisted_tickers_nothing_is_certain(lake: Lake, name: str) -> None:
    assert unlisted_sessions(lake, SYMBOLS, SESSIONS) == {}
    publish(lake, **{name: None})
    assert unlisted_sessions(lake, SYMBOLS, SESSIONS) == {}
