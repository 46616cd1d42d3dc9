"""The tables of listings, made from what was inferred."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.inference import FactSpan, ListingSpan
from smallcaps_assets.domain.listings.renames import Rename, find_renames
from smallcaps_assets.domain.listings.tables import LISTING_FACTS, LISTINGS


class ListingTables(NamedTuple):
    """LISTINGS and LISTING_FACTS of the same evidence."""

    listings: pl.DataFrame
    facts: pl.DataFrame


def make_tables(
    spans: Sequence[ListingSpan],
    sessions: Sequence[date],
    before: pl.DataFrame | None = None,
    renames: Iterable[Rename] | None = None,
) -> ListingTables:
    """The tables of listings.

    Args:
        spans: the listings, by symbol and time.
        sessions: the sessions that their numbers mean.
        before: LISTINGS as they were, whose names stay; None if there were none.
        renames: which of them follow each other; if not given, those that their numbers tell.
    """
    named = _names(spans, sessions, before)
    renames = find_renames(spans) if renames is None else list(renames)
    former = {one.next: spans[one.former].symbol for one in renames}
    later = {one.former: spans[one.next].symbol for one in renames}
    listings = [
        (
            span.symbol,
            named[number],
            *span.identity[:3],
            span.identity.name,
            span.facts[-1].ticker_type,
            span.facts[-1].exchange,
            sessions[span.first],
            _end(span, sessions),
            span.from_is_exact,
            span.to_is_exact,
            former.get(number),
            later.get(number),
            sessions[span.last],
        )
        for number, span in enumerate(spans)
    ]
    facts = [
        (named[number], span.symbol, *fact) for number, span in enumerate(spans) for fact in _facts(span, sessions)
    ]
    return ListingTables(
        pl.DataFrame(listings, schema=LISTINGS, orient="row").sort("symbol", "active_from"),
        pl.DataFrame(facts, schema=LISTING_FACTS, orient="row").sort("symbol", "valid_from"),
    )


def _end(span: ListingSpan, sessions: Sequence[date]) -> date | None:
    return None if span.seen_after is None else sessions[span.last]


def _facts(span: ListingSpan, sessions: Sequence[date]) -> Iterable[tuple[object, ...]]:
    following: Sequence[FactSpan | None] = [*span.facts[1:], None]
    for fact, later in zip(span.facts, following, strict=True):
        until = _end(span, sessions) if later is None else sessions[later.first - 1]
        yield (sessions[fact.first], until, fact.is_exact, fact.ticker_type, fact.exchange, fact.name)


def _names(spans: Sequence[ListingSpan], sessions: Sequence[date], before: pl.DataFrame | None) -> list[str]:
    """The name of each listing: the earliest name of `before` whose day lies in it, else one of its first day.

    A listing holds every day on which it was ever seen, so that it holds the day of its name for ever.
    """
    given: dict[str, list[tuple[date, str]]] = {}
    if before is not None:
        for symbol, name in before.select("symbol", "listing_id").iter_rows():
            given.setdefault(symbol, []).append((_day_of(name), name))
    return [_name(span, sessions, given) for span in spans]


def _name(span: ListingSpan, sessions: Sequence[date], given: Mapping[str, Sequence[tuple[date, str]]]) -> str:
    first, last = sessions[span.first], sessions[span.last]
    kept = sorted((day, name) for day, name in given.get(span.symbol, ()) if first <= day <= last)
    return kept[0][1] if kept else f"{span.symbol}_{first:%Y%m%d}"


def _day_of(name: str) -> date:
    return date.fromisoformat(name.rpartition("_")[2])
