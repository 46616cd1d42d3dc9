"""Whether the process of a run is still there, and how it is ended: of processes that this machine can see."""

from contextlib import suppress

import dagster as dg
import psutil
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from smallcaps_assets.defs.runs.leases import RUN_LEASE_S, Leases, sign_of_run
from smallcaps_assets.defs.runs.workers import is_of_other_machine, worker_is_gone
from smallcaps_assets.domain.words import describe_duration
from smallcaps_assets.runtime.processes import kill, wait_until_gone

HEALTHY = CheckRunHealthResult(WorkerStatus.RUNNING)


def check_process(instance: dg.DagsterInstance, leases: Leases, run: dg.DagsterRun) -> CheckRunHealthResult:
    """FAILED once the process of a run is gone; a run with no known process is assumed healthy.

    A run on another machine is assumed healthy as long as its log grows.
    """
    if not is_of_other_machine(instance, run):
        gone = worker_is_gone(instance, run)
        return failed("the process of the run is gone: it was killed") if gone else HEALTHY
    if not leases.is_over(run.run_id, sign_of_run(instance, run.run_id), RUN_LEASE_S):
        return HEALTHY
    return failed(
        f"the run was on another machine and has logged nothing for {describe_duration(RUN_LEASE_S)}: that machine is "
        "gone"
    )


def failed(why: str) -> CheckRunHealthResult:
    """The verdict that makes run monitoring fail a run, which is then repeated."""
    return CheckRunHealthResult(WorkerStatus.FAILED, why)


def end_process(instance: dg.DagsterInstance, run_id: str, process: psutil.Process, *, asked: bool) -> None:
    """End the process of a run and what it started, and report the run as canceled if it did not do so itself.

    Args:
        instance: Dagster's state.
        run_id: of the run.
        process: in which it executes.
        asked: it was interrupted already.
    """
    family = [process, *_children(process)]
    with suppress(psutil.NoSuchProcess):
        if not asked:
            process.terminate()
    left = wait_until_gone(family, instance.run_monitoring_cancel_timeout_seconds)
    # before the kill, which would otherwise count as a crash of the run
    report_canceled(instance, run_id, "Its process did not end when asked to, and was killed.")
    kill(left)


def report_canceled(instance: dg.DagsterInstance, run_id: str, why: str) -> None:
    """Report a run as canceled if it is not finished."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, why)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
