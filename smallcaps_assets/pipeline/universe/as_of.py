"""Events of a lake judged by the listings of their date."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import polars as pl

from smallcaps_assets.domain.listings.as_of import (
    EVENT_LISTINGS,
    MARKET_CAP,
    KnownListings,
    days_of_shares,
    judge_events,
    undecided_days,
)
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.domain.versions import code_version, digest, rows_digest
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.layout import Lake

# Raised with every code change that changes verdicts.
AS_OF_VERSION: Final = "1"
# That the universe of today decides about events of the past, and the remedy.
NO_LISTINGS: Final = (
    "The lake has no listings, so the universe of today decides about all events, which is hindsight. Materialize "
    "listings and then event_listings to judge each event by its date; universe.as_of: today keeps it as it is."
)
# The settings that decide verdicts.
_FILTERS: Final = {
    *("file", "symbols", "ticker_types", "exchanges", "min_price_usd", "max_price_usd"),
    *("max_market_cap_usd", "unknown_market_cap", "test_symbols"),
}
_DIGEST_OF: Final = ("event_id", "in_universe_at_event", "excluded_by", "unknown")


@dataclass(frozen=True)
class EventJudge:
    """Judges events by the listings of a lake.

    Attributes:
        known: what they are judged by.
        params: the filters.
    """

    known: KnownListings
    params: UniverseParams

    @classmethod
    def in_lake(cls, lake: Lake, params: UniverseParams) -> Self | None:
        """The judge of a lake; None where it has no listings.

        Raises:
            LakeError: a table is damaged or cannot be read.
        """
        known = EventListingStore(lake).known()
        return None if known is None else cls(known, params)

    @classmethod
    def in_force(cls, lake: Lake, params: UniverseParams) -> Self | None:
        """The judge whose verdicts decide which events are selected; None where none does.

        None does without listings, for symbols of a file or of the settings, and with `universe.as_of: today`.

        Raises:
            LakeError: see `in_lake`.
        """
        return cls.in_lake(lake, params) if params.judges_events else None

    def renewed(self, lake: Lake) -> Self:
        """The same judge with what the lake knows now."""
        return type(self)(EventListingStore(lake).known() or self.known, self.params)

    def judge(self, events: pl.DataFrame) -> pl.DataFrame:
        """One row (EVENT_LISTINGS) per event, in the order of `events` (LISTED_EVENT)."""
        return judge_events(events, self.known, self.params)

    def days_of_shares(self, events: pl.DataFrame) -> pl.DataFrame:
        """The days (`symbol`, `asked_for`) for which shares outstanding decide about events; none without a limit.

        Events that another filter excludes need none.
        """
        if self.params.is_named or self.params.max_market_cap_usd is None:
            return EVENT_LISTINGS.to_frame().select("symbol", asked_for=pl.col("shares_known_on"))
        without_cap = self.params.model_copy(update={"max_market_cap_usd": None})
        judged = judge_events(events, self.known, without_cap)
        return days_of_shares(judged.filter(pl.col("excluded_by").is_null()), self.known.listings)

    def undecided_days(self, events: pl.DataFrame) -> pl.DataFrame:
        """The dates (`symbol`, `asked_for`) of events that shares given before and after them judge differently."""
        most = self.params.max_market_cap_usd
        if self.params.is_named or most is None:
            return self.days_of_shares(events)
        return undecided_days(events, self.known, most)

    def inputs(self) -> dict[str, Any]:
        """What verdicts are made of apart from the events, for the provenance."""
        parts = (self.known.listings.drop("source_date", "next_symbol"), self.known.facts, self.known.shares)
        splits = self.known.splits
        return {
            "code": code_version(AS_OF_VERSION, settings_of_filters(self.params)),
            "listings": digest([*map(rows_digest, parts), "unknown" if splits is None else rows_digest(splits)]),
        }


def settings_of_filters(params: UniverseParams) -> dict[str, Any]:
    """The settings that decide verdicts."""
    return params.model_dump(mode="json", include=_FILTERS)


def describe_universe(judged: pl.DataFrame, params: UniverseParams) -> Mapping[str, Any]:
    """What the sidecar of a manifest says of the universe that its events were in: filters, and a digest of verdicts.

    Args:
        judged: EVENT_LISTINGS of MASTER.
        params: the filters.
    """
    filters = params.model_dump(mode="json", include=_FILTERS - {"file", "symbols", "test_symbols"})
    return {"as_of": params.as_of, **filters, "sha256": rows_digest(judged.select(_DIGEST_OF))}


def count_unknown_verdicts(judged: pl.DataFrame) -> dict[str, int]:
    """How many events (EVENT_LISTINGS) pass because something is not known, by what it is."""
    counts = dict(judged["unknown"].drop_nulls().value_counts().iter_rows())
    return {f"unknown_{name}": counts.get(name, 0) for name in (MARKET_CAP, "listing")}
