"""The asset checks that only cohorts have; each reads the lake, so that it can be run again by itself."""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg

from smallcaps_assets.defs.asset_checks import check_specs, report_findings, selected_findings
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.pipeline.research.cohort_checks import FAMILY_SHOWN, NO_OWN_OUTCOME, checks_of_cohorts
from smallcaps_assets.settings.settings import PROFILES, Profile

_TEXTS: Final[Mapping[str, str]] = {
    FAMILY_SHOWN: "Every cohort says how many cohorts were tested together with it.",
    NO_OWN_OUTCOME: "Cohorts as of the month of the last event are the same, bit for bit, when all later outcomes "
    "are others: an event's outcome never reaches its selection.",
}


def cohort_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of each profile."""
    return [_checks(profile) for profile in PROFILES]


def _checks(profile: Profile) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([profile, COHORTS_TABLE])

    @dg.multi_asset_check(name=f"{profile}__sound_cohorts", specs=check_specs(key, _TEXTS), can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        found = checks_of_cohorts(lake.joined_outcomes(settings.load()), profile)
        yield from report_findings(key, selected_findings(context, found))

    return checks
