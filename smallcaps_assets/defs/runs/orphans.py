"""Orphaned runs: their process is gone, yet they are STARTED for ever and keep their place in the queue and the pool.

While a daemon runs, its run monitoring finds them. This module finds them before a daemon starts and for commands that
need no daemon: a backfill that the daemon resumes must find them failed, with their repetition decided. Runs of other
machines are left alone: only the daemon, which looks again and again, can tell that one of them shows no sign of life.
"""

import dagster as dg

from smallcaps_assets.defs.runs.workers import identity_of_worker, is_of_other_machine, worker, worker_is_gone

_STATUSES = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def fail_orphans(instance: dg.DagsterInstance, *, no_daemon: bool = False) -> int:
    """Mark orphaned runs as failed and free their slots of the pool; returns how many there were.

    Args:
        instance: Dagster's state.
        no_daemon: no daemon uses this state, so nobody completes a launch that is under way.
    """
    orphans = [
        run
        for run in instance.get_runs(dg.RunsFilter(statuses=_STATUSES))
        if _is_orphan(instance, run, no_daemon=no_daemon)
    ]
    for run in orphans:
        instance.report_run_failed(run, message="The process that this run went on in is gone: it was killed.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(orphans)


def _is_orphan(instance: dg.DagsterInstance, run: dg.DagsterRun, *, no_daemon: bool) -> bool:
    if run.status == dg.DagsterRunStatus.STARTED or identity_of_worker(run):
        return worker_is_gone(instance, run)
    # a process that starts late finds its run failed, and ends; a run NOT_STARTED is submitted again by the next daemon
    starting = no_daemon and run.status == dg.DagsterRunStatus.STARTING
    return starting and not is_of_other_machine(instance, run) and worker(instance, run) is None
