"""The run launcher for several machines: runs go to workers through a broker, as with dagster-celery's own.

Dagster-celery's launcher takes what the broker last heard for the state of a run, so a run whose machine has died stays
STARTED for ever; it kills a cancelled run without recording anything; and its workers fork processes that outlive
them. Here the worker is asked, and everything that ends a run goes through Dagster's state, at which the worker looks
every few seconds.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import dagster as dg
from celery import Celery
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher

from smallcaps_assets.defs.runs.cluster.broker import TASK, UNREACHABLE, WORKER_TAG, prepare, runs_of
from smallcaps_assets.defs.runs.health import HEALTHY, check_process, end_process, failed
from smallcaps_assets.defs.runs.leases import Leases
from smallcaps_assets.defs.runs.pool import free_orphaned_slots
from smallcaps_assets.defs.runs.run_tags import HOST_TAG, WAITS, tags_at_launch
from smallcaps_assets.defs.runs.workers import MACHINE_TAG, identity_of_worker, worker

# a worker that has not answered for so long, asked at least twice, is gone with its machine
PATIENCE_S: Final = 12.0
# workers may need so long to find a broker that was away
BROKER_IS_BACK_S: Final = 60.0
# of one worker, for the runs of one look
_ANSWER_HOLDS_S: Final = 3.0
_LOOK_EVERY_S: Final = 0.5


class ClusterRunLauncher(CeleryRunLauncher):
    """Sends runs to workers, asks the workers whether they execute them, and has them end those that are to end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 -- as dagster-celery's, from dagster.yaml
        """From its section of dagster.yaml; connects to nothing."""
        super().__init__(*args, **kwargs)
        self._leases = Leases()
        self._watch = WorkerWatch(lambda worker: runs_of(self.app, worker))
        self._is_prepared = False

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "ClusterRunLauncher":
        """The launcher of a section of dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def app(self) -> Celery:
        """The application that reaches the broker.

        Raises:
            ServiceEnded: see `prepare`.
        """
        if not self._is_prepared:
            prepare(self.celery, self._instance)
            self._is_prepared = True
        return self.celery

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put the id of a run into the queue; its tags say that it waits, and on which machine it is later.

        Nothing is tagged once the id is in the queue: Dagster writes all tags of a run at once, and would undo what its
        worker has written meanwhile. So the task has the id of the run, and not one that the run would have to know.
        """
        run, app = context.dagster_run, self.app
        # Dagster copies tags to the repetition of a run
        nowhere = {MACHINE_TAG: "", WORKER_TAG: "", HOST_TAG: WAITS}
        self._instance.add_run_tags(run.run_id, tags_at_launch(self._instance, run) | nowhere)
        app.send_task(TASK, args=[run.run_id], task_id=run.run_id, queue=self.default_queue)
        self._instance.report_engine_event("The run is in the queue of the workers.", run, cls=type(self))

    @property
    def supports_resume_run(self) -> bool:
        """A run whose machine is gone is repeated."""
        return False

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED once the worker of a run says that it does not execute it, or has not answered for `PATIENCE_S`.

        While the broker is away, nothing is known and every run is assumed healthy. Also frees the slots of killed
        commands, as `WatchedRunLauncher` does.
        """
        free_orphaned_slots(self._instance, self._leases)
        name = run.tags.get(WORKER_TAG)
        if identity_of_worker(run) or not name:
            return check_process(self._instance, self._leases, run)
        why = self._watch.reason_to_give_up(run.run_id, name)
        return failed(f"{why}; it was on {run.tags.get(HOST_TAG)}") if why else HEALTHY

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,  # noqa: ARG002, FBT001, FBT002 -- Dagster's
    ) -> str | None:
        """On which machine a run is, or that it waits for one."""
        return f"machine: {run.tags.get(HOST_TAG, WAITS)}"

    def terminate(self, run_id: str) -> bool:
        """Have the worker end a run; returns when its process is gone, or its worker did not act in time.

        The worker sees the status CANCELING, interrupts the process, kills it in time, and then reports the run as
        canceled. If it does not, because its machine is gone, run monitoring does after
        `run_monitoring.cancel_timeout_seconds`.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        inside = worker(self._instance, run) if identity_of_worker(run) else None
        if inside is not None:
            end_process(self._instance, run_id, inside, asked=False)
            return True
        end = time.monotonic() + self._instance.run_monitoring_cancel_timeout_seconds
        while time.monotonic() < end and not self._is_finished(run_id):
            time.sleep(_LOOK_EVERY_S)
        return True

    def _is_finished(self, run_id: str) -> bool:
        run = self._instance.get_run_by_id(run_id)
        return run is None or run.is_finished


class WorkerWatch:
    """Which workers answer, and for how long others have not. Counts by its own clock, from its first look on."""

    def __init__(self, ask: Callable[[str], set[str] | None], clock: Callable[[], float] = time.monotonic) -> None:
        """Ask with `ask`, which returns the runs of a worker or None, or raises one of UNREACHABLE."""
        self._ask, self._clock = ask, clock
        self._answers: dict[str, tuple[float, set[str] | None]] = {}
        self._missed_since: dict[str, float] = {}
        self._broker_failed_at: float | None = None

    def reason_to_give_up(self, run_id: str, worker: str) -> str | None:
        """Why a run counts as ended; None as long as it may be going on.

        A first answer without the run gives no reason: the run may have ended in this moment, or begin in it.
        """
        try:
            runs = self._answer(worker)
        except UNREACHABLE:
            self._broker_failed_at = self._clock()
            self._missed_since.clear()
            return None
        now = self._clock()
        if runs is not None and run_id in runs:
            self._missed_since.pop(run_id, None)
            return None
        if self._broker_failed_at is not None and now - self._broker_failed_at < BROKER_IS_BACK_S:
            return None
        missed_s = now - self._missed_since.setdefault(run_id, now)
        if runs is not None:
            return "the worker of the run works on, but not on this run" if missed_s > 0 else None
        return f"the worker of the run has not answered for {missed_s:.0f} s" if missed_s >= PATIENCE_S else None

    def _answer(self, worker: str) -> set[str] | None:
        now = self._clock()
        asked, answer = self._answers.get(worker, (-_ANSWER_HOLDS_S, None))
        if worker not in self._answers or now - asked >= _ANSWER_HOLDS_S:
            answer = self._ask(worker)
            self._answers = {name: known for name, known in self._answers.items() if now - known[0] < _ANSWER_HOLDS_S}
            self._answers[worker] = (now, answer)
        return answer
