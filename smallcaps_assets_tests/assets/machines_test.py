"""Several machines on one state: a run or a slot of another machine is left alone until it gives no sign of life."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from smallcaps_assets.defs.io_managers import StateIOManager
from smallcaps_assets.defs.resources import SettingsResource
from smallcaps_assets.defs.runs.launcher import WatchedRunLauncher
from smallcaps_assets.defs.runs.leases import COMMAND_LEASE_S, RUN_LEASE_S, Leases, sign_of_command, signs_of_life
from smallcaps_assets.defs.runs.orphans import fail_orphans
from smallcaps_assets.defs.runs.pool import COMMAND, VENDOR_POOL, free_orphaned_slots, settle_limit
from smallcaps_assets.defs.runs.settings_tag import SETTINGS_TAG
from smallcaps_assets.defs.runs.workers import MACHINE_TAG, PROCESS_TAG, machine_tag, worker, worker_is_gone
from smallcaps_assets.runtime.machines import machine_mark
from smallcaps_assets.runtime.processes import process_identity
from smallcaps_assets.settings.settings import Settings, load_settings, settings_version
from smallcaps_assets_tests.assets.conftest import IN_BOTH
from smallcaps_assets_tests.unit.runtime.machines_test import identity_on, other

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
ELSEWHERE = other(machine_mark(), host=True)
REBOOTED = other(machine_mark(), boot=True)
GONE = 999_999_999


@dg.op(out=dg.Out(dict, io_manager_key="state"))
def counts() -> dict[str, Any]:
    return {"requests": 3, "problems": ["AVLO: cut"], "left": {"PM trades": 2}}


@dg.op(ins={"before": dg.In(dict)}, config_schema={"there": str})
def goes_on(context: dg.OpExecutionContext, before: dict[str, Any]) -> None:
    there = Path(context.op_config["there"])
    if not there.exists():
        raise dg.Failure("the machine is gone", allow_retries=False)
    there.write_text(json.dumps(before), encoding="utf-8")


@dg.job(resource_defs={"state": StateIOManager()}, executor_def=dg.in_process_executor)
def two_steps() -> None:
    goes_on(counts())


class Clock:
    """A clock that the test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def launched(
    instance: dg.DagsterInstance, tags: dict[str, str], pid: int | None = GONE, status: dg.DagsterRunStatus = STARTED
) -> dg.DagsterRun:
    """A run that logged the id of its process, by default of one that is not there."""
    run = instance.create_run_for_job(dg.job(name="any")(lambda: None), status=status, tags=tags)
    if pid is not None:
        instance.report_engine_event(f"Started process for run (pid: {pid}).", run, EngineEventData.in_process(pid))
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


@IN_BOTH
def test_opening_a_state_fails_no_run_of_another_machine(instance: dg.DagsterInstance) -> None:
    spared = [
        launched(instance, {MACHINE_TAG: ELSEWHERE}),
        # this process has its id: it must not be taken for the run, which a cancellation would end
        launched(instance, {MACHINE_TAG: ELSEWHERE}, os.getpid()),
        launched(instance, {MACHINE_TAG: ELSEWHERE}, None, STARTING),
        launched(instance, {PROCESS_TAG: identity_on(ELSEWHERE)}, None),
    ]
    failed = [
        launched(instance, machine_tag()),
        launched(instance, {MACHINE_TAG: REBOOTED}, os.getpid()),
        launched(instance, {}),  # of an earlier release
        launched(instance, {PROCESS_TAG: identity_on(REBOOTED)}, None),
        launched(instance, machine_tag(), None, STARTING),
    ]
    assert all(worker(instance, run) is None for run in spared)
    assert not any(worker_is_gone(instance, run) for run in spared)
    assert fail_orphans(instance, no_daemon=True) == len(failed)
    assert {status_of(instance, run) for run in failed} == {dg.DagsterRunStatus.FAILURE}
    assert [status_of(instance, run) for run in spared] == [STARTED, STARTED, STARTING, STARTED]


def test_the_first_process_of_a_container_is_never_looked_up(instance: dg.DagsterInstance) -> None:
    run = launched(instance, machine_tag(), 1)
    assert worker(instance, run) is None
    assert not worker_is_gone(instance, run)


def test_the_process_id_of_a_run_counts_on_the_machine_of_its_tag_only(instance: dg.DagsterInstance) -> None:
    here = worker(instance, launched(instance, machine_tag(), os.getpid()))
    assert here is not None
    assert here.pid == os.getpid()


