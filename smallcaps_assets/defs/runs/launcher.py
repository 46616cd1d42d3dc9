"""The run launcher: Dagster's default one, which also watches the process of each run.

Dagster's own leaves it to the code server to notice that the process of a run is gone, and to end it. If the code
server is gone too, nobody does: such a run stays STARTED for ever and keeps its place in the queue and its slot of the
pool.
"""

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext
from dagster._serdes import ConfigurableClassData

from smallcaps_assets.defs.runs.health import check_process, end_process
from smallcaps_assets.defs.runs.leases import Leases
from smallcaps_assets.defs.runs.pool import free_orphaned_slots
from smallcaps_assets.defs.runs.run_tags import tags_at_launch
from smallcaps_assets.defs.runs.workers import machine_tag, worker


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
        self._instance.add_run_tags(run.run_id, tags_at_launch(self._instance, run) | machine_tag())
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring checks every run that is under way."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """See `check_process`.

        Also frees the slots of killed commands, which the steps of this run may be waiting for: Dagster frees only
        those of runs.
        """
        free_orphaned_slots(self._instance, self._leases)
        return check_process(self._instance, self._leases, run)

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
        end_process(self._instance, run_id, process, asked=interrupted)
        return True

    def _interrupt(self, run_id: str) -> bool:
        """Have the code server that launched the run interrupt it; False if that code server is gone."""
        try:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        except (DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            return False
