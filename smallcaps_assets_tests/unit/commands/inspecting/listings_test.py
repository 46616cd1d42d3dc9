"""`smallcaps listings`: what is known of tickers, and what is missing, without a request."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets_tests.conftest import new_lake

FIRST, LAST = date(2025, 11, 3), date(2025, 12, 1)


@pytest.fixture
def made(tmp_path: Path) -> Lake:
    """OLD was renamed to NEW on 17 November."""
    lake = new_lake(tmp_path)
    rows = [
        {"symbol": "NEW", "listing_id": "NEW_20251117", "active_from": date(2025, 11, 17), "former_symbol": "OLD"},
        {"symbol": "OLD", "listing_id": "OLD_20251103", "active_from": FIRST, "active_to": date(2025, 11, 14)},
    ]
    listings = pl.DataFrame(rows, schema_overrides={"active_to": pl.Date}).with_columns(
        from_is_exact=pl.lit(value=True), to_is_exact=pl.lit(value=True), name=pl.lit("Renamed Inc.")
    )
    facts = listings.select(
        "listing_id", "symbol", valid_from="active_from", valid_to="active_to", ticker_type=pl.lit("CS")
    )
    ListingStore(lake).publish(
        listings.match_to_schema(LISTINGS, missing_columns="insert"),
        facts.match_to_schema(LISTING_FACTS, missing_columns="insert"),
        {"first": f"{FIRST}", "last": f"{LAST}"},
    )
    return lake


def test_tickers_are_printed_with_their_other_names(made: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listings", "--lake", str(made.root), "OLD", "NEW", "GONE"]) == 0
    printed = capsys.readouterr().out
    assert "2 listings from 2025-11-03 to 2025-12-01, 1 is not ended, 1 has a former ticker" in printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["NEW", "2025-11-17", "-", "-", "-", "OLD", "-", "Renamed", "Inc."] in lines
    assert "GONE: no listing is known" in printed


def test_a_day_has_the_listings_of_then(made: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["listings", "--lake", str(made.root), "--on", "2025-11-14", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(row["symbol"], row["ticker_type"]) for row in document["listings"]] == [("OLD", "CS")]
    assert document["covers"] == ["2025-11-03", "2025-12-01"]
    assert document["requests_for_lists"] == document["lists_missing"] * 12 > 0


def test_a_lake_without_listings_says_what_they_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = new_lake(tmp_path)
    assert main(["listings", "--lake", str(lake.root)]) == 0
    printed = capsys.readouterr().out
    assert "none yet. Materialize `listings` to make them" in printed
    assert "lists of tickers are missing, about" in printed
    assert "some 200 for the sessions of the changes of each month" in printed
    with pytest.raises(SystemExit):
        main(["listings", "--lake", str(lake.root), "--on", "yesterday"])