@IN_BOTH
def test_a_run_of_another_machine_fails_when_its_log_has_not_grown_for_a_lease(instance: dg.DagsterInstance) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, WatchedRunLauncher)
    clock = Clock()
    launcher._leases = Leases(clock)
    run = launched(instance, {MACHINE_TAG: ELSEWHERE})

    def health() -> WorkerStatus:
        return launcher.check_run_worker_health(run).status

    assert health() == WorkerStatus.RUNNING
    clock.now += RUN_LEASE_S - 1
    assert health() == WorkerStatus.RUNNING
    instance.report_engine_event("windows: 10 of 20 done", run)
    clock.now += 1
    assert health() == WorkerStatus.RUNNING
    clock.now += RUN_LEASE_S - 1
    assert health() == WorkerStatus.RUNNING
    clock.now += 1
    assert health() == WorkerStatus.FAILED
    assert "logged nothing for 30 min" in (launcher.check_run_worker_health(run).msg or "")


@IN_BOTH
def test_the_slot_of_a_command_of_another_machine_is_freed_when_it_counts_no_more(instance: dg.DagsterInstance) -> None:
    storage, clock = instance.event_log_storage, Clock()
    leases = Leases(clock)
    settle_limit(instance)
    holder = f"{COMMAND}{identity_on(ELSEWHERE)}"
    assert storage.claim_concurrency_slot(VENDOR_POOL, holder, COMMAND).is_claimed

    def is_held() -> bool:
        free_orphaned_slots(instance, leases)
        return holder in storage.get_concurrency_run_ids()

    free_orphaned_slots(instance)
    assert is_held()
    before = sign_of_command(instance, holder)
    with signs_of_life(instance, holder, beat_s=0.001):
        while sign_of_command(instance, holder) == before:
            pass
    assert sign_of_command(instance, holder).startswith(holder)
    clock.now += COMMAND_LEASE_S
    assert is_held(), "it has counted since"
    clock.now += COMMAND_LEASE_S - 1
    assert is_held()
    clock.now += 1
    assert not is_held()


def test_the_slot_of_a_command_that_runs_here_is_held_without_a_lease(instance: dg.DagsterInstance) -> None:
    storage, clock = instance.event_log_storage, Clock()
    leases = Leases(clock)
    settle_limit(instance)
    holder = f"{COMMAND}{process_identity()}"
    assert storage.claim_concurrency_slot(VENDOR_POOL, holder, COMMAND).is_claimed
    for _ in range(3):
        free_orphaned_slots(instance, leases)
        clock.now += 10 * COMMAND_LEASE_S
    assert holder in storage.get_concurrency_run_ids()
    storage.free_concurrency_slots_for_run(holder)


@IN_BOTH
def test_what_a_step_told_the_next_is_in_the_state_for_a_repetition_on_another_machine(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    there, job = tmp_path / "there", dg.reconstructable(two_steps)
    config = {"ops": {"goes_on": {"config": {"there": str(there)}}}}
    with dg.execute_job(job, instance, run_config=config) as failed:
        assert not failed.success
    # a local storage of another machine
    shutil.rmtree(tmp_path / "storage", ignore_errors=True)
    there.touch()
    options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    with dg.execute_job(job, instance, run_config=config, reexecution_options=options) as repeated:
        assert repeated.success
        assert [event.step_key for event in repeated.get_step_success_events()] == ["goes_on"]
    assert json.loads(there.read_text()) == counts()


def test_a_run_refuses_to_work_under_other_settings_than_those_it_was_launched_with(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    seen: list[int] = []

    @dg.asset
    def table(settings: SettingsResource) -> None:
        seen.append(settings.load().partitions_per_run)

    launched_with = load_settings(overrides={})
    elsewhere = load_settings(overrides={"lake": {"path": str(tmp_path / "mounted here")}, "fetch_threads": 3})
    other_settings = load_settings(overrides={"partitions_per_run": launched_with.partitions_per_run + 1})
    tags = {SETTINGS_TAG: settings_version(launched_with)}

    def run_under(settings: Settings, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
        resources = {"settings": SettingsResource(document=settings.model_dump_json())}
        return dg.materialize([table], instance=instance, resources=resources, tags=tags, raise_on_error=False)

    assert run_under(launched_with, tags).success
    assert run_under(elsewhere, tags).success
    assert run_under(other_settings, {}).success, "launched by an earlier release, or inside a command"
    assert len(seen) == 3
    refused = run_under(other_settings, tags)
    assert not refused.success
    assert len(seen) == 3
    said = str([event.event_specific_data for event in refused.all_events])
    assert "config.yaml: this run was launched with other settings" in said
    assert "Give all machines the same config/config.yaml" in said
