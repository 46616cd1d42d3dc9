"""What `smallcaps status` says of the universe."""

from smallcaps_assets.commands.inspecting.universe_status import universe_status
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings, flip_bit
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market
from smallcaps_assets_tests.unit.domain.listings.survivorship_test import judged, universe

SETTINGS = default_settings()


def said(lake: Lake, settings: Settings = SETTINGS) -> tuple[list[str], int]:
    items, damaged = universe_status(lake, settings)
    return [getattr(item, "text", str(item)) for item in items], damaged


def test_the_line_of_the_universe(lake: Lake) -> None:
    assert said(lake) == ([], 0)
    publish_frame(lake.master, master_of(event("2025-11-26 10:00")), below=lake.root)
    assert "as the lake has no listings" in said(lake)[0][0]
    assert "universe.as_of" in said(lake, load_settings(overrides={"universe": {"as_of": "today"}}))[0][0]
    assert said(lake, load_settings(overrides={"universe": {"symbols": ["AVLO"]}})) == ([], 0)
    known = market(listing("S", "2020-01-02"))
    ListingStore(lake).publish(known.listings, known.facts, {"first": "2020-01-02", "last": "2025-11-28"})
    assert "materialize event_listings" in said(lake)[0][0]
    UniverseStore(lake).replace(universe(), {})
    EventListingStore(lake).publish(judged(), {})
    settings = load_settings(overrides={"history": {"first_session": "2020-01-02"}})
    counts = "2 events of today's list were not in it, 2 events only then, unknown of 1"
    assert said(lake, settings) == ([f"universe: as of each event's date: {counts}"], 0)
    flip_bit(lake.event_listings)
    (line,), damaged = said(lake, settings)
    assert damaged == 1
    assert "Materialize event_listings" in line
