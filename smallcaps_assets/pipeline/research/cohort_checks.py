"""Checks of the published cohorts of a profile: their family, their costs, and that no outcome selects its event."""

from functools import partial
from typing import Final

import polars as pl

from smallcaps_assets.domain.findings import Figure, Finding, finding
from smallcaps_assets.domain.research.cohorts.judgement import FAMILY
from smallcaps_assets.domain.research.cohorts.ranking import withheld_cohorts
from smallcaps_assets.domain.research.tables.cohort_tables import BEYOND_SPECIFICATION, COHORT_KEYS, COHORTS
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.bars.bar_checks import checks_of_research
from smallcaps_assets.pipeline.research.bars.by_symbol import SymbolResearch
from smallcaps_assets.pipeline.research.joined_cohorts import cohorts_before, events_of_cohorts
from smallcaps_assets.pipeline.research.joined_outcomes import JoinedOutcomes
from smallcaps_assets.settings.settings import Profile

FAMILY_SHOWN: Final = "family_shown"
NO_OWN_OUTCOME: Final = "no_own_outcome"
COSTS_KNOWN: Final = "costs_known"


def checks_of_cohorts(outcomes: JoinedOutcomes, profile: Profile) -> Checks:
    """The checks that only cohorts have; nothing is judged before there are any."""
    return {
        FAMILY_SHOWN: partial(_family_shown, outcomes, profile),
        NO_OWN_OUTCOME: partial(_no_own_outcome, outcomes, profile),
        COSTS_KNOWN: partial(_costs_known, outcomes, profile),
    }


def checks_of_joined(name: str, profile: Profile, research: SymbolResearch, outcomes: JoinedOutcomes) -> Checks:
    """All checks of a table of a profile over all symbols (JOINED_OF_PROFILES)."""
    own = checks_of_cohorts(outcomes, profile) if name == COHORTS_TABLE else {}
    return {**checks_of_research(name, research, profile), **own}


def _family_shown(outcomes: JoinedOutcomes, profile: Profile) -> Finding:
    """Whether `tested` is how many cohorts have a q value, of each as_of, label spec and selection."""
    rows = _published(outcomes, profile)
    family = pl.col("q_value").count().over(FAMILY).cast(pl.Int64)
    breaking = rows.filter(pl.col("tested").ne_missing(family)).select(*COHORT_KEYS, "tested")
    found = finding(FAMILY_SHOWN, breaking, {"cohorts": rows.height})
    return found.unjudged_if(rows.is_empty(), "there are no cohorts yet")


def _costs_known(outcomes: JoinedOutcomes, profile: Profile) -> Finding:
    """Whether costs are known of enough labels of every cohort that is winning at the last as_of; else a warning."""
    rows = _published(outcomes, profile)
    last = rows.filter(pl.col("as_of") == pl.col("as_of").max(), selection="causal")
    breaking = withheld_cohorts(last).select(*COHORT_KEYS, "costed_share")
    figures: dict[str, Figure] = {
        "winning": int(last["winning"].sum()),
        "asked_for": outcomes.params.cohort_min_costed_share,
        **last.select(least=pl.col("costed_share").min(), greatest=pl.col("costed_share").max()).row(0, named=True),
    }
    found = finding(COSTS_KNOWN, breaking, figures, severe=False)
    return found.unjudged_if(last.is_empty(), "there are no cohorts of the causal sample yet")


def _published(outcomes: JoinedOutcomes, profile: Profile) -> pl.DataFrame:
    """COHORTS as they are published; no rows before."""
    path = outcomes.lake.research_table(COHORTS_TABLE, profile)
    return ResearchStore(outcomes.lake).read(path, COHORTS, BEYOND_SPECIFICATION)


def _no_own_outcome(outcomes: JoinedOutcomes, profile: Profile) -> Finding:
    """Whether cohorts are the same, bit for bit, when all outcomes from their as_of on are others."""
    found = cohorts_before(events_of_cohorts(outcomes, profile), outcomes.params)
    if found is None:
        unjudged = finding(NO_OWN_OUTCOME, COHORTS.to_frame(), {})
        return unjudged.unjudged_if(condition=True, reason="no label was over when the month of the last event began")
    as_of, before, after = found
    breaking = after.join(before, on=[*COHORTS], how="anti", nulls_equal=True).select(*COHORT_KEYS)
    missing = before.join(after, on=[*COHORTS], how="anti", nulls_equal=True).select(*COHORT_KEYS)
    figures: dict[str, Figure] = {"as_of": f"{as_of}", "cohorts": before.height}
    return finding(NO_OWN_OUTCOME, pl.concat([breaking, missing]).unique(), figures)
