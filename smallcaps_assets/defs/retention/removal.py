"""What the job `retention` removes from Dagster's state: logs, runs and records of which nothing is shown any more."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES

from smallcaps_assets.defs.retention.event_log import EventLog
from smallcaps_assets.settings.operations import RetentionParams

# tells on the page of a run why its log is empty
LOG_TAG: Final = "smallcaps/log"
_FINISHED: Final = list(FINISHED_STATUSES)
_UNFINISHED: Final = list(NOT_FINISHED_STATUSES)


@dataclass
class Removed:
    """What was removed, in numbers."""

    records: int = 0
    checks: int = 0
    events: int = 0
    runs: int = 0
    logs: int = 0


def has_old_runs(instance: dg.DagsterInstance, now: datetime, params: RetentionParams) -> bool:
    """Whether a run is old enough for its log to be removed."""
    if params.log_days is None:
        return False
    chosen = dg.RunsFilter(statuses=_FINISHED, created_before=now - timedelta(days=params.log_days))
    return instance.get_runs_count(chosen) > 0


def remove_old(
    instance: dg.DagsterInstance, now: datetime, params: RetentionParams, log: Callable[[str], None]
) -> Removed:
    """Remove what is older than the settings say, and is not the present state of any partition, table or check.

    A run that ended `log_days` ago is removed with its log. Where it recorded what is still the latest of a partition,
    the run stays with these records and loses its log; where a partition failed in it and was not made since, it keeps
    its log as well. Killed at any moment, it has removed less.

    Raises:
        SettingsError: the event log is not one that this knows; nothing was removed.
    """
    done = Removed()
    if params.log_days is None:
        return done
    events, before = EventLog(instance), now - timedelta(days=params.log_days)
    days_of_tables = None if params.table_days is None else now - timedelta(days=params.table_days)
    first = events.first_since(before)
    first_of_tables = 0 if days_of_tables is None else min(first, events.first_since(days_of_tables))
    unfinished = {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))}
    for asset in instance.all_asset_keys():
        done.records += events.remove_superseded(asset, first, first_of_tables, unfinished)
    log(f"{done.records:,} records of assets removed that later ones replaced")
    done.checks = events.remove_checks(before, unfinished)
    done.events = events.remove_runless(first, before)
    _remove_runs(instance, events, first, before, done)
    log(f"{done.runs:,} runs and the logs of {done.logs:,} more removed")
    return done


def _remove_runs(instance: dg.DagsterInstance, events: EventLog, first: int, before: datetime, done: Removed) -> None:
    holding, failed = events.runs_with_records(first), events.runs_of_failed_partitions(first)
    old = dg.RunsFilter(statuses=_FINISHED, created_before=before)
    for run_id in instance.get_run_ids(old):
        record = instance.get_run_record_by_id(run_id)
        if record is None or (record.end_time or 0.0) >= before.timestamp():
            continue
        if run_id not in holding:
            events.clear(run_id)
            instance.delete_run(run_id)
            events.forget_file(run_id)
            done.runs += 1
        elif run_id not in failed and LOG_TAG not in record.dagster_run.tags:
            done.events += events.strip(run_id)
            instance.add_run_tags(run_id, {LOG_TAG: "removed: retention.log_days"})
            done.logs += 1
    for run_id in events.files_without_run(instance):
        events.forget_file(run_id)
