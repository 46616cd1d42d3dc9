"""The sensors: failure notices, the checks `up_to_date`, and the capture that follows the nightly run."""

import json
from datetime import UTC, datetime
from typing import Final

import dagster as dg
from pydantic import TypeAdapter

from smallcaps_assets.defs.checks.asset_checks import WATCHED, check_evaluation, lateness_check, up_to_date_result
from smallcaps_assets.defs.cursors import read_cursor
from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.jobs import UNFINISHED
from smallcaps_assets.defs.partitions import partitions_of
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.runs.run_log import first_cause
from smallcaps_assets.defs.runs.run_tags import NIGHTLY
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.operations.notices import Notice, post_notice, write_notice
from smallcaps_assets.settings.settings import Settings, home, lake_path, notice_url

_NOTICE_INTERVAL_S: Final = 30
_LATENESS_INTERVAL_S: Final = 600
_CAPTURE_INTERVAL_S: Final = 60
# the request budget of a night is not spent again by a retry: what is missing waits for the next night
_CAPTURE_TAGS: Final = {"dagster/max_retries": "0"}
_LONGEST_NIGHT_MIN: Final = 18 * 60
_NIGHT_OVER: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
# of each watched asset: session, whether the check passed, number of late symbols
_LATE: Final = TypeAdapter(dict[str, tuple[str, bool, int]])


@dg.run_failure_sensor(
    minimum_interval_seconds=_NOTICE_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes one line of JSON for each failed run (time, run, job, partitions, step, cause) to "
    "notices.file, and posts it to the address in the environment variable notices.url_variable, if that is set.",
)
@explain_failures
def failure_notice(context: dg.RunFailureSensorContext, settings: SettingsResource) -> None:
    """Write a notice of a failed run, then post it; a failed post fails this tick of the sensor only."""
    loaded = settings.load()
    params = loaded.notices
    notice = notice_of(context, settings.now())
    write_notice((home() / params.file).resolve(), notice, lake_path(loaded))
    url = notice_url(params)
    if url is not None:
        post_notice(url, notice, params.timeout_s)


def notice_of(context: dg.RunFailureSensorContext, at: datetime) -> Notice:
    """The notice of a failed run: the step that failed first, and its first cause."""
    run, failed = context.dagster_run, context.get_step_failure_events()
    first = failed[0] if failed else None
    error = first.step_failure_data.error if first else None
    return {
        "time": at.astimezone(UTC).isoformat(timespec="seconds"),
        "run_id": run.run_id,
        "job": run.job_name,
        "partitions": partitions_of(run.tags),
        "step": first.step_key if first else None,
        "cause": first_cause(error) if error else context.failure_event.message,
    }


@dg.sensor(
    minimum_interval_seconds=_LATENESS_INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Checks every ten minutes whether minute_bars and master_events hold the session that is expected by "
    "now, and reports their check up_to_date when its result changes. Starts no run.",
)
@explain_failures
def lateness(
    context: dg.SensorEvaluationContext, settings: SettingsResource, lake: LakeResource
) -> dg.SensorResult | dg.SkipReason:
    """Report the check of each watched asset whose result changed since the last tick."""
    check = lateness_check(settings, lake)
    before = {asset: tuple(result) for asset, result in read_cursor(context, _LATE).items() if asset in WATCHED}
    now, changes = dict(before), list[str]()
    for asset, run_check in WATCHED.items():
        if asset in before and before[asset][:2] == (f"{check.session}", True):
            continue  # a session that is published stays published
        found = run_check(check)
        now[asset] = (f"{found.session}", not found.is_late, len(found.symbols))
        if now[asset] != before.get(asset):
            context.instance.report_runless_asset_event(check_evaluation(dg.AssetKey(asset), up_to_date_result(found)))
            changes.append(f"{asset}: {found.sentence()}")
    return dg.SensorResult(cursor=json.dumps(now), skip_reason=" ".join(changes) or "Nothing changed.")


def capture_sensor(settings: Settings, job: dg.JobDefinition) -> dg.SensorDefinition:
    """Captures the new windows of the active profile once a nightly run has built its manifest."""
    profile = settings.active_profile

    @dg.sensor(
        name="nightly_capture",
        job=job,
        minimum_interval_seconds=_CAPTURE_INTERVAL_S,
        description=f"Once the nightly run has built the manifest of {profile}: captures what is missing of it, wave "
        "by wave, with at most nightly.capture_requests requests a night. The rest waits for the next night.",
    )
    @explain_failures
    def nightly_capture(
        context: dg.SensorEvaluationContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.SensorResult | dg.SkipReason:
        instance, loaded = context.instance, settings.load()
        if instance.get_runs(dg.RunsFilter(job_name=NIGHTLY, statuses=UNFINISHED), limit=1):
            return dg.SkipReason("The nightly run is not finished yet.")
        nights = instance.get_run_records(dg.RunsFilter(job_name=NIGHTLY, statuses=_NIGHT_OVER), limit=1)
        manifest = instance.get_latest_materialization_event(dg.AssetKey([profile, "manifest"]))
        if not nights or not manifest or manifest.run_id != nights[0].dagster_run.run_id:
            return dg.SkipReason(f"No nightly run has built the manifest of {profile}.")
        over = completed_sessions(loaded.history, loaded.sessions, nights[0].create_timestamp)
        session = f"{over[-1]}" if over else "none"
        if context.cursor == session:
            return dg.SkipReason(f"The capture of the night of {session} was already launched.")
        if lake.manifests(profile).current().rows.is_empty():
            return dg.SensorResult(cursor=session, skip_reason=f"The manifest of {profile} has no events.")
        config = {"max_requests": _night_budget(loaded)}
        request = dg.RunRequest(run_key=session, run_config=config, tags=_CAPTURE_TAGS)
        return dg.SensorResult(run_requests=[request], cursor=session)

    return nightly_capture


def _night_budget(settings: Settings) -> int:
    """The request budget of a night: no more than the rate limit allows before the next night fetches bars."""
    budget, per_minute = settings.nightly.capture_requests, settings.source.requests_per_minute
    return budget if per_minute is None else max(1, min(budget, int(_LONGEST_NIGHT_MIN * per_minute)))
