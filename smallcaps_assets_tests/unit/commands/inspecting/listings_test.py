"""`smallcaps listings`: what is known of tickers, and what is missing, without a request."""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.listings.as_of import LISTED_EVENT, SHARES
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS, SNAPSHOT
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.scenarios import flip_bit

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
        "listing_id",
        "symbol",
        valid_from="active_from",
        valid_to="active_to",
        ticker_type=pl.lit("CS"),
        primary_exchange=pl.lit("XNAS"),
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
    assert "shares:   unknown until events are detected" in printed
    with pytest.raises(SystemExit):
        main(["listings", "--lake", str(lake.root), "--on", "yesterday"])


def detected(lake: Lake, *events: tuple[str, str, float]) -> None:
    """A MASTER of events, each with its symbol, its date and its close."""
    rows = [(f"e{number}", *event) for number, event in enumerate(events)]
    frame = pl.DataFrame(rows, schema=LISTED_EVENT, orient="row")
    publish_frame(lake.master, frame.match_to_schema(EVENTS, missing_columns="insert"), {}, below=lake.root)


def costs(lake: Lake, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["listings", "--lake", str(lake.root), "--json"]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


EVENTS_OF_NEW = (("NEW", "2025-11-18", 2.0), ("NEW", "2025-11-20", 3.0), ("NEW", "2026-01-06", 3.0))


def test_shares_outstanding_are_stated_before_they_are_asked_for(
    made: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two quarters: from 17 November, when the listing began, and from 1 January, and the last event of the latter."""
    detected(made, *EVENTS_OF_NEW)
    assert costs(made, capsys)["requests_for_shares"] == 3
    assert main(["listings", "--lake", str(made.root)]) == 0
    assert "event_listings sends 3 requests for shares outstanding" in capsys.readouterr().out.replace("\n", " ")
    shares = pl.DataFrame([("NEW", date(2025, 11, 17), 1e6, None)], schema=SHARES, orient="row")
    EventListingStore(made).add_shares(shares, "simulated")
    assert costs(made, capsys)["requests_for_shares"] == 2


def test_without_listings_shares_have_a_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = new_lake(tmp_path)
    assert costs(lake, capsys)["requests_for_shares"] is None
    # NEW has events in two quarters, OLD in one: both ends of three
    detected(lake, *EVENTS_OF_NEW, ("OLD", "2025-11-05", 1.0))
    assert costs(lake, capsys)["requests_for_shares"] == 6
    assert main(["listings", "--lake", str(lake.root)]) == 0
    assert "event_listings sends at most 6 requests" in capsys.readouterr().out.replace("\n", " ")


def test_borders_between_stored_lists_are_stated_before_they_are_asked_for(
    made: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """From 3 November to 1 December are 19 sessions: 5 halvings each of OLD, NEW; a warrant is not followed."""
    store = ListingStore(made)
    for day, symbols in ((FIRST, ["OLD", "STAY"]), (LAST, ["NEW", "STAY", "WRNT"])):
        types = ["WARRANT" if symbol == "WRNT" else "CS" for symbol in symbols]
        rows = pl.DataFrame({"symbol": symbols, "ticker_type": types, "is_clear": True})
        store.add_snapshot(day, rows.match_to_schema(SNAPSHOT, missing_columns="insert"), {"day": f"{day}"})
    assert costs(made, capsys)["requests_for_borders_at_most"] == 10
    assert main(["listings", "--lake", str(made.root)]) == 0
    assert "2 tickers changed between two lists on an unknown session" in capsys.readouterr().out.replace("\n", " ")


def test_a_plan_states_the_same_requests(made: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    detected(made, *EVENTS_OF_NEW)
    said = costs(made, capsys)
    plan = ["plan", "--bars", "--lake", str(made.root)]
    assert main([*plan, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["listings"] == {name: said[name] for name in document["listings"]}
    assert document["listings"]["requests_for_shares"] == 3
    assert main(plan) == 0
    assert "  shares outstanding: event_listings sends 3 requests for" in capsys.readouterr().out
    # a damaged table leaves the plan of the bars as it is, and is named
    flip_bit(made.listings)
    assert main([*plan, "--json"]) == 1
    damaged = json.loads(capsys.readouterr().out)
    assert damaged["roads"] == document["roads"]
    assert damaged["listings"] is None
    assert str(made.listings) in damaged["listings_problem"]
    assert main(plan) == 1
    assert "listings.parquet" in capsys.readouterr().out
