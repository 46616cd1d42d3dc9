"""Several machines: when a run is given up, how many leave the queue, and what a worker does not start."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import LaunchRunContext, WorkerStatus
from kombu.exceptions import OperationalError

from smallcaps_assets.definitions import defs
from smallcaps_assets.defs.runs.cluster import queue
from smallcaps_assets.defs.runs.cluster.broker import SECONDS_PER_ANSWER, TASK, WORKER_TAG
from smallcaps_assets.defs.runs.cluster.launcher import BROKER_IS_BACK_S, PATIENCE_S, ClusterRunLauncher, WorkerWatch
from smallcaps_assets.defs.runs.cluster.queue import DAEMON_THREAD, ClusterRunQueue
from smallcaps_assets.defs.runs.run_tags import HOST_TAG, WAITS
from smallcaps_assets.defs.runs.workers import PROCESS_TAG
from smallcaps_assets.errors import ServiceEnded, SettingsError
from smallcaps_assets.lake.identity import LAKE_ID_KEY
from smallcaps_assets_tests.repository import REPOSITORY

OVERRIDE = REPOSITORY / "deploy" / "celery" / "dagster.yaml"
NOWHERE = "redis://:a-password@127.0.0.1:9/0"


class Workers:
    """Answers of workers, and a clock, that the test sets."""

    def __init__(self) -> None:
        self.now, self.asked = 1_000.0, 0
        self.answer: set[str] | None = {"run"}
        self.broker_is_away = False
        self.watch = WorkerWatch(self.ask, lambda: self.now)

    def ask(self, worker: str) -> set[str] | None:  # noqa: ARG002
        self.asked += 1
        if self.broker_is_away:
            raise OperationalError("no route to host")
        return self.answer

    def after(self, seconds: float, run: str = "run") -> str | None:
        self.now += seconds
        return self.watch.reason_to_give_up(run, "worker")


def test_a_run_is_given_up_when_its_worker_has_not_answered_for_the_stated_time() -> None:
    workers = Workers()
    assert workers.after(0) is None
    workers.answer = None
    # the patience counts from the first look that found no answer
    assert workers.after(5) is None
    assert workers.after(PATIENCE_S - 1) is None
    workers.answer = {"run"}
    assert workers.after(5) is None
    workers.answer = None
    assert workers.after(5) is None
    assert workers.after(PATIENCE_S - 1) is None
    assert workers.after(1) == f"the worker of the run has not answered for {PATIENCE_S:.0f} s"


def test_a_run_is_given_up_when_its_worker_says_twice_that_it_does_not_execute_it() -> None:
    workers = Workers()
    workers.answer = {"another run"}
    assert workers.after(0) is None
    assert workers.after(5) == "the worker of the run works on, but not on this run"


def test_nothing_is_given_up_while_the_broker_is_away_and_until_workers_have_found_it_again() -> None:
    workers = Workers()
    workers.answer = None
    assert workers.after(0) is None
    workers.broker_is_away = True
    assert workers.after(2 * PATIENCE_S) is None
    workers.broker_is_away = False
    # workers look for the broker meanwhile, at longer and longer intervals
    assert workers.after(5) is None
    assert workers.after(2 * PATIENCE_S) is None
    assert workers.after(BROKER_IS_BACK_S - 2 * PATIENCE_S - 6) is None
    # the patience counts from here on
    assert workers.after(5) is None
    assert workers.after(PATIENCE_S) is not None


@pytest.mark.parametrize(("killed", "worst_s"), [(1, 21), (2, 27)])
def test_the_runs_of_a_killed_machine_are_given_up_within_half_a_minute_with_the_settings_of_deploy(
    killed: int, worst_s: float
) -> None:
    """Looks begin every 5 s and then wait 2 s for each machine that is gone.

    So with one machine gone looks end 7 s apart: the first one without an answer at most 7 s after the death, the
    patience of 12 s is over at the second one after it, 21 s. With two it is 9 s, and 27. What else a look costs comes
    on top: three deaths were noticed after 18.1 to 21.7 s on a busy machine.
    """
    poll_s = yaml.safe_load(OVERRIDE.read_text(encoding="utf-8"))["run_monitoring"]["poll_interval_seconds"]
    for tenths in range(10 * poll_s):
        workers = Workers()
        # the look before the death, which comes within the pause that follows
        assert workers.after(0) is None
        death = workers.now + tenths / 10
        workers.answer = None
        reason = None
        while reason is None:
            reason = workers.after(poll_s + killed * SECONDS_PER_ANSWER)
        assert workers.now - death <= worst_s <= 30


def test_a_worker_is_asked_once_for_all_of_its_runs() -> None:
    workers = Workers()
    for number in range(20):
        workers.after(0.1, f"run {number}")
    assert workers.asked == 1
    workers.after(5)
    assert workers.asked == 2


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A state in a folder, with launcher and queue of the cluster, and a broker that is not there."""
    document = yaml.safe_load(OVERRIDE.read_text(encoding="utf-8"))
    document["run_launcher"]["config"]["broker"] = NOWHERE
    del document["storage"], document["concurrency"]["pools"]
    document["telemetry"] = {"enabled": False}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def launcher_of(instance: dg.DagsterInstance) -> ClusterRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, ClusterRunLauncher)
    return launcher


