"""Events whose cohort was winning: the selection of a follow-up capture, and what was known (research spec., 6.5, 6.6).

An event's own label never decides whether it is selected, nor its rank: its cohort is found by what was known of it.
"""

from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.manifests.selection import RankingParams, rank_events
from smallcaps_assets.domain.research.cohorts.cohorts import TERCILE_NAMES, as_of_day
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.spec_rows import GROUP_KEYS, SELECTIONS
from smallcaps_assets.domain.research.tables.cohort_tables import WAS_WINNING
from smallcaps_assets.domain.sessions import NEW_YORK

PRIMARY_SPEC: Final = "15,1,1"
# What is asked of an event to find its cohort.
COHORT_FACTS: Final = ("event_id", *GROUP_KEYS, "flatness_score", "date")


class FollowUp(NamedTuple):
    """Which cohorts select events, and how many.

    Attributes:
        as_of: first day of a month.
        label_spec: of the cohorts.
        top_n_per_month: best-ranked events that are kept of a month (New York time).
        max_per_symbol: events of one symbol in a month.
        earlier_events: whether events before `as_of` are selected as well.
    """

    as_of: date
    label_spec: str = PRIMARY_SPEC
    top_n_per_month: int = 200
    max_per_symbol: int = 3
    earlier_events: bool = True


def select_follow_up(
    events: pl.DataFrame, cohorts: pl.DataFrame, follow_up: FollowUp, ranking: RankingParams
) -> pl.DataFrame:
    """The events whose finest cohort that may select at `as_of` selects them, by month and rank.

    They have the columns of `events` and `selected_by_cohort` (true), `cohort_id` and `as_of`. No column of `events` is
    hindsight of the event but those that its rank has.

    Args:
        events: EVENTS with `time_bucket`.
        cohorts: COHORTS; those of the selection `causal` count.
        follow_up: which cohorts, and how many events.
        ranking: weights of the rank.
    """
    ranked = rank_events(events_of_winning(events, cohorts, follow_up), ranking).drop("value")
    month = pl.col("date").str.head(7)
    of_symbol = ranked.filter(pl.int_range(pl.len()).over(month, "symbol") < follow_up.max_per_symbol)
    best = of_symbol.filter(pl.int_range(pl.len()).over(month) < follow_up.top_n_per_month)
    return best.sort(month, maintain_order=True).with_columns(selected_by_cohort=pl.lit(value=True))


def events_of_winning(events: pl.DataFrame, cohorts: pl.DataFrame, follow_up: FollowUp) -> pl.DataFrame:
    """The events, in their order, that have a cohort which may select at `as_of`, with `cohort_id` and `as_of`.

    Arguments are those of `select_follow_up`.
    """
    if not follow_up.earlier_events:
        events = events.filter(pl.col("date") >= follow_up.as_of.isoformat())
    own = events.select(*COHORT_FACTS).with_columns(as_of=pl.lit(follow_up.as_of))
    found = _finest(own, cohorts, follow_up.label_spec, may_select()).select("cohort_id", "as_of")
    return events.hstack(found).filter(pl.col("cohort_id").is_not_null())


def may_select() -> pl.Expr:
    """Whether a cohort (COHORTS) may select events: it is winning, and costs are known of enough of its labels.

    Where the latter is not known, in cohorts kept by an earlier release or made elsewhere, those that win do.
    """
    return pl.coalesce("selects", "winning")


def in_selection_sample(
    labels: pl.DataFrame, as_of: date, params: CohortParams, selection: str = "causal"
) -> pl.Series:
    """Whether each label (COHORT_EVENTS) was in the sample at `as_of`.

    Such events may train a model; they never test a cohort. The proof of a cohort is the events from `as_of` on.
    """
    first = as_of_day(as_of.year * 12 + as_of.month - 1 - params.cohort_months)
    midnight = pl.lit(as_of).cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    day = pl.col("date").str.to_date("%Y-%m-%d")
    inside = (
        (pl.col("state") == "ok")
        & pl.col("net_return").is_not_null()
        & (pl.col("t1") < midnight)
        & (day >= first)
        & (day < as_of)
        & pl.col(SELECTIONS[selection])
    )
    return labels.select(in_selection_sample=inside.fill_null(value=False)).to_series()


def cohort_was_winning(events: pl.DataFrame, cohorts: pl.DataFrame, label_spec: str = PRIMARY_SPEC) -> pl.DataFrame:
    """Whether a cohort of each event (COHORT_FACTS) was winning at the last as_of not after its date (WAS_WINNING).

    The rows are in the order of `events`. Before the first as_of of `cohorts` (COHORTS; the selection `causal` counts)
    it is null. After the last one that one counts, however old it is. `winning` counts as it is specified (6.5), also
    where costs are known of few labels.
    """
    causal = cohorts.filter(selection="causal", label_spec=label_spec)
    first, last = causal["as_of"].min(), causal["as_of"].max()
    month = pl.col("date").str.to_date("%Y-%m-%d").dt.month_start()
    own = events.select(*COHORT_FACTS).with_columns(as_of=pl.min_horizontal(month, pl.lit(last, pl.Date)))
    found = _finest(own, cohorts, label_spec, pl.col("winning"))
    known = (pl.col("as_of") >= pl.lit(first, pl.Date)).fill_null(value=False)
    winning = pl.when(known).then(pl.col("cohort_id").is_not_null())
    return found.select("event_id", cohort_was_winning=winning).match_to_schema(WAS_WINNING)


def _finest(events: pl.DataFrame, cohorts: pl.DataFrame, label_spec: str, chosen: pl.Expr) -> pl.DataFrame:
    """event_id, `as_of` and `cohort_id` of events (COHORT_FACTS, as_of): the finest `chosen` cohort, else null."""
    causal = cohorts.filter(selection="causal", label_spec=label_spec)
    bounds = causal.select("as_of", "flatness_b1", "flatness_b2").unique()
    flatness, (low, high) = pl.col("flatness_score"), (pl.col(f"flatness_b{number}") for number in (1, 2))
    tercile = (
        pl.when(flatness.is_null() | low.is_null())
        .then(pl.lit(TERCILE_NAMES[3]))
        .when(flatness <= low)
        .then(pl.lit(TERCILE_NAMES[0]))
        .when(flatness <= high)
        .then(pl.lit(TERCILE_NAMES[1]))
        .otherwise(pl.lit(TERCILE_NAMES[2]))
    )
    rows = events.join(bounds, on="as_of", how="left", maintain_order="left").with_columns(tercile=tercile)
    found = causal.filter(chosen).select("as_of", "cohort_id")
    levels = {"L3": [*GROUP_KEYS, "tercile"], "L2": list(GROUP_KEYS), "L1": list(GROUP_KEYS[:2])}
    for level, keys in levels.items():
        name = pl.concat_str(pl.lit(level), *keys, separator="|")
        rows = rows.with_columns(name.alias("key")).join(
            found.with_columns(pl.col("cohort_id").alias(level)),
            left_on=["as_of", "key"],
            right_on=["as_of", "cohort_id"],
            how="left",
            maintain_order="left",
        )
    return rows.select("event_id", "as_of", cohort_id=pl.coalesce(*levels))
