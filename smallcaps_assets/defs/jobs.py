"""Jobs that capture wave after wave, PM, AH and RTH: trades and quotes of a wave before anything of the next.

Assets cannot say that: one run over all waves takes all trades before the first quotes. So these are jobs of plain
steps, which fetch as the assets do and record each partition of theirs as soon as its last span is there.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypedDict

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.asset_checks import evaluation, kpi_checks
from smallcaps_assets.defs.assets.nightly import NIGHTLY, UNFINISHED
from smallcaps_assets.defs.assets.tape import TapeConfig, TapeStep, ledger_of, report_of
from smallcaps_assets.defs.code_versions import code_versions
from smallcaps_assets.defs.io_managers import table_path
from smallcaps_assets.defs.partitions import SYMBOLS, TAPE_PARTITIONS, tape_key
from smallcaps_assets.defs.provenance import Tags, provenance, version_tags
from smallcaps_assets.defs.recording import Metadata, first_lines, log_materializations, mark_failed
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS, TapeKind
from smallcaps_assets.errors import CaptureIncomplete
from smallcaps_assets.lake.publish import publish_frame, sha256
from smallcaps_assets.pipeline.calendar import sessions_due
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.tape.capture import Pair
from smallcaps_assets.pipeline.tape.request_budget import Allowance
from smallcaps_assets.settings.settings import Profile, Settings

EVERY_S: Final = 60
REPORT: Final = "report"
# of a capture that may go on for weeks: no run of its is ended for its length, and each of many kills is made good
LONG: Final = {"dagster/max_runtime": f"{90 * 86_400}", "dagster/max_retries": "50"}
# what a night was given is not spent again by a retry: what is left waits for the next night
OF_ONE_NIGHT: Final = {"dagster/max_retries": "0"}
LONGEST_NIGHT_MIN: Final = 18 * 60
NIGHT_OVER: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


class WavesConfig(TapeConfig):
    """A trial, and how many requests the whole capture may take."""

    max_requests: int | None = Field(
        default=None,
        gt=0,
        description="Begin no more windows once so many requests were sent; what is left stays missing.",
    )


class Tally(TypedDict):
    """What the waves so far took, what failed in them, and how many spans were left, by wave and kind."""

    requests: int
    problems: list[str]
    left: dict[str, int]


@dg.config_mapping
def of_every_wave(val: WavesConfig) -> dg.RunConfig:
    """The same for every wave."""
    return dg.RunConfig(ops={wave: WavesConfig(**val.model_dump()) for wave in WAVES})


def waves_job(profile: Profile) -> dg.JobDefinition:
    """The waves of a profile in order, then its ledger and report."""
    waves, report = [_wave(profile, wave) for wave in WAVES], _report(profile)

    @dg.job(
        name=f"{profile}_waves",
        config=of_every_wave,
        executor_def=dg.in_process_executor,
        tags=LONG,
        description=f"Captures what is missing of the manifest of {profile}: wave PM, then AH, then RTH, of each the "
        "trades and then the quotes; then ledger and report. What fails stops no other window and is named at the "
        "end.",
    )
    def in_order() -> None:
        tally = waves[0].alias(WAVES[0])()
        for wave, capture in zip(WAVES[1:], waves[1:], strict=True):
            tally = capture.alias(wave)(tally)
        report.alias(REPORT)(tally)

    return in_order


def capture_sensor(settings: Settings, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Captures the new windows of the active profile once a night has built its manifest."""
    profile = settings.active_profile

    @dg.sensor(
        name="nightly_capture",
        job=job,
        minimum_interval_seconds=EVERY_S,
        description=f"Once the nightly run has built the manifest of {profile}: captures what is missing of it, wave "
        "by wave, with at most nightly.capture_requests requests a night. What is left waits for the next night.",
    )
    def nightly_capture(
        context: dg.SensorEvaluationContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.SensorResult | dg.SkipReason:
        instance, loaded = context.instance, settings.load()
        if instance.get_runs(dg.RunsFilter(job_name=NIGHTLY, statuses=UNFINISHED), limit=1):
            return dg.SkipReason("The nightly run is not finished yet.")
        nights = instance.get_run_records(dg.RunsFilter(job_name=NIGHTLY, statuses=NIGHT_OVER), limit=1)
        manifest = instance.get_latest_materialization_event(dg.AssetKey([profile, "manifest"]))
        if not nights or not manifest or manifest.run_id != nights[0].dagster_run.run_id:
            return dg.SkipReason(f"No nightly run has built the manifest of {profile}.")
        due = sessions_due(loaded.history, loaded.sessions, nights[0].create_timestamp)
        session = f"{due[-1]}" if due else "none"
        if context.cursor == session:
            return dg.SkipReason(f"The windows of the night of {session} were asked for.")
        if lake.manifests(profile).current().rows.is_empty():
            return dg.SensorResult(cursor=session, skip_reason=f"The manifest of {profile} holds no event.")
        request = dg.RunRequest(run_key=session, run_config={"max_requests": _budget(loaded)}, tags=OF_ONE_NIGHT)
        return dg.SensorResult(run_requests=[request], cursor=session)

    return nightly_capture


def _budget(settings: Settings) -> int:
    """The requests of a night: never more than are answered before the next night asks for bars."""
    most, per_minute = settings.nightly.capture_requests, settings.source.requests_per_minute
    return most if per_minute is None else max(1, min(most, int(LONGEST_NIGHT_MIN * per_minute)))


def _wave(profile: Profile, wave: str) -> dg.OpDefinition:
    @dg.op(
        name=f"{profile}_{wave}",
        # the first wave comes after none
        ins={"tally": dg.In(dict, default_value={"requests": 0, "problems": [], "left": {}})},
        out=dg.Out(dict),
        pool=VENDOR_POOL,
        description=f"Trades, then quotes, of the windows of wave {wave}.",
    )
    def capture(  # noqa: PLR0913, PLR0917 -- resources are arguments
        context: dg.OpExecutionContext,
        tally: dict[str, Any],
        config: WavesConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> dict[str, Any]:
        step = TapeStep(profile, context, settings, lake, market_data)
        after = _captured(step, wave, config, _tally(tally))
        context.add_output_metadata(_figures(after))
        return dict(after)

    return capture


def _report(profile: Profile) -> dg.OpDefinition:
    @dg.op(name=f"{profile}_{REPORT}", description="The ledger and the report; fails if a window of any wave failed.")
    def report(
        context: dg.OpExecutionContext, tally: dict[str, Any], settings: SettingsResource, lake: LakeResource
    ) -> None:
        keys = [dg.AssetKey([profile, f"capture_{table}"]) for table in ("ledger", "report")]
        after = _tally(tally)
        of_ledger = _made_of(context, settings, keys[0], [[profile, f"tape_{kind}"] for kind in TAPE_KINDS])
        published = lake.tape(profile, settings.load()).listing()
        ledger, figures = ledger_of(profile, settings, lake, published)
        _published(context, lake, keys[0], ledger, figures, of_ledger)
        of_report = _made_of(context, settings, keys[1], [keys[0].path])
        kpis, figures = report_of(profile, ledger, settings, lake, published)
        _published(context, lake, keys[1], kpis, figures | _figures(after), of_report)
        for check in kpi_checks(kpis, ledger.filter(state="missing").height):
            # taken, though its annotation does not say so
            context.log_event(evaluation(keys[1], check))  # type: ignore[arg-type]
        if problems := after["problems"]:
            raise CaptureIncomplete(
                f"{len(problems)} spans failed; everything else is published. Launch {profile}_waves again: only "
                f"what is missing is asked for.\n{first_lines(problems)}"
            )

    return report


def _made_of(
    context: dg.OpExecutionContext, settings: SettingsResource, asset: dg.AssetKey, upstream: Iterable[Sequence[str]]
) -> Tags:
    """With which code an asset is made here, and of what."""
    version = code_versions(settings.load())[asset.to_user_string()]
    return provenance(context.instance, version, [dg.AssetKey(path) for path in upstream])


def _published(  # noqa: PLR0913, PLR0917 -- a table, where it goes, what is said of it
    context: dg.OpExecutionContext,
    lake: LakeResource,
    asset: dg.AssetKey,
    table: pl.DataFrame,
    figures: Metadata,
    made_of: Tags,
) -> None:
    """Publish a table and record it, as its asset does."""
    path = table_path(lake.lake.root, asset)
    publish_frame(path, table)
    tags = made_of | version_tags(sha256(path))
    context.log_event(dg.AssetMaterialization(asset, metadata=figures, tags=tags))


def _captured(step: TapeStep, wave: str, config: WavesConfig, before: Tally) -> Tally:
    """Fetch one wave, recording each partition as it is done; what failed or was left is told, not raised."""
    pairs = [(symbol, wave) for symbol in step.context.instance.get_dynamic_partitions(SYMBOLS.name or "")]
    allowance = Allowance(config.max_requests, before["requests"])
    problems, left = list(before["problems"]), dict(before["left"])
    for kind in TAPE_KINDS:
        for outcome in _recorded(step, kind, step.outcomes(kind, pairs, config, allowance), pairs):
            problems += outcome.problems
            if outcome.left:
                left[f"{wave} {kind}"] = left.get(f"{wave} {kind}", 0) + outcome.left
    return Tally(requests=allowance.spent, problems=problems, left=left)


def _recorded(step: TapeStep, kind: TapeKind, outcomes: Iterable[Outcome], pairs: Sequence[Pair]) -> Iterator[Outcome]:
    """Pass outcomes on, having recorded those that are whole and new; those with problems are marked at the end.

    What is green and had nothing to fetch is not recorded again: that would cost more than to look. But if it was
    recorded before the manifest was made, it is once more, all at the end: it is whole under the new one as well.
    """
    asset = dg.AssetKey([step.profile, f"tape_{kind}"])
    made_of = _made_of(step.context, step.settings, asset, [[step.profile, "manifest"]])
    green = _green(step.context.instance, asset, [tape_key(*pair) for pair in pairs])
    current = _recorded_since(step.context.instance, asset, dg.AssetKey([step.profile, "manifest"]))
    failed: list[str] = []
    older: dict[str, Outcome] = {}
    try:
        for outcome in outcomes:
            key = tape_key(*outcome.partition)
            if outcome.problems:
                failed.append(key)
            elif not outcome.left and (outcome.figures["spans_fetched"] or key not in green):
                log_materializations(step.context, asset, {key: outcome}, made_of)
            elif not outcome.left and key not in current:
                older[key] = outcome
            yield outcome
    finally:
        log_materializations(step.context, asset, older, made_of)
        mark_failed(step.context, asset, failed)


def _green(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> set[str]:
    """Partitions that are materialized, and not failed since."""
    known = instance.get_status_by_partition(asset, keys, TAPE_PARTITIONS) or {}
    return {key for key, status in known.items() if status is not None and status.name == "MATERIALIZED"}


def _recorded_since(instance: dg.DagsterInstance, asset: dg.AssetKey, upstream: dg.AssetKey) -> set[str]:
    """Partitions that were recorded since `upstream` was made last."""
    made = instance.fetch_materializations(upstream, limit=1).records
    return set(instance.get_materialized_partitions(asset, after_cursor=made[0].storage_id if made else None))


def _tally(passed_on: dict[str, Any]) -> Tally:
    return Tally(requests=passed_on["requests"], problems=passed_on["problems"], left=passed_on["left"])


def _figures(tally: Tally) -> Metadata:
    """What people see of the waves so far."""
    left = {f"left/{what}": spans for what, spans in tally["left"].items()}
    return {"requests_of_run": tally["requests"], "failed_of_run": len(tally["problems"]), **left}
