"""Bring the reference tables of a lake up to date: trade conditions at most monthly, splits at most daily."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.tape.pinned_conditions import date_conditions, pinned_conditions
from smallcaps_assets.errors import NotEntitled, NotFound
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.pages import Download

# Conditions are asked for again once they are so old.
CONDITIONS_LAST: Final = timedelta(days=28)
# Splits are known from so long before the first session on: features look back over 60 trading days.
SPLITS_BEFORE: Final = timedelta(days=120)


@dataclass(frozen=True)
class ReferenceUpdate:
    """Updates the reference tables from one vendor.

    Attributes:
        tables: the tables.
        client: client of the vendor.
        source: identity of the vendor, for the footers.
        log: receives messages.
    """

    tables: ReferenceTables
    client: MarketDataClient
    source: str
    log: Callable[[str], None]

    def trade_conditions(self, today: date) -> pl.DataFrame:
        """The trade conditions (CONDITION_TABLE), asked for if the stored ones are 28 days old.

        Where the plan or the vendor has none, the pinned copy is published.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        served_on = self.tables.conditions_fetched_on()
        if served_on is not None and today - served_on < CONDITIONS_LAST:
            return self.tables.trade_conditions()
        try:
            conditions = date_conditions(
                self._rows(self.client.reference.trade_conditions(), "trade conditions"), today
            )
        except (NotEntitled, NotFound) as error:
            conditions = pinned_conditions()
            day = conditions["source_date"][0]
            self.log(f"trade conditions: the vendor has none ({error}); the copy of {day} is used")
            self.tables.publish_trade_conditions(conditions, self.source, is_pinned=True)
        else:
            self.tables.publish_trade_conditions(conditions, self.source, is_pinned=False)
        return conditions

    def splits(self, first_session: date, today: date) -> pl.DataFrame | None:
        """Splits of all symbols (SPLITS) from 120 days before the first session to today, asked for once a day.

        None where neither the newer nor the older list is in the plan: they are unknown.

        Raises:
            MarketDataError: the vendor did not deliver.
        """
        first, covered = first_session - SPLITS_BEFORE, self.tables.splits_cover()
        if covered is not None and covered[0] <= first and today <= covered[1]:
            return self.tables.splits()
        try:
            splits = self._rows(self.client.reference.splits(first, today), "splits")
        except (NotEntitled, NotFound) as error:
            self.log(f"splits: the vendor has none ({error}); what was fetched before stays")
            return self.tables.splits()
        self.tables.publish_splits(splits, self.source, first, today)
        return splits

    def _rows(self, found: Download, what: str) -> pl.DataFrame:
        """The rows of a list; those that were left out of it are logged."""
        for symbol, reason in found.bad_rows:
            of = f" of {symbol}" if symbol else ""
            self.log(f"a bad row in the vendor's list is left out: {what}{of}, {reason}")
        return found.frame
