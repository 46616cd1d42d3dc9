"""The checks of the research tables of captured tape; each reads the lake, so that it can be run again by itself."""

from collections.abc import Callable, Mapping
from typing import Final

import dagster as dg

from smallcaps_assets.defs.checks.steps import ChecksOf, checks_step
from smallcaps_assets.defs.checks.texts import REGISTRY_TEXT
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE
from smallcaps_assets.pipeline.research.tape.size_unit_check import QUOTE_SIZE_CHECK, SPANS_PER_MONTH
from smallcaps_assets.pipeline.research.tape.tape_checks import checks_of_tape_research
from smallcaps_assets.settings.settings import PROFILES, Profile

_FINITE: Final = "No value is NaN or infinite."
TAPE_RESEARCH_CHECKS: Final[Mapping[str, Mapping[str, str]]] = {
    "micro_features": {
        "finite_values": _FINITE,
        "shares": "The times in the six states of the book make up each segment: their shares sum to 1.",
        "spread_parts": "Realized spread and price impact make up the signed effective spread of the same trades.",
        "explained_share": "The share of the variance that Kyle's lambda explains lies between 0 and 1.",
        "nothing_peeks": "Of 20 events chosen at random, every value that is said to be known at the event stays the "
        "same, bit by bit, when all tape and bars from its end on are left out.",
        QUOTE_SIZE_CHECK: "In no month do sizes of quotes before the event look like another unit than the one they "
        f"are taken for: of at most {SPANS_PER_MONTH} spans a month, those in lots of which nearly all are whole "
        "hundreds, and those in shares of which most are not and half are below 100. A warning: the unit is a setting, "
        "research.quote_sizes_in_shares_from, and never inferred.",
        REGISTRY_COMPLETE: REGISTRY_TEXT,
    },
    "bar_reconciliation": {
        "finite_values": _FINITE,
        "unique_minutes": "No minute of a symbol occurs twice, in whichever wave its tape was captured.",
        "exact_minutes": "Of the minutes with trades or a bar, at least 95 % have the bar that their trades make. The "
        "classes of the others say how they differ.",
        REGISTRY_COMPLETE: REGISTRY_TEXT,
    },
    "event_tape_state": {
        "unique_events": "No event occurs more than once.",
        "halts_in_order": "Every halt that tape shows ends after it begins.",
        REGISTRY_COMPLETE: REGISTRY_TEXT,
    },
}


def tape_research_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of all tables, one step per profile."""
    return [_checks(profile) for profile in PROFILES]


def _checks(profile: Profile) -> dg.AssetChecksDefinition:
    def prepare(settings: SettingsResource, lake: LakeResource, log: Callable[[str], None]) -> ChecksOf:
        research, manifest = lake.tape_research(profile, settings.load(), log), lake.manifests(profile).load()
        return lambda asset: checks_of_tape_research(research, manifest, asset.path[-1])

    texts = {dg.AssetKey([profile, asset]): described for asset, described in TAPE_RESEARCH_CHECKS.items()}
    return checks_step(f"{profile}__tape_research_checks", texts, prepare)
