"""The job `backup` and its schedule: a snapshot of the lake and of Dagster's state, while other runs go on."""

from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.defs.failures import explain_failures
from smallcaps_assets.defs.jobs import UNFINISHED
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.runs.state_source import state_source
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.errors import LakeError, SettingsError
from smallcaps_assets.pipeline.backup.settings_files import settings_files
from smallcaps_assets.pipeline.backup.snapshot import Sources, take_snapshot
from smallcaps_assets.settings.settings import Settings, home, settings_version

BACKUP: Final = "backup"
# a restored state has the run that made its snapshot, unfinished: it must not be repeated there
_TAGS: Final = {"dagster/max_retries": "0"}
_UNSET: Final = "backup.destination is null: set it to a folder on another disk."


@dg.op(name="snapshot", description="The snapshot; then those that retention does not keep are removed.")
@explain_failures
def take(context: dg.OpExecutionContext, settings: SettingsResource, lake: LakeResource) -> None:
    """Take a snapshot into `backup.destination`."""
    loaded = settings.load()
    if loaded.backup.destination is None:
        raise SettingsError(_UNSET)
    state = state_source(context.instance, Path(context.instance.root_directory))
    sources = Sources(lake.lake, state, settings_files(loaded), settings_version(loaded))
    result = take_snapshot(sources, home() / loaded.backup.destination, loaded.backup, log=context.log.info)
    facts = {name: result.facts[name] for name in ("snapshot", "files", "bytes", "new_files", "new_bytes")}
    context.add_output_metadata({**facts, "folder": str(result.folder), "removed": list(result.removed)})
    context.log.info("%s is complete, %s new bytes", result.folder, f"{result.facts['new_bytes']:,}")
    if result.not_cleaned:
        raise LakeError(f"{result.folder}: is complete, but nothing could be removed: {result.not_cleaned}")
    if result.damaged:
        raise LakeError(
            f"{result.folder}: is complete, but has files that were damaged before: {', '.join(result.damaged)}. "
            "`smallcaps verify` names the remedy; no older snapshot was removed."
        )


def backup_job() -> dg.JobDefinition:
    """One step: the snapshot."""

    @dg.job(
        name=BACKUP,
        executor_def=dg.in_process_executor,
        tags=_TAGS,
        description="A snapshot of the lake and of Dagster's state in backup.destination, while other runs go on: "
        "`smallcaps backup`. Requests nothing.",
    )
    def in_order() -> None:
        take()

    return in_order


def backup_schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Every day at `backup.start`; off by default."""
    start = settings.backup.start

    @dg.schedule(
        name=BACKUP,
        job=job,
        cron_schedule=f"{start.minute} {start.hour} * * *",
        execution_timezone=NEW_YORK,
        description=f"Every day at {start:%H:%M} New York time: a snapshot in backup.destination.",
    )
    @explain_failures
    def backup(context: dg.ScheduleEvaluationContext, settings: SettingsResource) -> dg.RunRequest | dg.SkipReason:
        if settings.load().backup.destination is None:
            return dg.SkipReason(_UNSET)
        if unfinished := context.instance.get_runs(dg.RunsFilter(job_name=BACKUP, statuses=UNFINISHED), limit=1):
            return dg.SkipReason(f"The run {unfinished[0].run_id} of an earlier backup is not finished yet.")
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d %H:%M}")

    return backup
