"""What `smallcaps status` says of the universe."""

import polars as pl

from smallcaps_assets.commands.inspecting.universe_status import universe_status
from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS
from smallcaps_assets.domain.listings.survivorship import survivorship, todays_list
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings, flip_bit
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market

SETTINGS = default_settings()
# of today's list: S, and L which is large but followed; OLDN is named NEWN today
FOLLOWED = [
    ("S", "CS", 1e8, None, None),
    ("L", "CS", 5e9, None, "market_cap"),
    ("OLDN", "CS", 1e8, "2024-06-28", "delisted"),
]
VERDICTS = [
    ("1", "S", "2024-02-01", None, True, None, None),
    ("2", "S", "2024-03-01", None, False, "type", None),
    ("3", "S", "2025-03-03", None, False, "market_cap", None),
    ("4", "L", "2024-02-01", None, True, None, None),
    ("5", "L", "2025-02-03", None, False, "market_cap", None),
    ("6", "OLDN", "2024-02-01", "NEWN", True, None, None),
    ("7", "S", "2025-05-01", None, None, None, "market_cap"),
]


def universe() -> pl.DataFrame:
    names = ["symbol", "ticker_type", "market_cap_usd", "delisted", "excluded_by"]
    rows = pl.DataFrame(FOLLOWED, names, orient="row").with_columns(
        pl.col("delisted").str.to_date(), primary_exchange=pl.lit("XNAS"), active=pl.lit(value=True)
    )
    return rows.match_to_schema(UNIVERSE, missing_columns="insert")


def judged() -> pl.DataFrame:
    names = ["event_id", "symbol", "date", "next_symbol", "in_universe_at_event", "excluded_by", "unknown"]
    return pl.DataFrame(VERDICTS, names, orient="row").match_to_schema(EVENT_LISTINGS, missing_columns="insert")


def said(lake: Lake, settings: Settings = SETTINGS) -> tuple[list[str], int]:
    items, damaged = universe_status(lake, settings)
    return [getattr(item, "text", str(item)) for item in items], damaged


def test_survivorship_by_year_case_and_reason() -> None:
    today = todays_list(universe(), SETTINGS.universe, SETTINGS.history.first_session.replace(year=2020))
    assert dict(today.iter_rows()) == {"S": None, "L": "market_cap", "OLDN": "delisted"}
    assert survivorship(judged(), today).rows() == [
        (2024, "both", None, 1, 1),
        (2024, "only_then", "market_cap", 1, 1),
        (2024, "only_then", "renamed", 1, 1),
        (2024, "only_today", "type", 1, 1),
        (2025, "neither", "market_cap", 1, 1),
        (2025, "only_today", "market_cap", 1, 1),
        (2025, "unknown", "market_cap", 1, 1),
    ]


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
