"""The asset `event_listings` and manifests as of the event's date, with listings that a test writes, over HTTP."""

from datetime import date
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets_tests.assets.checks_test import checked
from smallcaps_assets_tests.assets.platform import Platform, metadata_of, records_of
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

pytestmark = pytest.mark.slow
DETAILS = "/v3/reference/tickers/"
# AVLO was another ticker before and is listed no more after the first day, DRFT was a fund until then, and of CRVO
# nothing is known; BNRX has no event
FIRST = "2025-11-26"
KNOWN = market(
    listing("AVLO", "2024-01-02", FIRST, former_symbol="AVLX"),
    listing("DRFT", "2024-01-02"),
    facts=[("DRFT_20240102", "2024-01-02", FIRST, "ETF", "XNAS"), ("DRFT_20240102", "2025-11-28", None, "CS", "XNAS")],
)


def sidecar(platform: Platform) -> dict[str, Any]:
    return ManifestStore.in_lake(platform.lake, "core").sidecar()


def verdicts(rows: pl.DataFrame) -> set[tuple[Any, ...]]:
    """What is said of the events of each symbol and date."""
    names = ("symbol", "date", "former_symbol", "in_universe_at_event", "excluded_by", "unknown")
    return set(rows.select(names).rows())


def require_other_listings_noticed(platform: Platform) -> None:
    """The check of the manifest says so where other listings would select other events."""
    assert checked(platform, "core/manifest", "up_to_date")["up_to_date"].passed
    ListingStore(platform.lake).publish(
        KNOWN.listings, KNOWN.facts.head(1), {"first": "2024-01-02", "last": "2025-11-28"}
    )
    stale = checked(platform, "core/manifest", "up_to_date")["up_to_date"]
    assert not stale.passed
    assert "which events were in the universe on their date has changed" in str(stale.description)
    ListingStore(platform.lake).publish(KNOWN.listings, KNOWN.facts, {"first": "2024-01-02", "last": "2025-11-28"})


def test_events_count_where_their_symbol_was_in_the_universe_on_their_date(made: Platform) -> None:
    before = sidecar(made)
    # without listings: no table, no request, and the manifest stays the one it was
    (figures,) = metadata_of(made.run("event_listings", ["core", "manifest"]), "event_listings").values()
    assert figures["known"].value is False
    assert "Materialize listings" in str(figures["verdict"].value)
    assert made.gate.requests == []
    assert EventListingStore(made.lake).table() is None
    assert sidecar(made) == before

    ListingStore(made.lake).publish(KNOWN.listings, KNOWN.facts, {"first": "2024-01-02", "last": "2025-11-28"})
    result = made.run("event_listings", ["core", "manifest"])
    master, rows = pl.read_parquet(made.lake.master), EventListingStore(made.lake).table()
    assert rows is not None
    assert rows.schema == EVENT_LISTINGS
    assert rows["event_id"].equals(master["event_id"])
    assert verdicts(rows) == {
        ("AVLO", "2025-11-26", "AVLX", True, None, None),
        ("AVLO", "2025-11-28", None, False, "not_listed", None),
        ("CRVO", "2025-11-26", None, None, None, "listing"),
        ("DRFT", "2025-11-26", None, False, "type", None),
        ("DRFT", "2025-11-28", None, True, None, None),
    }

    # of the symbols that another filter does not exclude, the first day of the quarter and the date of the last event
    asked = [(path.removeprefix(DETAILS), query["date"]) for path, query in made.gate.requests if DETAILS in path]
    lasts = {"AVLO": FIRST, "DRFT": "2025-11-28"}
    assert sorted(asked) == [(name, on) for name, last in lasts.items() for on in ("2025-10-01", last)]
    shares = dict(EventListingStore(made.lake).shares().select("symbol", "shares_outstanding").iter_rows())
    details = made.gate.exchange._market.details("AVLO", date(2025, 10, 1))
    assert details is not None
    assert shares["AVLO"] == details["weighted_shares_outstanding"]
    of_avlo = rows.filter(symbol="AVLO", date=FIRST).join(master.select("event_id", "close"), on="event_id")
    assert of_avlo["market_cap_at_event"].to_list() == pytest.approx((of_avlo["close"] * shares["AVLO"]).to_list())

    # the manifest has only those events, and its sidecar says so
    now = sidecar(made)
    assert now["manifest_id"] != before["manifest_id"]
    first, second = now["funnel"][:2]
    assert second["step"] == "in_universe_at_event"
    excluded = rows.filter(pl.col("in_universe_at_event").eq_missing(False)).height
    assert second["rows"] == first["rows"] - excluded
    assert second["unknown_listing"] == rows.filter(unknown="listing").height
    assert now["universe"]["as_of"] == "event"
    manifest = ManifestStore.in_lake(made.lake, "core").load()
    assert manifest.height > 0
    assert manifest.join(rows.filter(pl.col("excluded_by").is_not_null()), on="event_id", how="semi").is_empty()

    # how today's list differs: all of them are in it
    (figures,) = metadata_of(result, "event_listings").values()
    assert {row["has"] for row in records_of(figures["survivorship"])} == {"only today's list"}
    assert sum(row["events"] for row in records_of(figures["survivorship"])) == excluded
    assert "missing from today's list" in str(figures["verdict"].value)
    assert str(figures["picture/survivorship"].value).startswith("![events by month in the universe of their date")
    # and the splits: DRFT had a reverse split since
    assert figures["requests"].value == 5

    require_other_listings_noticed(made)

    # nothing changes again, and nothing is asked for again
    made.gate.requests.clear()
    again = made.run("event_listings", ["core", "manifest"])
    assert made.gate.requests == []
    (unchanged,) = metadata_of(again, "core", "manifest").values()
    assert unchanged["unchanged"].value is True

    # the universe of today: the manifest of before is the current one again
    made.overrides |= {"universe": {"as_of": "today"}}
    made.run(["core", "manifest"])
    assert sidecar(made) == before
