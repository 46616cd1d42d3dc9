"""Metadata of the research tables over all symbols: what is known of the events, then figures to plot."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata import FIRST_ROWS, Metadata, in_words, new_york, picture, round_value, table
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.pipeline.pictures import market_state_picture, percentile_picture
from smallcaps_assets.pipeline.research.joined import JoinedTable

# columns that are not null where a table has a row of the event
_SOURCES: Final = {
    "bars": "close",
    "scores": "score_n",
    "tape before": "capture_state_pre3",
    "tape of the minute": "capture_state_bar",
}


def scores_metadata(made: JoinedTable, by_month: pl.DataFrame) -> Metadata:
    """Metadata of `event_scores`; `by_month` is what `JoinedResearch.market_by_month` returns."""
    rows = made.rows
    known = rows.filter(pl.col("score_percentile").is_not_null())
    pictures: Metadata = {}
    if not known.is_empty():
        pictures["picture/percentiles"] = picture(
            percentile_picture(known["score_percentile"]), "events by percentile of their score"
        )
    if not by_month.is_empty():
        pictures["picture/market"] = picture(market_state_picture(by_month), "restricted days and halts by month")
    return {
        "verdict": f"{known.height:,} of {count_clause(rows.height, 'event has', 'events have')} a reference of 50 "
        "events and more.",
        **pictures,
        "dagster/row_count": rows.height,
        "with reference pct": _pct(known.height, rows.height),
        "unchanged": made.unchanged,
    }


def table_metadata(made: JoinedTable) -> Metadata:
    """Metadata of `<profile>/research_table`: of how many events each part is known."""
    rows = made.rows
    known = {what: rows[column].count() for what, column in _SOURCES.items()}
    causal = rows["in_causal_sample"]
    parts = pl.DataFrame(
        {"what": list(known), "events": list(known.values()), "missing": [rows.height - one for one in known.values()]},
        {"what": pl.String, "events": pl.Int64, "missing": pl.Int64},
    )
    return {
        "verdict": _verdict(rows.height, known),
        "known": table(parts),
        "dagster/row_count": rows.height,
        "in causal sample pct": _pct(int(causal.sum()), causal.count()),
        "with tape pct": _pct(known["tape before"], rows.height),
        "ssr pct": _pct(int(rows["ssr_at_event"].sum()), rows["ssr_at_event"].count()),
        "first_rows": table(
            rows.head(FIRST_ROWS).select(
                "symbol", new_york("timestamp"), in_words("event_type").alias("event"), "rvol_to_time"
            )
        ),
        "unchanged": made.unchanged,
    }


def _verdict(events: int, known: dict[str, int]) -> str:
    unknown = {what: events - count for what, count in known.items() if count < events}
    if not events:
        return "The manifest has no events."
    if not unknown:
        return f"Everything is known of {count_clause(events, 'event', 'events')}."
    words = ", ".join(f"{what} of {count:,}" for what, count in unknown.items())
    return f"Of {count_clause(events, 'event', 'events')} not known yet: {words}; their columns are null."


def _pct(part: int, whole: int) -> float | None:
    return round_value(100 * part / whole) if whole else None
