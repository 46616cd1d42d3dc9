"""How the daemon launches runs: as Dagster does by default, and with an eye on the process of each.

Dagster's own launcher leaves it to the code server to notice that a run's process is gone, and to end it. Where the
code server went too, nobody would: such a run would be STARTED for ever, and keep its place and its slot of the pool.
"""

from contextlib import suppress

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from smallcaps_assets.defs.runs.pool import free_slots_of_the_dead
from smallcaps_assets.defs.runs.workers import has_lost_its_worker, worker
from smallcaps_assets.runtime.processes import kill, wait_until_gone


class WatchedRunLauncher(DefaultRunLauncher):
    """Lets run monitoring see whether the process of a run is there, and ends that process when the run is to end.

    Processes are looked up by their ids: all of one state must run on one machine.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks for every run that seems to go on."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the process is gone; a run with no known process is assumed healthy.

        Also frees what a killed command holds of the pool, which the steps of this run may be waiting for: Dagster
        frees the slots of runs only.
        """
        free_slots_of_the_dead(self._instance)
        if has_lost_its_worker(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the run is gone: it was killed")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """End a run and its process: asked first, killed after `run_monitoring.cancel_timeout_seconds`.

        Returns when the process is gone, so that a retry never works beside it. False where there was nothing to end.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        process = worker(self._instance, run)
        asked = self._ask(run_id)
        if process is None:
            return asked
        family = [process, *_children(process)]
        with suppress(psutil.NoSuchProcess):
            if not asked:
                process.terminate()
        left = wait_until_gone(family, self._instance.run_monitoring_cancel_timeout_seconds)
        # before the kill, which else counts as a crash of the run
        self._report_canceled(run_id)
        kill(left)
        return True

    def _ask(self, run_id: str) -> bool:
        """Ask the code server that launched the run to end it; False where it is not there to be asked."""
        try:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        except (DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            return False

    def _report_canceled(self, run_id: str) -> None:
        """Say that the run was canceled where it could not say so itself."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceled(run, "Its process did not end when asked to, and was killed.")


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
