"""The listings of a lake, and the vendor's lists of tickers that they are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.listings.delisted import DELISTED
from smallcaps_assets.domain.listings.lookup import listed_on
from smallcaps_assets.domain.listings.states import SIGHTINGS
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS, OBSERVATIONS, SNAPSHOT
from smallcaps_assets.domain.listings.ticker_events import TICKER_EVENTS
from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import provenance_of, publish_changed, publish_frame
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged, prove, read_table
from smallcaps_assets.lake.layout import Lake

# keys of the provenance: the first and the last session of which the vendor's list was read
FIRST: Final = "first"
LAST: Final = "last"
# the sessions of the lists, and how many answers on single tickers, rows of ticker events and delisted tickers
LISTS: Final = "lists"
ANSWERS: Final = "answers"
TICKER_EVENT_ROWS: Final = "ticker_events"
DELISTED_ROWS: Final = "delisted"
# where the list of delisted tickers is known: the first day that it is of, and the tickers of delistings that no
# listing confirms
SINCE: Final = "delisted_since"
DOUBTFUL: Final = "doubtful"
# of the list of delisted tickers: the session on which it was asked for, the last one up to which nothing that it says
# is left to ask, and its rows of all times
ASKED_ON: Final = "asked_on"
THROUGH: Final = "through"
LIST_ROWS: Final = "rows"


@dataclass(frozen=True)
class ListingStore:
    """The listings of a lake; a lake has none until the asset `listings` is materialized."""

    lake: Lake

    def table(self) -> pl.DataFrame | None:
        """Every listing (LISTINGS), sorted by symbol and active_from; None if they were never made."""
        path = self.lake.listings
        return read_table(path, LISTINGS) if is_stored(path) else None

    def facts(self) -> pl.DataFrame | None:
        """Type, exchange and name of every listing through time (LISTING_FACTS); None if they were never made.

        Raises:
            LakeError: the file is gone, damaged or cannot be read.
        """
        path = self.lake.listing_facts
        if is_stored(self.lake.listings) and not is_stored(path):
            # without listings events are judged by today's list: nobody may come to that unnoticed
            fault = f"is missing, although {self.lake.listings.name} is there"
            raise LakeError(f"{path}: {fault}. {how_to_restore(path)}", path).with_facts(fault)
        return read_table(path, LISTING_FACTS) if is_stored(path) else None

    def at(self, day: date) -> pl.DataFrame | None:
        """The listings of one session (LISTINGS) with their name, type and exchange then; None if never made."""
        table, facts = self.table(), self.facts()
        return None if table is None or facts is None else listed_on(table, facts, day)

    def covers(self) -> tuple[date, date] | None:
        """The first and the last session of which the vendor's list was read; None if listings were never made.

        Whoever was listed before the first or is listed after the last is unknown.

        Raises:
            LakeError: the table is not one that `publish` wrote.
        """
        inputs = self.inputs()
        if inputs is None:
            return None
        try:
            return date.fromisoformat(inputs[FIRST]), date.fromisoformat(inputs[LAST])
        except (KeyError, TypeError, ValueError) as error:
            # damage and other columns are named first
            self.table()
            raise _of_others(self.lake.listings, "its footer names no first and last list of tickers") from error

    def inputs(self) -> dict[str, Any] | None:
        """What the listings were made of; None if they were never made."""
        return (provenance_of(self.lake.listings) or {}) if is_stored(self.lake.listings) else None

    def publish(self, listings: pl.DataFrame, facts: pl.DataFrame, provenance: dict[str, Any]) -> None:
        """Publish LISTINGS and LISTING_FACTS made of the same lists, unless they are stored already.

        Args:
            listings: LISTINGS.
            facts: LISTING_FACTS.
            provenance: with `first` and `last`, the sessions (ISO dates) of the first and the last list.
        """
        below = self.lake.root
        publish_changed(self.lake.listing_facts, facts.match_to_schema(LISTING_FACTS), provenance, below=below)
        publish_changed(self.lake.listings, listings.match_to_schema(LISTINGS), provenance, below=below)

    def snapshot_days(self) -> list[date]:
        """The sessions of which the vendor's whole list is stored, in order."""
        paths = list_paths(self.lake.listing_snapshots, "*.parquet")
        return sorted(date.fromisoformat(path.stem) for path in paths)

    def snapshot(self, day: date) -> pl.DataFrame:
        """The vendor's whole list of one session (SNAPSHOT).

        Raises:
            LakeError: it is not stored, or damaged.
        """
        return read_table(self.lake.listing_snapshot(day), SNAPSHOT)

    def source(self) -> str | None:
        """The vendor that the stored lists are from; None where there are none."""
        return next(
            (
                str(found["source"])
                for day in self.snapshot_days()
                if "source" in (found := provenance_of(self.lake.listing_snapshot(day)) or {})
            ),
            None,
        )

    def sightings(self) -> pl.DataFrame:
        """The rows of all stored lists, each with the sessions on which the vendor listed it unchanged (SIGHTINGS)."""
        days = self.snapshot_days()
        if not days:
            return SIGHTINGS.to_frame()
        paths = [self.lake.listing_snapshot(day) for day in days]
        for path in paths:
            prove(path)
        with naming_damaged(paths, self.lake.listing_snapshots, SNAPSHOT):
            lists = [
                match_columns(
                    pl.scan_parquet(path, hive_partitioning=False, glob=False), SNAPSHOT, str(path)
                ).with_columns(days=pl.lit(day))
                for day, path in zip(days, paths, strict=True)
            ]
            rows = pl.concat(lists).group_by(list(SNAPSHOT)).agg(pl.col("days").sort())
            return rows.sort("symbol", "days").collect(engine="streaming").match_to_schema(SIGHTINGS)

    def add_snapshot(self, day: date, rows: pl.DataFrame, provenance: dict[str, Any]) -> None:
        """Publish the vendor's whole list of one session (SNAPSHOT)."""
        path = self.lake.listing_snapshot(day)
        publish_frame(path, rows.match_to_schema(SNAPSHOT), provenance, below=self.lake.root)

    def remove_snapshot(self, day: date) -> None:
        """Remove the list of a session that later ones, and observations, say everything of."""
        self.lake.listing_snapshot(day).unlink(missing_ok=True)

    def observations(self) -> pl.DataFrame:
        """What the vendor answered about single tickers on single days (OBSERVATIONS), by symbol and day."""
        path = self.lake.listing_observations
        return read_table(path, OBSERVATIONS) if is_stored(path) else OBSERVATIONS.to_frame()

    def add_observations(self, rows: pl.DataFrame, source: str) -> None:
        """Publish more of them (OBSERVATIONS); of the same symbol and day the last one counts."""
        all_rows = pl.concat([self.observations(), rows.match_to_schema(OBSERVATIONS)])
        self.replace_observations(all_rows.unique(["symbol", "day"], keep="last", maintain_order=True), source)

    def replace_observations(self, rows: pl.DataFrame, source: str) -> None:
        """Publish all that is kept of them (OBSERVATIONS)."""
        ordered = rows.match_to_schema(OBSERVATIONS).sort("symbol", "day")
        publish_changed(self.lake.listing_observations, ordered, {"source": source}, below=self.lake.root)

    def ticker_events(self) -> pl.DataFrame:
        """What the vendor answered about the tickers that securities had (TICKER_EVENTS)."""
        path = self.lake.ticker_events
        return read_table(path, TICKER_EVENTS) if is_stored(path) else TICKER_EVENTS.to_frame()

    def add_ticker_events(self, rows: pl.DataFrame, source: str) -> None:
        """Publish more of them (TICKER_EVENTS); an answer replaces the earlier one to the same question."""
        earlier = self.ticker_events().join(rows, on="asked_for", how="anti")
        every = pl.concat([earlier, rows.match_to_schema(TICKER_EVENTS)]).sort("asked_for", "date", "ticker")
        publish_changed(self.lake.ticker_events, every, {"source": source}, below=self.lake.root)

    def delisted(self) -> pl.DataFrame:
        """The vendor's list of delisted tickers (DELISTED), of those delisted within the history."""
        path = self.lake.delisted_tickers
        return read_table(path, DELISTED) if is_stored(path) else DELISTED.to_frame()

    def delisted_inputs(self) -> dict[str, Any] | None:
        """When the list of delisted tickers was asked for, and of which time it is; None if it is not stored.

        Raises:
            LakeError: the table is not one that `replace_delisted` wrote.
        """
        path = self.lake.delisted_tickers
        if not is_stored(path):
            return None
        found = provenance_of(path) or {}
        if not found.keys() >= {FIRST, ASKED_ON, LIST_ROWS}:
            # as in `covers`
            self.delisted()
            raise _of_others(path, "its footer does not say when it was asked for, and how long the list was")
        return found

    def replace_delisted(self, rows: pl.DataFrame, provenance: dict[str, Any]) -> None:
        """Publish the list of delisted tickers (DELISTED)."""
        publish_changed(self.lake.delisted_tickers, rows.match_to_schema(DELISTED), provenance, below=self.lake.root)


def known_span(inputs: Mapping[str, Any]) -> tuple[date, date] | None:
    """The first and last session between which every listing is known that the vendor's lists name.

    None where the list of delisted tickers was not asked for, or not up to the last list.

    Args:
        inputs: see `ListingStore.inputs`.
    """
    if SINCE not in inputs or DOUBTFUL not in inputs:
        return None
    return max(date.fromisoformat(inputs[name]) for name in (FIRST, SINCE)), date.fromisoformat(inputs[LAST])


def _of_others(path: Path, fault: str) -> LakeError:
    return LakeError(f"{path}: {fault}. {how_to_restore(path)}", path).with_facts(fault)
