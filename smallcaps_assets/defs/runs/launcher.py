"""The run launcher: Dagster's default one, which also watches the process of each run.

Dagster's own leaves it to the code server to notice that the process of a run is gone, and to end it. If the code
server is gone too, nobody does: such a run stays STARTED for ever and keeps its place in the queue and its slot of the
pool.
"""

from contextlib import suppress

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.runs.leases import RUN_LEASE_S, Leases, sign_of_run
from smallcaps_assets.defs.runs.pool import free_orphaned_slots
from smallcaps_assets.defs.runs.run_tags import describe_run
from smallcaps_assets.defs.runs.settings_tag import settings_tag
from smallcaps_assets.defs.runs.workers import is_of_other_machine, machine_tag, worker, worker_is_gone
from smallcaps_assets.domain.words import describe_duration
from smallcaps_assets.runtime.processes import kill, wait_until_gone


class WatchedRunLauncher(DefaultRunLauncher):
    """Lets run monitoring check the process of a run, and ends that process when the run is to end.

    It launches runs on its own machine, where their processes are found by their ids. Processes of other machines are
    neither looked up nor ended.
    """

    # who finds a run without the mark of a machine may look its process up
    launches_here = True

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        """As Dagster's own launcher, from its section of dagster.yaml."""
        super().__init__(inst_data)
        self._leases = Leases()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Launch a run, tagged with settings and machine, and with what the run list shows: profile, wave, symbols."""
        run = context.dagster_run
        assets, symbols = run.asset_selection or (), self._instance.get_dynamic_partitions(SYMBOLS.name or "")
        tags = describe_run(run.tags, assets, symbols) | settings_tag() | machine_tag()
        self._instance.add_run_tags(run.run_id, tags)
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring checks every run that is under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the process is gone; a run with no known process is assumed healthy.

        A run on another machine is assumed healthy as long as its log grows.

        Also frees the slots of killed commands, which the steps of this run may be waiting for: Dagster frees only
        those of runs.
        """
        free_orphaned_slots(self._instance, self._leases)
        if is_of_other_machine(self._instance, run):
            return self._health_elsewhere(run)
        if worker_is_gone(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "the process of the run is gone: it was killed")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _health_elsewhere(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if not self._leases.is_over(run.run_id, sign_of_run(self._instance, run.run_id), RUN_LEASE_S):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"the run was on another machine and has logged nothing for {describe_duration(RUN_LEASE_S)}: that "
            "machine is gone",
        )

    def terminate(self, run_id: str) -> bool:
        """End a run and its process: interrupted first, killed after `run_monitoring.cancel_timeout_seconds`.

        Returns when the process is gone, so that a repetition never works beside it; False if nothing was to be ended.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        process = worker(self._instance, run)
        interrupted = self._interrupt(run_id)
        if process is None:
            return interrupted
        family = [process, *_children(process)]
        with suppress(psutil.NoSuchProcess):
            if not interrupted:
                process.terminate()
        left = wait_until_gone(family, self._instance.run_monitoring_cancel_timeout_seconds)
        # before the kill, which would otherwise count as a crash of the run
        self._report_canceled(run_id)
        kill(left)
        return True

    def _interrupt(self, run_id: str) -> bool:
        """Have the code server that launched the run interrupt it; False if that code server is gone."""
        try:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        except (DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            return False

    def _report_canceled(self, run_id: str) -> None:
        """Report the run as canceled if it did not do so itself."""
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceled(run, "Its process did not end when asked to, and was killed.")


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
