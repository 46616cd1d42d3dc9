"""The job and the schedule `retention`: what keeps Dagster's state from growing year after year."""

from datetime import UTC
from typing import Final

import dagster as dg

from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.resources import SettingsResource
from smallcaps_assets.defs.retention.removal import has_old_runs, remove_old
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.pipeline.operations.notices import remove_old_notices
from smallcaps_assets.settings.settings import Settings, home

RETENTION: Final = "retention"


def retention_job() -> dg.JobDefinition:
    """Removes what is old from Dagster's state, and old lines of the notices file."""

    @dg.job(
        name=RETENTION,
        executor_def=dg.in_process_executor,
        # the next night removes what is left
        tags={"dagster/max_retries": "0"},
        description="Removes from Dagster's state what is older than the section retention of the settings says: runs "
        "with their logs, results of checks, and records of partitions that later ones replaced. What is materialized, "
        "failed, missing or stale stays as it is; nothing of the lake is removed.",
    )
    def in_order() -> None:
        remove()

    return in_order


@dg.op(name="remove_old", description="Removes what the settings no longer keep, and says how much that was.")
@explain_failures
def remove(context: dg.OpExecutionContext, settings: SettingsResource) -> None:
    """Remove what is old."""
    loaded, now = settings.load(), settings.now().astimezone(UTC)
    done = remove_old(context.instance, now, loaded.retention, context.log.info)
    notices = remove_old_notices((home() / loaded.notices.file).resolve(), now, loaded.retention.notice_days)
    context.add_output_metadata(
        {
            "runs removed": done.runs,
            "logs removed of runs that stay": done.logs,
            "records removed": done.records,
            "results of checks removed": done.checks,
            "other events removed": done.events,
            "notices removed": notices,
        }
    )


def retention_schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Every day at `retention.start`, if a run is old enough."""
    start = settings.retention.start

    @dg.schedule(
        name=RETENTION,
        job=job,
        cron_schedule=f"{start.minute} {start.hour} * * *",
        execution_timezone=NEW_YORK,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"At {start:%H:%M} New York time, if a run is older than retention.log_days: removes what is no "
        "longer shown from Dagster's state.",
    )
    @explain_failures
    def retention(context: dg.ScheduleEvaluationContext, settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
        params = settings.load().retention
        if not has_old_runs(context.instance, settings.now().astimezone(UTC), params):
            return dg.SkipReason(f"No run is older than {params.log_days} days (retention.log_days).")
        return dg.RunRequest()

    return retention
