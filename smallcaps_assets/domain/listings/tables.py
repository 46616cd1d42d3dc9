"""Schemas of the listings: which security traded under which ticker on which days.

A listing is the time in which one security is listed under one ticker. A ticker that a second company takes over is two
listings, and a company that changes its ticker has two as well. Days are XNYS sessions, both ends included.
"""

from typing import Final

import polars as pl

# What identifies a security, in the order in which it counts; see `domain.listings.identity`.
IDENTITIES: Final = ("share_class_figi", "composite_figi", "cik", "name")

# A row of the vendor's list on one day. Text is null where the vendor gives none, or where its rows of the ticker
# contradict each other (`is_clear` is false).
SNAPSHOT: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "cik": pl.String(),
        "composite_figi": pl.String(),
        "share_class_figi": pl.String(),
        "is_clear": pl.Boolean(),
    }
)

# What the vendor answered about single tickers on single days; without a listing only day and symbol have values.
OBSERVATIONS: Final = pl.Schema({"day": pl.Date(), "is_listed": pl.Boolean(), **SNAPSHOT})

# One row per listing, sorted by symbol and active_from. Name, type and exchange are the latest.
LISTINGS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "listing_id": pl.String(),
        "share_class_figi": pl.String(),
        "composite_figi": pl.String(),
        "cik": pl.String(),
        "name": pl.String(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "active_from": pl.Date(),
        "active_to": pl.Date(),
        "from_is_exact": pl.Boolean(),
        "to_is_exact": pl.Boolean(),
        "former_symbol": pl.String(),
        "next_symbol": pl.String(),
        "source_date": pl.Date(),
    }
)

# Type, exchange and name of a listing through time, sorted by symbol and valid_from. The rows of a listing follow each
# other without a gap, from its active_from to its active_to.
LISTING_FACTS: Final = pl.Schema(
    {
        "listing_id": pl.String(),
        "symbol": pl.String(),
        "valid_from": pl.Date(),
        "valid_to": pl.Date(),
        "from_is_exact": pl.Boolean(),
        "ticker_type": pl.String(),
        "primary_exchange": pl.String(),
        "name": pl.String(),
    }
)

LISTING_COLUMNS: Final = {
    "symbol": "Ticker of the listing.",
    "listing_id": "Name of the listing: its ticker and the first day on which it was known. Later data never changes "
    "it.",
    "share_class_figi": "FIGI of the share class; null where the vendor never gave one.",
    "composite_figi": "FIGI of the security in its country; null where the vendor never gave one.",
    "cik": "The company's number at the SEC; null where the vendor never gave one.",
    "name": "Latest name of the security under this ticker.",
    "ticker_type": "Latest type by the vendor's code, such as CS (common stock) or ADRC.",
    "primary_exchange": "Latest primary exchange (MIC).",
    "active_from": "First session on which the security is known to be listed under this ticker.",
    "active_to": "Last session on which it is known to be listed under it; null if it still is.",
    "from_is_exact": "Whether active_from is the first session of the listing; false where it began before the first "
    "list of the vendor, or where sessions before it were not asked for.",
    "to_is_exact": "Whether active_to is the last session of the listing; true if it is null.",
    "former_symbol": "Ticker under which the security was listed just before; null if there is none.",
    "next_symbol": "Ticker under which the security is listed just after; null if there is none.",
    "source_date": "Last session of which the vendor's list shows the listing.",
}
FACT_COLUMNS: Final = {
    "listing_id": "The listing (see listings).",
    "symbol": "Ticker of the listing.",
    "valid_from": "First session on which type, exchange and name are known to hold.",
    "valid_to": "Last session before others hold, or on which the listing is known; null if they still hold.",
    "from_is_exact": "Whether valid_from is the first session on which type and exchange hold.",
    "ticker_type": "Type by the vendor's code, such as CS (common stock) or ADRC; null if it never gave one.",
    "primary_exchange": "Primary exchange (MIC); null if the vendor never gave one.",
    "name": "Name of the security, as of valid_from; a change of the name alone makes no row.",
}
