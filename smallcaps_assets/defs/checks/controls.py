"""The asset checks of controls and of their features; each reads the lake, so that it can be run again by itself."""

from collections.abc import Iterator, Mapping
from typing import Final

import dagster as dg

from smallcaps_assets.defs.checks.asset_checks import check_specs, report_findings, selected_findings
from smallcaps_assets.defs.checks.research import OUTCOME_RANGES_TEXT, ROW_CHECKS
from smallcaps_assets.defs.checks.texts import REGISTRY_TEXT
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.lake.controls import CONTROL_MANIFEST_TABLE
from smallcaps_assets.pipeline.research.bars.bar_checks import OUTCOME_RANGES
from smallcaps_assets.pipeline.research.controls.control_checks import LABEL_RANGES, checks_of_controls
from smallcaps_assets.pipeline.research.controls.features import CONTROL_FEATURES_TABLE
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE
from smallcaps_assets.settings.settings import PROFILES, Profile

_TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    CONTROL_MANIFEST_TABLE: {
        "clear_of_events": "No event of the same symbol lies within half an hour of a control "
        "(research.control_clear_min). If MASTER has gained such an event, materialize the control manifest again.",
        "same_clock": "Every control has the New York time, session, direction and window of its event, on an earlier "
        "date.",
        "limits": "No more controls than a quarter of the manifest (research.control_share), and no more of a symbol "
        "than the profile allows events.",
        REGISTRY_COMPLETE: REGISTRY_TEXT,
    },
    CONTROL_FEATURES_TABLE: {
        **ROW_CHECKS,
        LABEL_RANGES: "Of what came after controls, every label is -1, 0 or 1, no cost is below 0, and every other "
        "figure of control_labels is within its bounds.",
        OUTCOME_RANGES: OUTCOME_RANGES_TEXT,
        REGISTRY_COMPLETE: REGISTRY_TEXT,
    },
}


def control_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of each table of each profile, one step per table."""
    return [_checks(profile, table) for profile in PROFILES for table in _TEXTS]


def _checks(profile: Profile, table: str) -> dg.AssetChecksDefinition:
    key = dg.AssetKey([profile, table])

    @dg.multi_asset_check(name=f"{profile}__{table}_checks", specs=check_specs(key, _TEXTS[table]), can_subset=True)
    def checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        found = checks_of_controls(table, lake.control_choice(profile, settings.load()))
        yield from report_findings(key, selected_findings(context, found))

    return checks