def test_keys_in_the_broker_begin_with_the_id_of_the_lake(instance: dg.DagsterInstance) -> None:
    launcher = launcher_of(instance)
    with pytest.raises(ServiceEnded, match="no worker has joined this lake yet"):
        _ = launcher.app
    instance.daemon_cursor_storage.set_cursor_values({LAKE_ID_KEY: "0123abcd"})
    settings = launcher.app.conf
    assert settings.broker_transport_options["global_keyprefix"] == "smallcaps:0123abcd:"
    assert settings.worker_disable_prefetch
    assert settings.worker_max_tasks_per_child == 1
    assert not settings.task_acks_late
    assert "a-password" not in launcher.app.connection_for_write().as_uri()


def test_the_launcher_writes_no_tag_after_a_worker_may_have(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.daemon_cursor_storage.set_cursor_values({LAKE_ID_KEY: "0123abcd"})
    launcher = launcher_of(instance)
    run = instance.create_run_for_job(dg.job(name="any")(lambda: None), tags={HOST_TAG: "of the run it repeats"})
    before: list[str | None] = []

    def worker_is_fast(name: str, **sent: object) -> None:
        assert name == TASK
        assert sent == {"args": [run.run_id], "task_id": run.run_id, "queue": "dagster"}
        before.append(host_in(instance, run.run_id))
        instance.add_run_tags(run.run_id, {HOST_TAG: "node-1"})

    monkeypatch.setattr(launcher.app, "send_task", worker_is_fast)
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    assert before == [WAITS]
    assert host_in(instance, run.run_id) == "node-1"


def host_in(instance: dg.DagsterInstance, run_id: str) -> str | None:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.tags.get(HOST_TAG)


def queue_of(instance: dg.DagsterInstance) -> ClusterRunQueue:
    coordinator = instance.run_coordinator
    assert isinstance(coordinator, ClusterRunQueue)
    return coordinator


def limit_in(thread: str, coordinator: ClusterRunQueue) -> int:
    """How many runs a thread of this name may have under way at once; -1 without a limit."""
    with ThreadPoolExecutor(1, thread_name_prefix=thread) as pool:
        return pool.submit(coordinator.get_run_queue_config).result().max_concurrent_runs


def test_only_the_daemon_asks_how_many_places_workers_have(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def places(app: object) -> dict[str, int]:  # noqa: ARG001
        asked.append(threading.current_thread().name)
        return {"1-1@node-1": 1, "1-1@node-2": 2}

    monkeypatch.setattr(queue, "places_of_workers", places)
    coordinator = queue_of(instance)
    assert limit_in(DAEMON_THREAD, coordinator) == 0, "a lake that no worker has joined"
    coordinator._known = None
    instance.daemon_cursor_storage.set_cursor_values({LAKE_ID_KEY: "0123abcd"})
    assert limit_in("any", coordinator) == -1
    assert not asked
    assert limit_in(DAEMON_THREAD, coordinator) == 3
    coordinator._max_concurrent_runs = 2
    assert limit_in(DAEMON_THREAD, coordinator) == 2
    assert len(asked) == 1, "the answer holds for some seconds"


def test_dagster_names_the_threads_of_its_daemon_as_the_queue_expects() -> None:
    from dagster._daemon import controller  # noqa: PLC0415

    assert f'name=f"{DAEMON_THREAD}{{daemon_type}}"' in Path(controller.__file__).read_text(encoding="utf-8")


def test_without_a_broker_nothing_leaves_the_queue_and_no_run_is_given_up(instance: dg.DagsterInstance) -> None:
    instance.daemon_cursor_storage.set_cursor_values({LAKE_ID_KEY: "0123abcd"})
    assert limit_in(DAEMON_THREAD, queue_of(instance)) == 0
    run = instance.create_run_for_job(
        dg.job(name="any")(lambda: None), status=dg.DagsterRunStatus.STARTED, tags={WORKER_TAG: "1-1@node"}
    )
    launcher = launcher_of(instance)
    assert launcher.supports_check_run_worker_health
    assert not launcher.supports_resume_run
    for _ in range(2):
        assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_run_inside_a_command_is_looked_up_and_not_asked_for(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(
        dg.job(name="any")(lambda: None), status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: "999999999-1"}
    )
    assert launcher_of(instance).check_run_worker_health(run).status == WorkerStatus.FAILED


def test_the_queue_needs_the_launcher(instance: dg.DagsterInstance) -> None:
    coordinator = queue_of(instance)
    instance._run_launcher = dg.DefaultRunLauncher()
    with pytest.raises(SettingsError, match="the run_coordinator ClusterRunQueue needs the run_launcher"):
        limit_in(DAEMON_THREAD, coordinator)


def test_no_job_has_an_executor_that_ignores_pools() -> None:
    executors = {job.name: job.executor_def.name for job in defs.resolve_all_job_defs()}
    assert set(executors.values()) == {"in_process"}
