"""Cohorts of a profile over all symbols, and the events of those that are winning: hindsight, in files of their own."""

from datetime import date
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.as_of import is_selectable
from smallcaps_assets.domain.manifests.selection import RankingParams, time_bucket
from smallcaps_assets.domain.research.cohorts.cohorts import CohortTables, as_of_day, cohort_tables
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.spec_rows import COHORT_EVENTS, month_number
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.versions import code_version, digest
from smallcaps_assets.lake.cohorts import COHORT_MEMBERS_TABLE, COHORTS_TABLE
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.pipeline.research.joined_files import JoinedFiles, JoinedTable
from smallcaps_assets.pipeline.research.joined_outcomes import EVENT_COSTS_TABLE, JoinedOutcomes, files_of_events
from smallcaps_assets.pipeline.universe.as_of import EventJudge
from smallcaps_assets.settings.settings import Profile

# Raised with every code change that changes rows.
COHORTS_VERSION: Final = "2"
# what cohorts are made from, but for tables by symbol, as their footer names it, in words
_JOINED_INPUTS: Final = {
    "code": "settings",
    "costs": "event_costs",
    "events": "MASTER or candidates",
    "universe": "listings or filters of the universe",
}
_FEATURES: Final = "event_bar_features"
_LABELS: Final = "event_labels"
_OUTCOMES: Final = "event_outcomes"


class JoinedCohorts(NamedTuple):
    """COHORTS and COHORT_MEMBERS as they are published."""

    cohorts: JoinedTable
    members: JoinedTable


def publish_cohorts(outcomes: JoinedOutcomes, profile: Profile) -> JoinedCohorts:
    """Publish COHORTS and COHORT_MEMBERS of a profile; they are made unless they were made from the same inputs.

    Raises:
        LakeError: a file is damaged or cannot be read or written.
    """
    lake, files = outcomes.lake, JoinedFiles(outcomes.lake)
    parts = {
        "costs": files.of_lake(EVENT_COSTS_TABLE, profile),
        "events": files_of_events(lake),
        "outcomes": files.of_symbols(lake.research / _OUTCOMES),
        "labels": files.of_symbols(lake.research / _LABELS),
        "features": files.of_symbols(lake.research / _FEATURES),
    }
    settings = settings_of_cohorts(outcomes.params, outcomes.ranking)
    inputs = {"code": code_version(COHORTS_VERSION, *settings)}
    inputs |= {name: files.contents(paths) for name, paths in parts.items()} | _universe_input(outcomes)
    made: list[CohortTables] = []

    def tables() -> CohortTables:
        # both are made at once, where either is to be made
        if not made:
            made.append(cohort_tables(events_of_cohorts(outcomes, profile), outcomes.params))
        return made[0]

    return JoinedCohorts(
        files.publish(lake.research_table(COHORTS_TABLE, profile), COHORTS, inputs, lambda: tables().cohorts),
        files.publish(
            lake.research_table(COHORT_MEMBERS_TABLE, profile), COHORT_MEMBERS, inputs, lambda: tables().members
        ),
    )


def changes_of_cohorts(outcomes: JoinedOutcomes, profile: Profile) -> list[str]:
    """What has changed since the published cohorts were made, in words; empty where they are up to date.

    Tables by symbol are not compared: where they change, the costs do. Only footers are read.

    Raises:
        LakeError: a file cannot be read.
    """
    files = JoinedFiles(outcomes.lake)
    known = files.store.recorded(outcomes.lake.research_table(COHORTS_TABLE, profile)) or {}
    now = {
        "code": code_version(COHORTS_VERSION, *settings_of_cohorts(outcomes.params, outcomes.ranking)),
        "costs": files.contents(files.of_lake(EVENT_COSTS_TABLE, profile)),
        "events": files.contents(files_of_events(outcomes.lake)),
        **_universe_input(outcomes),
    }
    return [words for name, words in _JOINED_INPUTS.items() if known.get(name) != now.get(name)]


def events_of_cohorts(outcomes: JoinedOutcomes, profile: Profile) -> pl.DataFrame:
    """COHORT_EVENTS of all events with costs, sorted by event and label spec.

    Events whose outcomes are not made yet are left out, those that are no longer detected, and those whose symbol was
    not in the universe on their date, where the universe is as of it.

    Raises:
        LakeError: a file is damaged or cannot be read.
    """
    rows = outcomes.outcomes_of(profile).filter(pl.col("event_type").is_not_null())
    bucket = time_bucket(outcomes.ranking)
    with disk_errors("read", outcomes.lake.research):
        found = rows.with_columns(time_bucket=bucket).select(*COHORT_EVENTS, "close").sort("event_id", "label_spec")
        events = found.collect()
    judge = None if outcomes.universe is None else EventJudge.in_force(outcomes.lake, outcomes.universe)
    if judge is not None:
        judged = judge.judge(events.unique("event_id", maintain_order=True))
        events = events.join(judged.filter(is_selectable()), on="event_id", how="semi", maintain_order="left")
    return events.drop("close").match_to_schema(COHORT_EVENTS)


def _universe_input(outcomes: JoinedOutcomes) -> dict[str, str]:
    """What decides which events are of the universe of their date; nothing where that is not asked."""
    judge = None if outcomes.universe is None else EventJudge.in_force(outcomes.lake, outcomes.universe)
    return {} if judge is None else {"universe": digest(map(str, judge.inputs().values()))}


def cohorts_before(events: pl.DataFrame, params: CohortParams) -> tuple[date, pl.DataFrame, pl.DataFrame] | None:
    """The first day of the month of the last event, its cohorts, and those with all outcomes from it on changed.

    Outcomes that are over after this day must not reach the cohorts. None where there is no event, or none has cohorts.

    Args:
        events: COHORT_EVENTS.
        params: as of the published cohorts.
    """
    if events.is_empty():
        return None
    as_of = as_of_day(int(month_number(events["date"].str.to_date("%Y-%m-%d")).max()))  # type: ignore[arg-type]  # a number
    later = pl.col("t1").dt.convert_time_zone(NEW_YORK).dt.date() >= as_of
    changed = events.with_columns(
        net_return=pl.when(later).then(0.5 - pl.col("net_return")).otherwise("net_return"),
        label=pl.when(later).then(-pl.col("label")).otherwise("label"),
        mfe_15_bps=pl.when(later).then(pl.col("mfe_15_bps") + 1_000).otherwise("mfe_15_bps"),
        tie=pl.when(later).then(~pl.col("tie")).otherwise("tie"),
    )
    before, after = (cohort_tables(rows, params).cohorts.filter(pl.col("as_of") == as_of) for rows in (events, changed))
    return None if before.is_empty() and after.is_empty() else (as_of, before, after)


def settings_of_cohorts(params: ResearchParams, ranking: RankingParams) -> tuple[Any, ...]:
    """The settings that decide the cohorts."""
    buckets = ranking.model_dump(mode="json", include={"time_buckets"})
    return params.model_dump(mode="json", include=set(CohortParams.model_fields)), buckets
