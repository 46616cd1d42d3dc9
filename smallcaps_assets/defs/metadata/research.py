"""Metadata of the research tables over all symbols: what is known of the events, then figures to plot."""

from typing import Final

import polars as pl

from smallcaps_assets.defs.metadata.drawn import drawn
from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, in_words, new_york, round_value, table
from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.pipeline.pictures import around_event_picture, market_state_picture, percentile_picture
from smallcaps_assets.pipeline.research.joined_files import JoinedTable
from smallcaps_assets.pipeline.research.tape.around_event import AroundEvents

# pictures of the tape around events, by name: column of MEANS_AROUND, and what it is
_AROUND: Final = {
    "spread": ("spread_bps", "Quoted spread in bps"),
    "speed": ("trades_per_s", "Trades per second"),
    "imbalance": ("imbalance", "Imbalance of dollars in the event's direction"),
}
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
        pictures["picture/percentiles"] = drawn(
            "events by percentile of their score", percentile_picture, known["score_percentile"]
        )
    if not by_month.is_empty():
        pictures["picture/market"] = drawn("restricted days and halts by month", market_state_picture, by_month)
    return {
        "verdict": f"{known.height:,} of {count_clause(rows.height, 'event has', 'events have')} a reference of 50 "
        "events and more.",
        **pictures,
        "dagster/row_count": rows.height,
        "with reference pct": _pct(known.height, rows.height),
        "unchanged": made.unchanged,
    }


def table_metadata(made: JoinedTable, around: AroundEvents) -> Metadata:
    """Metadata of `<profile>/research_table`: of how many events each part is known, and what their tape shows."""
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
        **_pictures(around),
        "dagster/row_count": rows.height,
        "in causal sample pct": _pct(int(causal.sum()), causal.count()),
        "with tape pct": _pct(known["tape before"], rows.height),
        **_figures_of_tape(rows),
        "ssr pct": _pct(int(rows["ssr_at_event"].sum()), rows["ssr_at_event"].count()),
        "first_rows": table(
            rows.head(FIRST_ROWS).select(
                "symbol", new_york("timestamp"), in_words("event_type").alias("event"), "rvol_to_time"
            )
        ),
        "unchanged": made.unchanged,
    }


def _pictures(around: AroundEvents) -> Metadata:
    """The tape around events by type, with the number of events drawn; none where no tape is captured."""
    which = "all" if around.drawn == around.captured else f"{around.drawn:,} of the"
    of_events = f"mean of {which} {count_noun(around.captured, 'captured event')}"
    return {
        f"picture/{name}": drawn(
            f"{what} around the event, {of_events}",
            around_event_picture,
            around.means.select("event_type", "second", "events", column),
            column,
            f"{what}, {of_events}",
        )
        for name, (column, what) in _AROUND.items()
        if around.means[column].count()
    }


def _figures_of_tape(rows: pl.DataFrame) -> Metadata:
    """Figures of the tape of RESEARCH_TABLE to plot, one point per run; those of which nothing is known are left out.

    The quoted spread is that of the three minutes before the event, the effective spread that of its minute: medians
    of the events. A window has an opening book where the book is known from its start on.
    """
    spreads = dict(rows.group_by("session").agg(pl.col("spread_bps_median_pre3").median()).iter_rows())
    effective = dict(rows.group_by("event_type").agg(pl.col("effective_spread_bps_bar").median()).iter_rows())
    known = rows["none_share_pre_all"].drop_nulls()
    figures = {
        **{f"spread bps {session}": spreads.get(session) for session in SESSIONS},
        **{f"effective bps {name.replace('_', ' ')}": effective.get(name) for name in EVENT_TYPES},
        "opening book pct": _pct(int((known == 0).sum()), known.len()),
    }
    return {name: round_value(value) for name, value in figures.items() if value is not None}


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
