"""The jobs: the nightly run, and the capture of a profile wave after wave.

A run over the tape assets of all waves fetches all trades before the first quotes. The capture jobs are therefore jobs
of plain steps, one per wave (PM, AH, RTH): they fetch as the assets do, trades and then quotes, and record each
partition of the assets as soon as its last span is published.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypedDict

import dagster as dg
import polars as pl
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from smallcaps_assets.defs.assets.listings import ListingsConfig
from smallcaps_assets.defs.assets.profile_tables import step_of
from smallcaps_assets.defs.assets.symbol_research import SYMBOL_RESEARCH
from smallcaps_assets.defs.assets.tape import TapeConfig, TapeStep, make_ledger, make_report
from smallcaps_assets.defs.checks.asset_checks import capture_checks, check_evaluation
from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.metadata.entries import Metadata
from smallcaps_assets.defs.partitions import SYMBOLS, tape_key
from smallcaps_assets.defs.recording.completeness import require_complete
from smallcaps_assets.defs.recording.events import log_materializations, record_failures
from smallcaps_assets.defs.recording.last_records import LastRecords
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.recording.provenance import Tags, data_version_tags, provenance_of_asset
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.defs.runs.run_tags import NIGHTLY, PROFILE_TAG, WAVE_TAG
from smallcaps_assets.defs.wave_research import (
    PartsStep,
    log_research_checks,
    materialized_keys,
    refresh_tables,
)
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.files.publish import DerivedTable, publish_frame
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.pipeline.research.joined import EVENT_SCORES_TABLE
from smallcaps_assets.pipeline.research.joined_enriched import ENRICHED_TABLE
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_BY_SYMBOL: Final = ("minute_bars", "event_shards")
_EVENT_LISTINGS: Final = "event_listings"
# the research of a night, in the order of what depends on what; those of a profile are its tables
_RESEARCH: Final = ("trade_conditions", "splits", *SYMBOL_ASSETS, EVENT_SCORES_TABLE, ENRICHED_TABLE)
# symbols that failed are retried by the next night. A run whose process died is retried by Dagster, from its first
# step on: finished work is skipped, and the report covers the whole night
NIGHTLY_TAGS: Final = {"dagster/retry_on_asset_or_op_failure": "false", "dagster/retry_strategy": "ALL_STEPS"}
UNFINISHED: Final = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# a capture may run for weeks: never end it for its length, and retry it after each of many kills
_CAPTURE_TAGS: Final = {"dagster/max_runtime": f"{90 * 86_400}", "dagster/max_retries": "50"}
_REPORT: Final = "report"


def nightly_job(settings: Settings) -> UnresolvedAssetJobDefinition:
    """Listings, universe, bars, events, MASTER, manifests, research and report, in this order, in one run and process.

    Steps whose inputs are complete run in the order of their priorities: research after the manifests, the report last.
    """
    manifests = ([profile, "manifest"] for profile in PROFILES)
    keys = [
        "listings",
        "universe",
        *_BY_SYMBOL,
        "master_events",
        _EVENT_LISTINGS,
        *manifests,
        *_research_of(settings),
        "nightly_report",
    ]
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.assets(*(dg.AssetKey(key) for key in keys)),
        config=nightly_config(settings),
        tags=NIGHTLY_TAGS,
        executor_def=dg.in_process_executor,
        description="Brings the listings (once they were made), the universe, minute bars, events, MASTER and the "
        "manifests up to date, then the research tables (unless research.enabled is false); requests only what is "
        "missing. A symbol that fails is named in nightly_report and stops no other, and research that fails stops "
        "neither.",
    )


def _research_of(settings: Settings) -> list[str | list[str]]:
    """The research assets of a night; none where they are switched off."""
    of_profiles = [[profile, table] for profile in PROFILES for table in JOINED_OF_PROFILES]
    return [*_RESEARCH, *of_profiles] if settings.research.enabled else []


def nightly_config(settings: Settings) -> dict[str, Any]:
    """The run config of a night: steps that may fail without ending it."""
    research = [step for step in _RESEARCH if step not in SYMBOL_ASSETS]
    research += [SYMBOL_RESEARCH, *map(step_of, PROFILES)]
    steps = [*_BY_SYMBOL, _EVENT_LISTINGS, *(research if settings.research.enabled else [])]
    config = {step: {"config": ContinueOnFailure(go_on=True).model_dump()} for step in steps}
    if settings.source.bars != "rest":
        config["minute_bars"]["config"]["take_flat_files"] = True
    config["listings"] = {"config": ListingsConfig(go_on=True, begin=False).model_dump()}
    return {"ops": config}


class WavesConfig(TapeConfig):
    """A trial, and a request limit for the whole capture."""

    max_requests: int | None = Field(
        default=None,
        gt=0,
        description="Start no more windows once this many requests were sent; the others stay missing.",
    )


class CaptureTally(TypedDict):
    """Totals over the steps so far: requests, problems, and spans left for lack of budget, by wave and kind.

    `research` are the problems of the research tables, which are no problems of the capture.
    """

    requests: int
    problems: list[str]
    left: dict[str, int]
    research: list[str]


@dg.config_mapping
def config_of_every_wave(val: WavesConfig) -> dg.RunConfig:
    """The same configuration for every step."""
    return dg.RunConfig(ops={wave: WavesConfig(**val.model_dump()) for wave in WAVES})


def waves_job(profile: Profile) -> dg.JobDefinition:
    """The waves of a profile in order, then its ledger and report."""
    waves, report = [_wave_step(profile, wave) for wave in WAVES], _report_step(profile)

    @dg.job(
        name=f"{profile}_waves",
        config=config_of_every_wave,
        executor_def=dg.in_process_executor,
        tags={**_CAPTURE_TAGS, PROFILE_TAG: profile, WAVE_TAG: ", ".join(WAVES)},
        description=f"Captures what is missing of the manifest of {profile}: wave PM, then AH, then RTH, of each the "
        "trades, the quotes and then the research tables (unless research.enabled is false); then ledger and report. A "
        "window that fails stops no other and is named at the end.",
    )
    def in_order() -> None:
        tally = waves[0].alias(WAVES[0])()
        for wave, capture in zip(WAVES[1:], waves[1:], strict=True):
            tally = capture.alias(wave)(tally)
        report.alias(_REPORT)(tally)

    return in_order


def _wave_step(profile: Profile, wave: str) -> dg.OpDefinition:
    @dg.op(
        name=f"{profile}_{wave}",
        # the first step has no predecessor
        ins={"tally": dg.In(dict, default_value={"requests": 0, "problems": [], "left": {}, "research": []})},
        out=dg.Out(dict, io_manager_key="state"),
        pool=VENDOR_POOL,
        description=f"Trades, then quotes, of the windows of wave {wave}, and then their research tables.",
    )
    @explain_failures
    def capture(  # noqa: PLR0913, PLR0917 -- resources are arguments
        context: dg.OpExecutionContext,
        tally: dict[str, Any],
        config: WavesConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> dict[str, Any]:
        step = TapeStep(profile, context, settings, lake, market_data)
        after = _capture_wave(step, wave, config, _parse_tally(tally))
        context.add_output_metadata(_tally_metadata(after))
        return dict(after)

    return capture


def _report_step(profile: Profile) -> dg.OpDefinition:
    @dg.op(name=f"{profile}_{_REPORT}", description="The ledger and the report; fails if any window failed.")
    @explain_failures
    def report(
        context: dg.OpExecutionContext, tally: dict[str, Any], settings: SettingsResource, lake: LakeResource
    ) -> None:
        ledger_key, report_key = (dg.AssetKey([profile, f"capture_{table}"]) for table in ("ledger", "report"))
        totals = _parse_tally(tally)
        # provenance is read before the inputs
        provenance = provenance_of_asset(
            context, settings.load(), ledger_key, [[profile, f"tape_{kind}"] for kind in TAPE_KINDS]
        )
        published = lake.tape(profile, settings.load()).listing()
        ledger, metadata = make_ledger(profile, settings, lake, published)
        publish_table(context, lake, ledger_key, ledger, metadata, provenance)
        provenance = provenance_of_asset(context, settings.load(), report_key, [ledger_key.path])
        made, metadata = make_report(profile, ledger, settings, lake, published)
        publish_table(context, lake, report_key, made, metadata | _tally_metadata(totals), provenance)
        for check in capture_checks(made.rows, ledger):
            # works, although its annotation does not list it
            context.log_event(check_evaluation(report_key, check))  # type: ignore[arg-type]
        research = totals["research"]
        if settings.load().research.enabled:
            # the table says which cohorts were winning
            research += refresh_tables(context, profile, settings, lake)
            research += log_research_checks(context, profile, settings, lake)
        again = f"Launch {profile}_waves again: only what is missing is requested."
        failed = [count_noun(len(totals["problems"]), "span")] if totals["problems"] else []
        failed += [f"{count_noun(len(research), 'part')} of research"] if research else []
        require_complete([*totals["problems"], *research], " and ".join(failed), again)

    return report


def publish_table(  # noqa: PLR0913, PLR0917 -- a table, its path, its metadata
    context: dg.OpExecutionContext,
    lake: LakeResource,
    asset: dg.AssetKey,
    table: pl.DataFrame | DerivedTable,
    metadata: Metadata,
    provenance: Tags,
) -> None:
    """Publish the table of an asset and record it as its asset would."""
    path = facts_of(asset).path(lake.lake)
    rows, made_from = (table.rows, table.provenance) if isinstance(table, DerivedTable) else (table, None)
    published = publish_frame(path, rows, made_from, below=lake.lake.root)
    tags = provenance | data_version_tags(published)
    context.log_event(dg.AssetMaterialization(asset, metadata=metadata, tags=tags))


def _capture_wave(step: TapeStep, wave: str, config: WavesConfig, before: CaptureTally) -> CaptureTally:
    """Capture one wave, recording each partition when it is done; problems are returned, not raised."""
    pairs = [(symbol, wave) for symbol in step.context.instance.get_dynamic_partitions(SYMBOLS.name or "")]
    allowance = Allowance(config.max_requests, before["requests"])
    problems, left = list(before["problems"]), dict(before["left"])
    for kind in TAPE_KINDS:
        for outcome in _record_outcomes(step, kind, step.outcomes(kind, pairs, config, allowance), pairs):
            problems += outcome.problems
            if outcome.left:
                left[f"{wave} {kind}"] = left.get(f"{wave} {kind}", 0) + outcome.left
    research = list(before["research"])
    if step.settings.load().research.enabled:
        parts = PartsStep(step.profile, step.context, step.settings, step.lake, step.tick)
        research += parts.wave(wave, [symbol for symbol, _ in pairs])
    return CaptureTally(requests=allowance.spent, problems=problems, left=left, research=research)


def _record_outcomes(
    step: TapeStep, kind: TapeKind, outcomes: Iterable[Outcome], pairs: Sequence[Pair]
) -> Iterator[Outcome]:
    """Record complete partitions that changed, and pass all outcomes on; failed partitions are marked at the end.

    A partition that is shown as materialized and had nothing to fetch is recorded again only where its last record
    names another manifest or other tape, since recording costs more than looking. This is done at the end: it is
    complete under the new manifest as well, and would be shown as stale otherwise.
    """
    asset, manifest = dg.AssetKey([step.profile, f"tape_{kind}"]), dg.AssetKey([step.profile, "manifest"])
    provenance = provenance_of_asset(step.context, step.settings.load(), asset, [manifest.path])
    materialized = materialized_keys(step.context.instance, asset, [tape_key(*pair) for pair in pairs])
    before = LastRecords(step.context.instance, asset, [manifest], provenance)
    failed: dict[str, Outcome] = {}
    complete: dict[str, Outcome] = {}
    try:
        for outcome in outcomes:
            key = tape_key(*outcome.partition)
            if outcome.problems:
                failed[key] = outcome
            elif not outcome.left and (outcome.figures["spans_fetched"] or key not in materialized):
                log_materializations(step.context, asset, {key: outcome}, provenance)
            elif not outcome.left:
                complete[key] = outcome
            yield outcome
    finally:
        same = before.unchanged(complete)
        changed = {key: outcome for key, outcome in complete.items() if key not in same}
        log_materializations(step.context, asset, changed, provenance)
        record_failures(step.context, asset, failed, provenance)


def _parse_tally(output: dict[str, Any]) -> CaptureTally:
    # a step of an earlier release left no research
    return CaptureTally(
        requests=output["requests"],
        problems=output["problems"],
        left=output["left"],
        research=output.get("research", []),
    )


def _tally_metadata(tally: CaptureTally) -> Metadata:
    left = {f"left/{what}": spans for what, spans in tally["left"].items()}
    return {"requests_of_run": tally["requests"], "failed_of_run": len(tally["problems"]), **left}
