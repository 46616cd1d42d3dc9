"""The sensor that shows which events, manifests and research tables were made from other settings or events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Final

import dagster as dg
from pydantic import TypeAdapter

from smallcaps_assets.defs.checks.asset_checks import check_evaluation, manifest_checks_of, report_findings
from smallcaps_assets.defs.checks.texts import COHORTS_KEPT
from smallcaps_assets.defs.cursors import read_cursor
from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.lake.cohorts import COHORTS_TABLE
from smallcaps_assets.lake.events.master import symbols_to_rebuild
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.events.staleness import Survey, checks_of_shards, shards_current
from smallcaps_assets.pipeline.research.bars.bar_checks import UP_TO_DATE, UP_TO_DATE_TABLES, checks_of_research
from smallcaps_assets.pipeline.research.bars.symbol_tables import MARKET_STATE_DAY
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.settings.settings import COHORTS_FROM, PROFILES, Profile

_INTERVAL_S: Final = 60
_SHARDS: Final = dg.AssetKey("event_shards")
_MASTER: Final = dg.AssetKey("master_events")
_MANIFESTS: Final = {profile: dg.AssetKey([profile, "manifest"]) for profile in PROFILES}
_RESEARCH: Final = {table: dg.AssetKey(table) for table in UP_TO_DATE_TABLES}
# those that depend on the settings in force
_OF_MANIFEST: Final = "up_to_date"
_CHECKS: Final = {"current_settings", "shards_current", _OF_MANIFEST, COHORTS_KEPT, UP_TO_DATE}


@dataclass(frozen=True)
class _Before:
    """What the last tick saw: what decides the results, and of each result whether it holds and how many break it."""

    state: Sequence[str | None] = ()
    results: Mapping[str, tuple[bool, int]] = field(default_factory=dict)


_BEFORE: Final = TypeAdapter(_Before)


@dg.sensor(
    minimum_interval_seconds=_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: if settings (after a reload of the code), shards, MASTER or manifests have changed, "
    "reports whether event_shards (check current_settings), master_events (shards_current) and the manifests "
    "(up_to_date) agree with the settings in force: launch the job redetect. If events were imported as well, "
    "whether event_bar_features and event_scores (up_to_date) have them: materialize these. Starts no run.",
)
@explain_failures
def staleness(
    context: dg.SensorEvaluationContext, settings: SettingsResource, lake: LakeResource
) -> dg.SensorResult | dg.SkipReason:
    """Report each of these checks whose result changed since the last tick."""
    before, state = read_cursor(context, _BEFORE), _state(settings, lake)
    if before.state == state:
        return dg.SkipReason("Nothing changed.")
    results = dict[str, tuple[bool, int]]()
    for asset, found in _results(settings, lake):
        name = f"{asset.to_user_string()} {found.name}"
        results[name] = (found.holds, found.breaking)
        if results[name] != before.results.get(name):
            (check,) = report_findings(None, [found])
            context.instance.report_runless_asset_event(check_evaluation(asset, check))
    stale = [name for name, (holds, _) in results.items() if not holds]
    words = f"Stale: {', '.join(stale)}. {_remedy(stale)}" if stale else "Made with the settings in force."
    return dg.SensorResult(cursor=json.dumps({"state": state, "results": results}), skip_reason=words)


def _remedy(stale: Sequence[str]) -> str:
    """What to do about stale assets, each named as its asset and check."""
    tables = [table for table in _RESEARCH if f"{table} {UP_TO_DATE}" in stale]
    redetect = ["launch the job redetect"] if len(stale) > len(tables) else []
    materialize = [f"materialize {' and '.join(tables)}"] if tables else []
    words = ", then ".join([*redetect, *materialize])
    return f"{words[0].upper()}{words[1:]}."


def _state(settings: SettingsResource, lake: LakeResource) -> list[str | None]:
    """What decides the results, without opening a file: settings, and what changes with the files."""
    assets = (_SHARDS, _MASTER, *_MANIFESTS.values(), *_RESEARCH.values())
    versions = [facts_of(asset).code_version(settings.load()) for asset in assets]
    files = [
        lake.lake.universe,
        lake.lake.ticker_details,
        lake.lake.master,
        lake.lake.imported_events,
        lake.lake.splits,
        lake.lake.research_table(EVENT_SCORES_TABLE),
        *(lake.manifests(profile).pointer for profile in PROFILES),
        *([lake.lake.research_table(COHORTS_TABLE, COHORTS_FROM)] if _has_follow_up(settings) else []),
    ]
    states = [path.stat() if path.is_file() else None for path in files]
    changes = [f"{state.st_size} {state.st_mtime_ns}" if state else None for state in states]
    research = ResearchStore(lake.lake).state(lake.lake.research / MARKET_STATE_DAY)
    return [*versions, lake.shards().state(), research, *changes]


def _has_follow_up(settings: SettingsResource) -> bool:
    """Whether cohorts select the events of a profile."""
    return any(params.cohorts for params in settings.load().profiles.values())


def _results(settings: SettingsResource, lake: LakeResource) -> Iterator[tuple[dg.AssetKey, Finding]]:
    """The findings about what is made."""
    survey = cache(lake.detector(settings.load()).survey)
    checks: dict[dg.AssetKey, Checks] = {}
    if lake.shards().symbols():
        checks[_SHARDS] = checks_of_shards(survey)
    if lake.lake.master.is_file():
        checks[_MASTER] = {"shards_current": lambda: shards_current(survey(), symbols_to_rebuild(lake.shards()))}
    for profile, asset in _MANIFESTS.items():
        if lake.manifests(profile).is_begun():
            names = [_OF_MANIFEST, *([COHORTS_KEPT] if settings.load().profiles[profile].cohorts else [])]
            checks[asset] = {name: partial(_of_manifest, name, profile, settings, lake, survey) for name in names}
    if settings.load().research.enabled:
        for table in _begun(lake):
            checks[_RESEARCH[table]] = {UP_TO_DATE: partial(_research_up_to_date, table, settings, lake)}
    for asset, of_asset in checks.items():
        yield from ((asset, found) for found in run_checks(of_asset, _CHECKS))


def _begun(lake: LakeResource) -> Iterator[str]:
    """The research tables that were made at least in part."""
    if ResearchStore(lake.lake).parts(lake.lake.research / "event_bar_features"):
        yield "event_bar_features"
    if lake.lake.research_table(EVENT_SCORES_TABLE).is_file():
        yield EVENT_SCORES_TABLE


def _research_up_to_date(table: str, settings: SettingsResource, lake: LakeResource) -> Finding:
    """The finding about a research table; where splits cannot be read, `run_checks` says so, as of a manifest."""
    return checks_of_research(table, lake.symbol_research(settings.load()))[UP_TO_DATE]()


def _of_manifest(
    check: str, profile: Profile, settings: SettingsResource, lake: LakeResource, survey: Survey
) -> Finding:
    """A finding about a manifest; where it cannot be read, `run_checks` says so, and the other assets are judged."""
    return manifest_checks_of(profile, settings, lake, survey)[check]()
