"""The borders of listings that a lake knows."""

from typing import Final

from smallcaps_assets.domain.listings.borders import LISTED_DAYS, NO_BORDERS, ListingBorders
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake

_LISTINGS: Final = "listings.parquet"


def load_borders(lake: Lake) -> ListingBorders:
    """The borders between the listings of a lake; none where listings were never fetched.

    Raises:
        LakeError: the table of listings is damaged or cannot be read.
    """
    path = lake.universe.with_name(_LISTINGS)
    return ListingBorders.of(read_table(path, LISTED_DAYS)) if is_stored(path) else NO_BORDERS
