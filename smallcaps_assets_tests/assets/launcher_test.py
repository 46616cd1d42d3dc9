"""The launcher monitors the processes of runs; here processes that the tests start."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from smallcaps_assets.defs.runs.launcher import WatchedRunLauncher
from smallcaps_assets.defs.runs.orphans import fail_orphans
from smallcaps_assets.defs.runs.pool import COMMAND, VENDOR_POOL, settle_limit
from smallcaps_assets.defs.runs.workers import PROCESS_TAG, process_tag, worker
from smallcaps_assets.runtime.processes import CLOCK_SLACK_S, _start_time, is_alive, process_identity, process_of
from smallcaps_assets_tests.assets.conftest import IN_BOTH

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
FAILURE, CANCELED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
SLEEPS = "import time; print(flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


@contextmanager
def process_that(does: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", does], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def run_in(
    instance: dg.DagsterInstance,
    pid: int | None,
    status: dg.DagsterRunStatus = STARTED,
    tags: dict[str, str] | None = None,
) -> dg.DagsterRun:
    """A run that logged the id of its process, as Dagster's do."""
    run = instance.create_run_for_job(dg.job(name="any")(lambda: None), status=status, tags=tags)
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


def launcher_of(instance: dg.DagsterInstance) -> WatchedRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    return launcher


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    return launcher_of(instance).check_run_worker_health(run).status


def test_a_run_is_healthy_while_its_process_runs(instance: dg.DagsterInstance) -> None:
    assert launcher_of(instance).supports_check_run_worker_health
    with process_that(SLEEPS) as process:
        run = run_in(instance, process.pid)
        assert health(instance, run) == WorkerStatus.RUNNING
        process.kill()
        # until its exit status is read, the system still lists it
        while health(instance, run) == WorkerStatus.RUNNING:
            time.sleep(0.01)
        process.wait()
        assert health(instance, run) == WorkerStatus.FAILED


def test_a_later_process_with_the_same_id_is_not_taken_for_the_run() -> None:
    with process_that(SLEEPS) as process:
        began = time.time()
        assert process_of(process.pid, began) is not None
        # logged by a process with the same id that ended before this one started
        assert process_of(process.pid, began - 60) is None
        counted = _start_time(process.pid)
        assert is_alive(f"{process.pid}-{counted:.0f}")
        assert not is_alive(f"{process.pid}-{counted + 60:.0f}")
    assert CLOCK_SLACK_S < 60


def test_a_run_inside_a_command_is_watched_by_its_tag(instance: dg.DagsterInstance) -> None:
    run = run_in(instance, None, tags=process_tag())
    assert health(instance, run) == WorkerStatus.RUNNING
    found = worker(instance, run)
    assert found is not None
    assert found.pid == os.getpid()
    gone = run_in(instance, None, tags={PROCESS_TAG: "999999999-1"})
    assert health(instance, gone) == WorkerStatus.FAILED


def test_a_run_with_no_known_process_is_assumed_healthy(instance: dg.DagsterInstance) -> None:
    assert health(instance, run_in(instance, None)) == WorkerStatus.RUNNING


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot ignore it there")
def test_a_process_that_does_not_end_when_asked_to_is_killed(instance: dg.DagsterInstance) -> None:
    with process_that(DEAF) as process:
        run = run_in(instance, process.pid)
        assert launcher_of(instance).terminate(run.run_id)
        assert process.wait(60) == -9
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status == CANCELED


def test_a_process_that_has_ended_is_not_ended_again(instance: dg.DagsterInstance) -> None:
    run = run_in(instance, None)
    instance.report_run_failed(run)
    assert not launcher_of(instance).terminate(run.run_id)


def test_before_a_daemon_starts_only_orphaned_runs_are_failed(instance: dg.DagsterInstance) -> None:
    with process_that(SLEEPS) as process:
        runs = {
            "at work": run_in(instance, process.pid),
            "beginning": run_in(instance, process.pid, STARTING),
            "gone": run_in(instance, 999_999_999),
            "launched, and never heard of": run_in(instance, None, STARTING),
            "made": run_in(instance, None, dg.DagsterRunStatus.NOT_STARTED),
        }
        assert fail_orphans(instance) == 1
        assert failed(instance, runs) == {"gone"}
        assert fail_orphans(instance, no_daemon=True) == 1
        assert failed(instance, runs) == {"gone", "launched, and never heard of"}


def failed(instance: dg.DagsterInstance, runs: dict[str, dg.DagsterRun]) -> set[str]:
    now = {name: instance.get_run_by_id(run.run_id) for name, run in runs.items()}
    return {name for name, run in now.items() if run and run.status == FAILURE}


@IN_BOTH
def test_killed_runs_are_retried_and_failed_steps_are_not(instance: dg.DagsterInstance) -> None:
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 5
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert instance.run_monitoring_enabled
    run = run_in(instance, 999_999_999)
    fail_orphans(instance)
    killed = instance.get_run_by_id(run.run_id)
    assert killed is not None
    assert killed.tags["dagster/will_retry"] == "true"
    inside = run_in(instance, None, tags=process_tag() | {PROCESS_TAG: "999999999-1"})
    fail_orphans(instance)
    of_a_command = instance.get_run_by_id(inside.run_id)
    assert of_a_command is not None
    assert of_a_command.tags["dagster/will_retry"] == "false"


@IN_BOTH
def test_run_monitoring_frees_the_pool_slots_of_a_killed_command(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    settle_limit(instance)

    def holds(holder: str) -> bool:
        return storage.claim_concurrency_slot(VENDOR_POOL, holder, COMMAND).is_claimed

    with process_that(SLEEPS) as process:
        waiting = run_in(instance, process.pid)
        alive = f"{COMMAND}{process_identity()}"
        for holder, is_freed in ((alive, False), (f"{COMMAND}999999999-1", True)):
            assert holds(holder)
            assert not holds(waiting.run_id)
            assert health(instance, waiting) == WorkerStatus.RUNNING
            assert holds(waiting.run_id) is is_freed
            for taken in (holder, waiting.run_id):
                storage.free_concurrency_slots_for_run(taken)
