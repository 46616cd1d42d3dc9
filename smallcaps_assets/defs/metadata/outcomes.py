"""The tables of outcomes over all symbols as assets: how each is made, from which assets, and its metadata."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.defs.metadata.cohorts import cohorts_metadata
from smallcaps_assets.defs.metadata.entries import FIRST_ROWS, Metadata, in_words, new_york, round_value, table
from smallcaps_assets.domain.research.cohorts.follow_up import PRIMARY_SPEC
from smallcaps_assets.domain.research.tables.research_labels import LABEL_FIGURES, label_figures
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.cohort_source import source_of_cohorts
from smallcaps_assets.pipeline.research.joined_cohorts import publish_cohorts
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import (
    EVENT_COSTS_TABLE,
    RESEARCH_LABELS_TABLE,
    JoinedOutcomes,
)
from smallcaps_assets.settings.settings import PROFILES, Profile

_OUTCOMES: Final = ("continuation", "failed_continuation", "reversal", "stall")


class OutcomeTable(NamedTuple):
    """The hash of a published table, and what the web UI shows of it."""

    sha256: str
    metadata: Metadata


def upstream_of_outcomes(name: str, profile: Profile | None) -> list[list[str]]:
    """The keys of the assets that a table of outcomes is made from."""
    if profile is None:
        of_tape = [[one, table] for one in PROFILES for table in ("bar_reconciliation", "event_tape_state")]
        return [["master_events"], ["event_shards"], ["event_waves"], ["event_scores"], *of_tape]
    if name == EVENT_COSTS_TABLE:
        return [["event_labels"], ["event_bar_features"], [profile, "micro_features"]]
    if name == COHORTS_TABLE:
        # not the enriched events: their tape comes from manifests that may depend on cohorts
        of_events = [["master_events"], ["event_shards"], ["event_waves"]]
        return [[profile, EVENT_COSTS_TABLE], ["event_labels"], ["event_bar_features"], *of_events]
    return [[profile, "manifest"], [profile, "micro_features"], ["event_labels"], [profile, EVENT_COSTS_TABLE]]


def _enriched(outcomes: JoinedOutcomes, _: Profile | None) -> OutcomeTable:
    made = outcomes.enriched()
    known = pl.col("outcome").count()
    shares = {
        f"{name.replace('_', ' ')} pct": (100 * (pl.col("outcome") == name).sum() / known).fill_nan(None)
        for name in _OUTCOMES
    }
    with_tape = 100 * pl.col("event_bar_class").is_not_null().mean()
    events, decided, *figures = (
        made.rows.select(
            pl.len(), known.alias("known"), **shares, with_tape=with_tape, in_master=100 * pl.col("in_master").mean()
        )
        .collect()
        .row(0)
    )
    first = made.rows.head(FIRST_ROWS).select(
        "symbol", new_york("timestamp"), in_words("event_type").alias("event"), "mfe_15_bps", "mae_15_bps", "outcome"
    )
    metadata: Metadata = {
        "verdict": f"{decided:,} of {count_clause(events, 'event has', 'events have')} an outcome after 15 minutes; "
        "the others were too late in the day.",
        "dagster/row_count": events,
        **_rounded(dict(zip([*shares, "with tape pct", "in MASTER pct"], figures, strict=True))),
        "first_rows": table(first.collect()),
        "unchanged": made.unchanged,
    }
    return OutcomeTable(made.sha256, metadata)


def _costs(outcomes: JoinedOutcomes, profile: Profile | None) -> OutcomeTable:
    assert profile is not None  # noqa: S101 -- it has one
    made = outcomes.costs(profile)
    primary = made.rows.filter(label_spec=PRIMARY_SPEC)
    shown = {
        f"{name.replace('_', ' ')}, {row['selection']}": row[name]
        for row in outcomes.figures(profile).iter_rows(named=True)
        for name in LABEL_FIGURES
    }
    metadata: Metadata = {
        "verdict": _verdict_of_costs(primary),
        "sources": table(_sources(primary)),
        "dagster/row_count": made.rows.select(pl.len()).collect().item(),
        **_rounded(shown),
        "unchanged": made.unchanged,
    }
    return OutcomeTable(made.sha256, metadata)


def _labels(outcomes: JoinedOutcomes, profile: Profile | None) -> OutcomeTable:
    assert profile is not None  # noqa: S101 -- it has one
    made = outcomes.labels(profile)
    primary = made.rows.lazy().filter(label_spec=PRIMARY_SPEC)
    figures = label_figures(primary).collect().row(0, named=True)
    shown = {name.replace("_", " "): value for name, value in figures.items()}
    first = made.rows.filter(label_spec=PRIMARY_SPEC).head(FIRST_ROWS)
    metadata: Metadata = {
        "verdict": _verdict_of_costs(primary),
        "sources": table(_sources(primary)),
        "dagster/row_count": made.rows.height,
        **_rounded(shown),
        "first_rows": table(
            first.select("symbol", new_york("timestamp"), in_words("event_type").alias("event"), "label", "net_return")
        ),
        "unchanged": made.unchanged,
    }
    return OutcomeTable(made.sha256, metadata)


def _cohorts(outcomes: JoinedOutcomes, profile: Profile | None) -> OutcomeTable:
    assert profile is not None  # noqa: S101 -- it has one
    made = publish_cohorts(outcomes, profile)
    source = source_of_cohorts(outcomes.lake, profile, PRIMARY_SPEC)
    return OutcomeTable(made.cohorts.sha256, cohorts_metadata(made, source, outcomes.params, profile))


# By name: makes the table of a lake, or of a profile.
OUTCOME_TABLES: Final[Mapping[str, Callable[[JoinedOutcomes, Profile | None], OutcomeTable]]] = {
    ENRICHED_TABLE: _enriched,
    EVENT_COSTS_TABLE: _costs,
    RESEARCH_LABELS_TABLE: _labels,
    COHORTS_TABLE: _cohorts,
}


def _verdict_of_costs(primary: pl.LazyFrame) -> str:
    events, costed = primary.select(pl.len(), pl.col("cost_bps").count().alias("costed")).collect().row(0)
    return f"The cost of {costed:,} of {count_clause(events, 'event is', 'events is')} known."


def _sources(primary: pl.LazyFrame) -> pl.DataFrame:
    by_source = primary.group_by(source="cost_source").agg(
        events=pl.len().cast(pl.Int64), bps=pl.col("cost_bps").median()
    )
    return by_source.sort("events", "source", descending=[True, False]).collect().rename({"bps": "median_bps"})


def _rounded(figures: Mapping[str, float | None]) -> Metadata:
    """Figures to plot; those without a value are left out."""
    return {name: round_value(value) for name, value in figures.items() if value is not None}
