"""Runs whose process is gone: they would seem to go on for ever, and keep their place among those that may.

While a daemon is at work, its run monitoring finds them. Before one starts, and for commands that work without one,
this does: a backfill that a daemon resumes must find them failed, with their retry decided.
"""

from typing import Final

import dagster as dg

from smallcaps_assets.defs.runs.workers import PROCESS_TAG, has_lost_its_worker, worker

STARTED: Final = dg.DagsterRunStatus.STARTED
BEFORE_START: Final = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED)


def fail_orphans(instance: dg.DagsterInstance, *, no_daemon: bool = False) -> int:
    """Mark the runs of processes that are gone as failed and free what they held; returns how many there were.

    Args:
        instance: Dagster's state.
        no_daemon: no daemon works on this state, so that a launch that is under way is nobody's any more.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=[STARTED, *BEFORE_START]))
    gone = [run for run in runs if _is_gone(instance, run, no_daemon=no_daemon)]
    for run in gone:
        instance.report_run_failed(run, message="The process that this run went on in is gone: it was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(gone)


def _is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun, *, no_daemon: bool) -> bool:
    """Whether nothing works on a run. One that a daemon only made is left to the next: it submits it again."""
    if run.status == STARTED or PROCESS_TAG in run.tags:
        return has_lost_its_worker(instance, run)
    # a worker that comes late finds its run failed, and ends
    return no_daemon and run.status == dg.DagsterRunStatus.STARTING and worker(instance, run) is None
