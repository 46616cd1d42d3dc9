"""The asset checks of the research tables that are made from bars, scores and joins."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from smallcaps_assets.defs.asset_checks import check_specs, report_findings, selected_findings
from smallcaps_assets.defs.check_texts import REGISTRY_TEXT
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.research.bars.bar_checks import (
    OUTCOME_RANGES,
    UP_TO_DATE,
    UP_TO_DATE_TABLES,
    checks_of_research,
)
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.research.registry_check import HINDSIGHT_APART, REGISTRY_COMPLETE
from smallcaps_assets.settings.settings import PROFILES, Profile

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


def research_checks() -> list[dg.AssetChecksDefinition]:
    """The checks, one step per table."""
    of_lake = [_checks(table) for table in (*SYMBOL_ASSETS, EVENT_SCORES_TABLE, ENRICHED_TABLE)]
    return [*of_lake, *(_checks(table, profile) for profile in PROFILES for table in JOINED_OF_PROFILES)]


def _checks(table: str, profile: Profile | None = None) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey([profile, table] if profile else [table])
    texts = {**ROW_CHECKS, REGISTRY_COMPLETE: REGISTRY_TEXT} | (_PERTURBATION if table == "event_bar_features" else {})
    texts |= {OUTCOME_RANGES: OUTCOME_RANGES_TEXT} if table == "event_waves" else {}
    texts |= {HINDSIGHT_APART: _HINDSIGHT_TEXT} if table == ENRICHED_TABLE else {}
    texts |= {UP_TO_DATE: _UP_TO_DATE_TEXT} if table in UP_TO_DATE_TABLES else {}

    @dg.multi_asset_check(name=f"{'__'.join(asset.path)}_checks", specs=check_specs(asset, texts), can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        found = checks_of_research(table, lake.symbol_research(settings.load()), profile)
        yield from report_findings(asset, selected_findings(context, found))

    return checks
