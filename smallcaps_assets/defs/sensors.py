"""The sensor that tells of failed runs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from smallcaps_assets.defs.resources import SettingsResource
from smallcaps_assets.defs.runs.run_log import first_cause
from smallcaps_assets.pipeline.operations.notices import Notice, post_notice, write_notice
from smallcaps_assets.settings.settings import home, notice_url

PARTITION: Final = "dagster/partition"
EVERY_S: Final = 30


@dg.run_failure_sensor(
    minimum_interval_seconds=EVERY_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes one line of JSON for each failed run (time, run, job, partitions, step, cause) to "
    "notices.file, and posts it to the address in the environment variable notices.url_variable, if that is set.",
)
def failure_notice(context: dg.RunFailureSensorContext, settings: SettingsResource) -> None:
    """Write down that a run failed, then post it; a post that fails makes the sensor's tick fail, not the next ones."""
    params = settings.load().notices
    notice = notice_of(context, settings.now())
    write_notice(home() / params.file, notice)
    url = notice_url(params)
    if url is not None:
        post_notice(url, notice, params.timeout_s)


def notice_of(context: dg.RunFailureSensorContext, at: datetime) -> Notice:
    """What is to be told of a failed run: the step that failed first, and the first cause of that."""
    run, failed = context.dagster_run, context.get_step_failure_events()
    first = failed[0] if failed else None
    error = first.step_failure_data.error if first else None
    return {
        "time": at.astimezone(UTC).isoformat(timespec="seconds"),
        "run_id": run.run_id,
        "job": run.job_name,
        "partitions": _partitions(run.tags),
        "step": first.step_key if first else None,
        "cause": first_cause(error) if error else context.failure_event.message,
    }


def _partitions(tags: Mapping[str, str]) -> str | None:
    first, last = (tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    return f"{first}...{last}" if first and last else tags.get(PARTITION)
