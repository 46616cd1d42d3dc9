"""The asset checks of the research tables that are made from bars, scores and joins."""

from collections.abc import Callable
from typing import Final

import dagster as dg

from smallcaps_assets.defs.checks.steps import ChecksOf, checks_step
from smallcaps_assets.defs.checks.texts import REGISTRY_TEXT
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.checks import Checks
from smallcaps_assets.pipeline.research.bars.bar_checks import (
    OUTCOME_RANGES,
    UP_TO_DATE,
    UP_TO_DATE_TABLES,
    checks_of_research,
)
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.pipeline.research.cohort_checks import (
    COSTS_KNOWN,
    FAMILY_SHOWN,
    NO_OWN_OUTCOME,
    checks_of_joined,
)
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.research.registry_check import HINDSIGHT_APART, REGISTRY_COMPLETE
from smallcaps_assets.settings.settings import PROFILES

ROW_CHECKS: Final = {
    "unique_rows": "No row occurs more than once.",
    "finite": "No number is NaN or infinite.",
    "ranges": "Every number lies within its bounds: shares between 0 and 1, counts and volatilities not below 0.",
}
_PERTURBATION: Final = {
    "perturbation": "The numbers of 20 events, drawn anew each time, are the same, bit for bit, when all bars after "
    "their minute are left out: none of them is hindsight.",
}

OUTCOME_RANGES_TEXT: Final = (
    "Of each event, the greatest adverse excursion is not above 0, the greatest favourable one not below it, and every "
    "other figure within its bounds."
)
_HINDSIGHT_TEXT: Final = (
    "No file of features, of bars, scores or research tables, has a column of waves, outcomes, labels or costs that is "
    "hindsight."
)
_UP_TO_DATE_TEXT: Final = (
    "Computed from bars, events, imported events and settings as they are now. The sensor staleness reports changes."
)


_COHORT_TEXTS: Final = {
    FAMILY_SHOWN: "Every cohort says how many cohorts were tested together with it.",
    NO_OWN_OUTCOME: "Cohorts as of the month of the last event are the same, bit for bit, when all later outcomes "
    "are others: an event's outcome never reaches its selection.",
    COSTS_KNOWN: "Of every cohort that is winning at the last as_of, costs are known of at least the share "
    "research.cohort_min_costed_share of its labels. Otherwise it selects no event: captured events are chosen with "
    "hindsight. Capture more tape, or set research.cost_bps_default.",
}


def research_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of all of them, in one step."""
    of_lake = [dg.AssetKey(table) for table in (*SYMBOL_ASSETS, EVENT_SCORES_TABLE, ENRICHED_TABLE)]
    of_profiles = [dg.AssetKey([profile, table]) for profile in PROFILES for table in JOINED_OF_PROFILES]
    texts = {asset: _texts(asset.path[-1]) for asset in (*of_lake, *of_profiles)}
    return [checks_step("research_checks", texts, _prepare)]


def _prepare(settings: SettingsResource, lake: LakeResource, _: Callable[[str], None]) -> ChecksOf:
    loaded = settings.load()
    research, outcomes = lake.symbol_research(loaded), lake.joined_outcomes(loaded)

    def checks_of(asset: dg.AssetKey) -> Checks:
        *profiles, table = asset.path
        for profile in PROFILES:
            if [profile] == profiles:
                return checks_of_joined(table, profile, research, outcomes)
        return checks_of_research(table, research)

    return checks_of


def _texts(table: str) -> dict[str, str]:
    texts = {**ROW_CHECKS, REGISTRY_COMPLETE: REGISTRY_TEXT} | (_PERTURBATION if table == "event_bar_features" else {})
    texts |= {OUTCOME_RANGES: OUTCOME_RANGES_TEXT} if table == "event_waves" else {}
    texts |= {HINDSIGHT_APART: _HINDSIGHT_TEXT} if table == ENRICHED_TABLE else {}
    texts |= _COHORT_TEXTS if table == COHORTS_TABLE else {}
    return texts | ({UP_TO_DATE: _UP_TO_DATE_TEXT} if table in UP_TO_DATE_TABLES else {})
