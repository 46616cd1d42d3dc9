"""Metadata of `event_listings`: how today's list differs from the universe of each event's date; what is unknown."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata.drawn import drawn
from smallcaps_assets.defs.metadata.entries import Metadata, in_words, round_value, table
from smallcaps_assets.domain.listings.survivorship import (
    ONLY_THEN,
    ONLY_TODAY,
    count_differing,
    survivorship,
    survivorship_by_month,
)
from smallcaps_assets.domain.universe import UniverseParams
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.pipeline.pictures import survivorship_picture
from smallcaps_assets.pipeline.universe.as_of import count_unknown_verdicts

_CASES: Final = {ONLY_TODAY: "only today's list", ONLY_THEN: "only the list of its date"}


def event_listings_metadata(rows: pl.DataFrame, today: pl.DataFrame, params: UniverseParams) -> Metadata:
    """Metadata of the listings of events: in words, by month as a picture, by year as a table, and figures to plot.

    Args:
        rows: EVENT_LISTINGS.
        today: what `todays_list` returns.
        params: the filters.
    """
    differences = survivorship(rows, today)
    by = rows.group_by("excluded_by").len("events").drop_nulls().sort("excluded_by")
    different = differences.filter(pl.col("case").is_in(list(_CASES)))
    counts = count_differing(differences)
    unknown = count_unknown_verdicts(rows)
    return {
        "verdict": describe_survivorship(differences, params),
        **_picture(rows, today, params),
        "survivorship": table(
            different.select(
                "year", in_words("reason"), "events", "symbols", has=pl.col("case").replace_strict(_CASES)
            ).select("year", "has", "reason", "events", "symbols")
        ),
        "excluded": table(by.select(by=in_words("excluded_by"), events=pl.col("events").cast(pl.Int64))),
        "dagster/row_count": rows.height,
        "differing_pct": round_value(100 * (counts[ONLY_TODAY] + counts[ONLY_THEN]) / max(rows.height, 1)),
        **unknown,
        "renamed": rows.filter(pl.col("former_symbol").is_not_null() | pl.col("next_symbol").is_not_null()).height,
        "as_of": params.as_of if not params.is_named else "named symbols, used as they are",
    }


def _picture(rows: pl.DataFrame, today: pl.DataFrame, params: UniverseParams) -> Metadata:
    """Events by month in both universes or one of them; nothing without events, and where all symbols always count."""
    if params.is_named or rows.is_empty():
        return {}
    by_month = survivorship_by_month(rows, today)
    what = "events by month in the universe of their date and in today's list"
    return {"picture/survivorship": drawn(what, survivorship_picture, by_month)}


def describe_survivorship(differences: pl.DataFrame, params: UniverseParams) -> str:
    """SURVIVORSHIP in one sentence."""
    counts = count_differing(differences)
    if params.is_named:
        return "The symbols are named in a file or in the settings, and count on every date."
    today, then = counts[ONLY_TODAY], counts[ONLY_THEN]
    if not today + then:
        return f"Today's list has the same events as the lists of their dates: {count_noun(counts['events'], 'event')}."
    return (
        f"Of {count_noun(counts['events'], 'event')}, {count_clause(today, 'is', 'are')} in today's list and "
        f"{'was' if today == 1 else 'were'} not in the universe on {'its' if today == 1 else 'their'} date; "
        f"{count_clause(then, 'was', 'were')} in it then and {'is' if then == 1 else 'are'} missing from today's list."
    )
