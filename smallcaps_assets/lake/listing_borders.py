"""The borders of listings that a lake knows."""

from smallcaps_assets.domain.listings.borders import LISTED_DAYS, NO_BORDERS, ListingBorders
from smallcaps_assets.lake.files.stored_tables import is_stored, read_table
from smallcaps_assets.lake.layout import Lake


def load_borders(lake: Lake) -> ListingBorders:
    """The borders between the listings of a lake; none where listings were never fetched.

    Raises:
        LakeError: the table of listings is damaged or cannot be read.
    """
    known = is_stored(lake.listings)
    return ListingBorders.of(read_table(lake.listings, LISTED_DAYS)) if known else NO_BORDERS
