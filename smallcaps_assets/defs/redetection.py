"""The job `redetect`: after a changed threshold, the stale shards, then MASTER and the manifests, in order.

A job over the assets would ask for partitions. The job is therefore one of plain steps, which make and record the
tables as the assets do, and work on stale symbols only.
"""

from functools import cache
from typing import Final

import dagster as dg

from smallcaps_assets.defs.assets.events import make_master
from smallcaps_assets.defs.assets.manifests import make_manifest, selected_from
from smallcaps_assets.defs.checks.asset_checks import (
    check_evaluation,
    lateness_check,
    manifest_checks_of,
    report_findings,
    up_to_date_result,
)
from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.jobs import publish_table
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording.partition_recorder import PartitionRecorder
from smallcaps_assets.defs.recording.provenance import data_version_tags, provenance_of_asset
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.events.checks import checks_of_master
from smallcaps_assets.pipeline.events.lost_bars import log_lost_bars
from smallcaps_assets.pipeline.events.staleness import checks_of_shards, current_settings, symbols_to_detect
from smallcaps_assets.pipeline.outcome import add_versions
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.settings.settings import PROFILES

REDETECT: Final = "redetect"
_SHARDS: Final = dg.AssetKey("event_shards")
_MASTER: Final = dg.AssetKey("master_events")
_AFTER: Final = {"after": dg.In(dg.Nothing)}


def redetect_job() -> dg.JobDefinition:
    """The shards of symbols that are stale or missing, MASTER and the manifests, in this order."""

    @dg.job(
        name=REDETECT,
        executor_def=dg.in_process_executor,
        description="After a changed threshold: detects the events of stale symbols again, then builds MASTER and the "
        "manifests. Requests nothing. A symbol that fails stops no other, but MASTER is not built without it.",
    )
    def in_order() -> None:
        # the steps are named after the tables, as the assets are; steps of a code location have different names
        shards = detect_stale.alias("event_shards")()
        master = build_all.alias("master_events")(after=shards)
        select_all.alias("manifests")(after=master)

    return in_order


@dg.op(
    name=f"{REDETECT}_shards", out=dg.Out(dg.Nothing), description="Events of the symbols that are stale or missing."
)
@explain_failures
def detect_stale(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """Bring all shards up to date, and record those that were stale."""
    loaded = settings.load()
    provenance = provenance_of_asset(context, settings.load(), _SHARDS, [["minute_bars"]])
    detector = lake.detector(loaded)
    survey = detector.survey()
    context.log.info(str(current_settings(survey).figures["verdict"]))
    symbols = symbols_to_detect(detector, survey, context.instance.get_dynamic_partitions(SYMBOLS.name or ""))
    recorder = PartitionRecorder(context, _SHARDS, {(symbol,): symbol for symbol in symbols}, provenance)
    outcomes = add_versions(detector.run(symbols, recorder.tick), lake.shards().version)
    outcomes = log_lost_bars(outcomes, lake.lake, context.log.warning)
    recorder.record(with_progress(outcomes, len(symbols), "symbols detected", context.log.info))
    _record_checks(context, _SHARDS, checks_of_shards(detector.survey))


@dg.op(name=f"{REDETECT}_master", ins=_AFTER, out=dg.Out(dg.Nothing), description="MASTER of all shards.")
@explain_failures
def build_all(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """Build MASTER and record its checks."""
    provenance = provenance_of_asset(context, settings.load(), _MASTER, [_SHARDS.path])
    master, metadata = make_master(settings, lake)
    publish_table(context, lake, _MASTER, master, metadata, provenance)
    loaded = settings.load()
    _record_checks(context, _MASTER, checks_of_master(lake.detector(loaded), loaded))
    _record_check(context, _MASTER, up_to_date_result(lateness_check(settings, lake).check_master()))


@dg.op(name=f"{REDETECT}_manifests", ins=_AFTER, description="The manifest of each profile.")
@explain_failures
def select_all(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """Select and freeze the manifest of every profile, and record their checks."""
    survey = cache(lake.detector(settings.load()).survey)
    for profile in PROFILES:
        asset = dg.AssetKey([profile, "manifest"])
        made_from = [_MASTER.path, *selected_from(profile, settings.load())]
        provenance = provenance_of_asset(context, settings.load(), asset, made_from)
        events = load_master(lake.lake)
        version, metadata = make_manifest(profile, events, settings, lake)
        tags = provenance | data_version_tags(version)
        context.log_event(dg.AssetMaterialization(asset, metadata=metadata, tags=tags))
        _record_checks(context, asset, manifest_checks_of(profile, settings, lake, survey))


def _record_checks(context: dg.OpExecutionContext, asset: dg.AssetKey, checks: Checks) -> None:
    for check in report_findings(asset, run_checks(checks, checks.keys())):
        _record_check(context, asset, check)


def _record_check(context: dg.OpExecutionContext, asset: dg.AssetKey, check: dg.AssetCheckResult) -> None:
    # works, although its annotation does not list it
    context.log_event(check_evaluation(asset, check))  # type: ignore[arg-type]
