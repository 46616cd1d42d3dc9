"""Reads unfinished runs through Dagster; for `active_runs`, which imports this module only where there are any."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.commands.services.active_runs import ActiveRun
from smallcaps_assets.defs.partitions import partition_ends
from smallcaps_assets.defs.runs.run_tags import HOST_TAG, WAITS
from smallcaps_assets.defs.runs.workers import worker_is_gone
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.runtime.system_errors import system_error
from smallcaps_assets.settings.settings import PROFILES

_STATES: Final = {
    dg.DagsterRunStatus.QUEUED: "queued",
    dg.DagsterRunStatus.NOT_STARTED: "not started",
    dg.DagsterRunStatus.STARTING: "starting",
    dg.DagsterRunStatus.STARTED: "running",
    dg.DagsterRunStatus.CANCELING: "ending",
}
_GONE: Final = "its process is gone"
_LAST_EVENTS: Final = 200
_ASSETS_NAMED: Final = 2


def read_unfinished(folder: Path) -> list[ActiveRun]:
    """The unfinished runs of a state, the oldest first.

    Raises:
        SettingsError: the state cannot be read.
    """
    try:
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            records = instance.get_run_records(dg.RunsFilter(statuses=list(_STATES)))
            return [_describe_run(instance, record) for record in reversed(records)]
    except Exception as error:  # a storage is a plug-in: its errors have no common root
        if known := system_error(error, folder):
            raise SettingsError(str(known)) from error
        cause = " ".join(str(error).split())
        raise SettingsError(
            f"{folder}: Dagster's state cannot be read ({cause}). `smallcaps check` says more."
        ) from error


def _describe_run(instance: dg.DagsterInstance, record: dg.RunRecord) -> ActiveRun:
    run = record.dagster_run
    state, begun = _STATES[run.status], run.status not in {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED}
    if begun and worker_is_gone(instance, run):
        state = _GONE
    # a run that has not begun has no log, and reading it would create one
    entries = _last_entries(instance, run.run_id) if begun else []
    logged = next((entry for entry in entries if entry.dagster_event is None), None)
    steps = [entry.step_key for entry in entries if entry.step_key]
    assets = sorted(run.asset_selection or ())
    ends = partition_ends(run.tags)
    since = record.start_time or record.create_timestamp.timestamp()
    return ActiveRun(
        run_id=run.run_id,
        job=_job(run.job_name, assets),
        profile=_only(
            name for name in PROFILES if run.job_name.startswith(f"{name}_") or any(name in key.path for key in assets)
        ),
        wave=_only({end.partition("|")[2] for end in ends} & set(WAVES)) or _only(set(steps[:1]) & set(WAVES)),
        symbols=" to ".join(dict.fromkeys(end.partition("|")[0] for end in ends)),
        state=state,
        since=datetime.fromtimestamp(since, UTC),
        log_line=logged.user_message if logged else "",
        logged_at=datetime.fromtimestamp(logged.timestamp, UTC) if logged else None,
        machine=run.tags.get(HOST_TAG, "").removesuffix(WAITS) if begun else "",
    )


def _last_entries(instance: dg.DagsterInstance, run_id: str) -> Sequence[dg.EventLogEntry]:
    """The last entries of the log of a run, the newest first."""
    found = instance.event_log_storage.get_records_for_run(run_id, limit=_LAST_EVENTS, ascending=False)
    return [record.event_log_entry for record in found.records]


def _job(name: str, assets: Sequence[dg.AssetKey]) -> str:
    if not name.startswith("__") or not assets:
        return name
    more = len(assets) - _ASSETS_NAMED
    return ", ".join(key.to_user_string() for key in assets[:_ASSETS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _only(found: Iterable[str]) -> str:
    """The one element; empty if there is none or several."""
    different = set(found)
    return different.pop() if len(different) == 1 else ""
