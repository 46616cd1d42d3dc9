"""The stored listings: two tables that are made together."""

from pathlib import Path

import pytest

from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets_tests.conftest import new_lake


def test_listings_without_their_facts_are_not_none_at_all(tmp_path: Path) -> None:
    """Without listings, events are judged by today's list: a file that is gone would change that silently."""
    lake = new_lake(tmp_path / "lake")
    store = ListingStore(lake)
    assert (store.facts(), EventListingStore(lake).known()) == (None, None)
    store.publish(LISTINGS.to_frame(), LISTING_FACTS.to_frame(), {"first": "2025-11-03", "last": "2025-11-04"})
    assert EventListingStore(lake).known() is not None
    lake.listing_facts.unlink()
    with pytest.raises(LakeError, match=r"listing_facts.parquet: is missing, although .* Materialize listings"):
        EventListingStore(lake).known()
