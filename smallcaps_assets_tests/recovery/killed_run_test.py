"""A killed run in both kinds of storage: Dagster's daemon finds and repeats it, and every partition has its state."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from smallcaps_assets.defs.partitions import range_tags
from smallcaps_assets.defs.runs.workers import machine_tag
from smallcaps_assets_tests.assets.conftest import IN_BOTH
from smallcaps_assets_tests.recovery import letters

STARTED, QUEUED = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
MADE = AssetPartitionStatus.MATERIALIZED
LOGGER = logging.getLogger(__name__)
# from which processes import the tests, wherever the package is installed
REPOSITORY = Path(letters.__file__).parents[2]


@contextmanager
def process_of(run: dg.DagsterRun, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """The process of a run, on the state of `home`."""
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    command = f"from {letters.__name__} import work; work('{run.run_id}')"
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def states(instance: dg.DagsterInstance) -> list[AssetPartitionStatus | None]:
    """What the web UI shows of A, B and C; a partition that a killed run did not get to is missing."""
    keys = letters.LETTERS.get_partition_keys()
    found = instance.get_status_by_partition(letters.lettered.key, keys, letters.LETTERS)
    assert found is not None
    return [found[key] for key in keys]


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def tick(context: WorkspaceProcessContext) -> None:
    """What the daemon does every few seconds: it looks at the processes of runs, and repeats what was killed."""
    list(execute_run_monitoring_iteration(context, LOGGER))
    records = context.instance.get_run_records(dg.RunsFilter(statuses=[FAILURE]))
    list(consume_new_runs_for_automatic_reexecution(context, records, LOGGER))


@IN_BOTH
def test_a_killed_run_is_found_and_repeated_once_and_every_partition_has_its_state(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    monkeypatch.setenv(letters.GO_ON, str(tmp_path / "go on"))
    place = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=letters.__name__), location_name="letters"
    )
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(place)) as context:
        code = context.create_request_context().get_code_location("letters")
        (repository,) = code.get_repositories().values()
        run = instance.create_run_for_job(
            letters.defs.resolve_implicit_global_asset_job_def(),
            tags=range_tags("A", "C") | machine_tag(),
            asset_selection=frozenset({letters.lettered.key}),
            remote_job_origin=repository.get_full_job("__ASSET_JOB").get_remote_origin(),
        )
        with process_of(run, tmp_path, monkeypatch) as process:
            assert process.stdout
            assert process.stdout.readline() == letters.WAITS
            tick(context)
            assert (status(instance, run), states(instance)) == (STARTED, [MADE, None, None])
            process.kill()
            process.wait(60)
        tick(context)
        assert (status(instance, run), states(instance)) == (FAILURE, [MADE, None, None])
        tick(context)
        (repeated,) = instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run.run_id}))
        assert (repeated.status, repeated.root_run_id) == (QUEUED, run.run_id)
        (tmp_path / "go on").touch()
        letters.work(repeated.run_id)
        assert (status(instance, repeated), states(instance)) == (SUCCESS, [MADE] * 3)
        tick(context)
        assert len(instance.get_runs()) == 2
