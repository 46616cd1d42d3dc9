"""Executes runs of other machines' daemon: each in a process of its own, which ends with this one.

Each process is new, so that it reads the settings as they are now. A run may be ended elsewhere (cancelled, or given
up because this machine did not answer). Dagster's state says so: the worker that waits for the process looks there
every few seconds, and ends it. So a run that was given up never works on beside its repetition for long.
"""

import math
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock, Thread
from typing import Final

import dagster as dg
import psutil
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value

from smallcaps_assets.commands.services import child
from smallcaps_assets.commands.services.services import exit_text
from smallcaps_assets.defs.runs.cluster.broker import WORKER_TAG
from smallcaps_assets.defs.runs.health import report_canceled
from smallcaps_assets.defs.runs.run_tags import HOST_TAG
from smallcaps_assets.defs.runs.workers import MACHINE_TAG
from smallcaps_assets.runtime.machines import machine_mark
from smallcaps_assets.runtime.processes import kill, process_identity, wait_until_gone
from smallcaps_assets.settings.settings import home

# a run begins in one of these, and in another only if something was decided about it while it waited
_MAY_BEGIN: Final = {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED}
_LOOK_EVERY_S: Final = 2.0
_POLL_S: Final = 0.2
# a process that has recorded the success of its run ends by itself in this time
_DONE_S: Final = 60.0
# and one that has recorded a failure in this; one whose run was given up does not know it
_GIVEN_UP_S: Final = 3.0
# of the time that run monitoring waits for a cancelled run, the share in which its process may end by itself
_SHARE_TO_END: Final = 0.5
# when the worker itself ends; as for `smallcaps ui`
_RUNS_END_WITHIN_S: Final = 40.0
_REPORTED_WITHIN_S: Final = 60.0


class RunWorker:
    """Executes runs, several at once in threads of its caller, until `end_all`."""

    def __init__(self, instance: dg.DagsterInstance, name: str, log: Callable[[str], None]) -> None:
        """A worker of a state.

        Args:
            instance: Dagster's state.
            name: under which this worker answers.
            log: receives a sentence for the terminal.
        """
        self._instance, self._name, self._log = instance, name, log
        self._ends, self._lock, self._number = Event(), Lock(), 0

    def end_all(self, then: Callable[[], None]) -> None:
        """Interrupt every run, now and those that come; each is killed if it has not ended after 40 s.

        Until then this worker is to answer that it executes them. `then` is called, in a thread, when all have ended.
        """
        if self._ends.is_set():
            return
        self._ends.set()

        def wait() -> None:
            while self._number:
                time.sleep(_POLL_S)
            then()

        Thread(target=wait, name="end of runs", daemon=True).start()

    def execute(self, run_id: str) -> None:
        """Execute a run and return when its process has ended; a run that is over or unknown is left alone."""
        with self._counted():
            self._execute(run_id)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self._number += 1
        try:
            yield
        finally:
            with self._lock:
                self._number -= 1

    def _execute(self, run_id: str) -> None:
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.status not in _MAY_BEGIN or run.job_code_origin is None:
            self._log(f"run {run_id} is {run.status.value.lower() if run else 'unknown'} here: not started")
            return
        here = {WORKER_TAG: self._name, HOST_TAG: platform.node(), MACHINE_TAG: machine_mark()}
        self._instance.add_run_tags(run_id, here)
        started = time.monotonic()
        self._log(f"run {run_id} starts")
        arguments = ExecuteRunArgs(run.job_code_origin, run_id, instance_ref=None, set_exit_code_on_failure=True)
        try:
            process = _start(arguments)
        except OSError as error:
            self._instance.report_run_failed(run, f"Its process could not be started on {platform.node()}: {error}.")
            return
        try:
            self._wait(run_id, process)
        finally:
            kill(_family(process))
            process.wait()
        self._report(run_id, process.returncode)
        self._log(f"run {run_id} ended after {time.monotonic() - started:.0f} s with {exit_text(process.returncode)}")

    def _wait(self, run_id: str, process: "subprocess.Popen[bytes]") -> None:
        """Wait until a process ends, has been asked to end in vain, or works on a run that was given up."""
        looked, kill_at = time.monotonic(), math.inf
        while process.poll() is None and time.monotonic() < kill_at:
            time.sleep(_POLL_S)
            if self._ends.is_set() and kill_at == math.inf:
                kill_at = _interrupt(process, _RUNS_END_WITHIN_S)
            if time.monotonic() - looked < _LOOK_EVERY_S:
                continue
            looked = time.monotonic()
            # a state that does not answer now is asked again; the run itself fails if it cannot record anything
            with suppress(Exception):
                run = self._instance.get_run_by_id(run_id)
                if run is None or (run.is_finished and not run.is_success):
                    wait_until_gone(_family(process), _GIVEN_UP_S)
                    return
                if run.is_success and kill_at == math.inf:
                    kill_at = time.monotonic() + _DONE_S
                if run.status == dg.DagsterRunStatus.CANCELING and kill_at == math.inf:
                    within_s = _SHARE_TO_END * self._instance.run_monitoring_cancel_timeout_seconds
                    kill_at = _interrupt(process, within_s)

    def _report(self, run_id: str, code: int) -> None:
        """Record the end of a run that could not do so itself."""
        end = time.monotonic() + _REPORTED_WITHIN_S
        while time.monotonic() < end:
            with suppress(Exception):
                run = self._instance.get_run_by_id(run_id)
                if run is None or run.is_finished:
                    return
                if run.status == dg.DagsterRunStatus.CANCELING:
                    report_canceled(self._instance, run_id, "Its process did not end when asked to, and was killed.")
                else:
                    why = f"The process of the run on {platform.node()} ended unexpectedly with {exit_text(code)}."
                    self._instance.report_run_failed(run, why)
                return
            time.sleep(_LOOK_EVERY_S)


def _start(arguments: ExecuteRunArgs) -> "subprocess.Popen[bytes]":
    command = ["dagster", "api", "execute_run", serialize_value(arguments)]
    return subprocess.Popen(  # noqa: S603 -- this interpreter
        [sys.executable, "-m", child.__name__, process_identity(), *command],
        cwd=home(),
        # the process ends when this one closes it, or is killed
        stdin=subprocess.PIPE,
        start_new_session=sys.platform != "win32",
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def _interrupt(process: "subprocess.Popen[bytes]", within_s: float) -> float:
    """Interrupt a process; returns until when it may end by itself. On Windows, where none can be, kill it."""
    with suppress(OSError):
        process.kill() if sys.platform == "win32" else process.send_signal(signal.SIGINT)
    return time.monotonic() + within_s


def _family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """A process and what it started; empty once it has ended, since its number may be another's by then."""
    if process.poll() is not None:
        return []
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    return []
