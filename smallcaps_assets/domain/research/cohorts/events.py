"""The rows that cohorts are made of: labels with costs, joined to what was known of their events and to excursions."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.manifests.selection import RankingParams, time_bucket
from smallcaps_assets.domain.research.cohorts.spec_rows import COHORT_EVENTS

LABEL_FACTS: Final = (
    *("event_id", "label_spec", "date", "state", "entry_at", "t1", "tie", "label"),
    *("halt_in_label", "cost_bps", "net_return"),
)
OUTCOME_FACTS: Final = (
    *("event_id", "symbol", "event_type", "direction", "timestamp", "session", "in_master", "mfe_15_bps"),
)
PRE_FACTS: Final = ("event_id", "flatness_score", "in_causal_sample")


def cohort_events(
    labels: pl.DataFrame, outcomes: pl.DataFrame, features: pl.DataFrame, ranking: RankingParams
) -> pl.DataFrame:
    """COHORT_EVENTS: each label with its event.

    Args:
        labels: LABEL_FACTS (LABELS_WITH_COSTS).
        outcomes: OUTCOME_FACTS (WITH_WAVES), a row of each event.
        features: PRE_FACTS (BAR_FEATURES), a row of each event.
        ranking: its time buckets.
    """
    of_events = (
        outcomes.select(*OUTCOME_FACTS)
        .with_columns(time_bucket=time_bucket(ranking))
        .join(features.select(*PRE_FACTS), on="event_id", how="left", maintain_order="left", validate="1:1")
    )
    rows = labels.select(*LABEL_FACTS).join(of_events, on="event_id", maintain_order="left", validate="m:1")
    return rows.select(*COHORT_EVENTS).match_to_schema(COHORT_EVENTS)
