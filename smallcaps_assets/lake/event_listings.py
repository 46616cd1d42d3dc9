"""The listings of events, and the shares outstanding that their market caps are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from smallcaps_assets.domain.listings.as_of import EVENT_LISTINGS, SHARES, KnownListings
from smallcaps_assets.lake.files.publish import provenance_of, publish_changed, publish_frame
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.reference_tables import ReferenceTables


@dataclass(frozen=True)
class EventListingStore:
    """The table `event_listings` of a lake, and the shares outstanding."""

    lake: Lake

    def known(self) -> KnownListings | None:
        """What events are judged by; None where listings were never made.

        Raises:
            LakeError: a table is damaged or cannot be read.
        """
        store = ListingStore(self.lake)
        listings, facts = store.table(), store.facts()
        if listings is None or facts is None:
            return None
        return KnownListings(listings, facts, self.shares(), ReferenceTables(self.lake).splits())

    def shares(self) -> pl.DataFrame:
        """The shares outstanding that were asked for (SHARES), sorted by symbol and day."""
        path = self.lake.shares_outstanding
        return read_table(path, SHARES) if is_stored(path) else SHARES.to_frame()

    def add_shares(self, rows: pl.DataFrame, source: str) -> None:
        """Publish more of them (SHARES); of the same symbol and day the last one counts."""
        every = pl.concat([self.shares(), rows.match_to_schema(SHARES)])
        kept = every.unique(["symbol", "asked_for"], keep="last", maintain_order=True).sort("symbol", "asked_for")
        publish_frame(self.lake.shares_outstanding, kept, {"source": source}, below=self.lake.root)

    def table(self) -> pl.DataFrame | None:
        """The listing of each event (EVENT_LISTINGS), in the order of MASTER; None if it was never made."""
        path = self.lake.event_listings
        return read_table(path, EVENT_LISTINGS) if is_stored(path) else None

    def made_from(self) -> dict[str, Any] | None:
        """What the table was made of; None if it was never made."""
        path = self.lake.event_listings
        return (provenance_of(path) or {}) if is_stored(path) else None

    def publish(self, rows: pl.DataFrame, made_from: Mapping[str, Any]) -> None:
        """Publish the listing of each event (EVENT_LISTINGS), unless it is stored already."""
        publish_changed(self.lake.event_listings, rows, made_from, below=self.lake.root)
