"""Files of the listings that others name and that are missing."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ANSWERS, DELISTED_ROWS, LISTS, TICKER_EVENT_ROWS, ListingStore
from smallcaps_assets.lake.verification.discrepancy import DAMAGE_ERRORS, relative_path


def missing_of_listings(lake: Lake, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Missing files, each with what is expected of it: listings and their facts, and what they were made of.

    Args:
        lake: the lake.
        files: its files and their kinds.
    """
    made = [relative_path(lake, path) for path in (lake.listings, lake.listing_facts)]
    if "lists of tickers" in files.values() or any(file in files for file in made):
        yield from ((file, "the listings that the lists of tickers give") for file in made if file not in files)
    with suppress(*DAMAGE_ERRORS):
        inputs = ListingStore(lake).inputs() or {}
        lists = [relative_path(lake, lake.listing_snapshot(date.fromisoformat(day))) for day in inputs.get(LISTS, ())]
        yield from ((file, "a list that the listings were made of") for file in lists if file not in files)
        answers = {
            ANSWERS: lake.listing_observations,
            TICKER_EVENT_ROWS: lake.ticker_events,
            DELISTED_ROWS: lake.delisted_tickers,
        }
        for name, path in answers.items():
            if inputs.get(name) and relative_path(lake, path) not in files:
                yield relative_path(lake, path), "the answers that the listings were made of"
