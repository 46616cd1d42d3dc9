"""`smallcaps worker`: what it refuses, and which runs it leaves alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import dagster as dg
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.cluster.run_worker import RunWorker
from smallcaps_assets.defs.runs.run_tags import HOST_TAG
from smallcaps_assets_tests.repository import REPOSITORY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("config", "deploy"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "SMALLCAPS_BROKER_URL"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    return tmp_path


def test_a_worker_needs_the_lake_of_the_others(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker"]) == 2
    assert f"{home / 'lake'}: there is no such folder." in capsys.readouterr().err


def test_a_worker_needs_a_cluster(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "lake").mkdir()
    assert main(["worker"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "dagster.laid_over is null, so that runs start on the machine of `smallcaps ui`" in said
    assert "Set it to deploy/celery/dagster.yaml on every machine." in said


def test_a_worker_names_the_variables_that_are_missing(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "lake").mkdir()
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"):
        monkeypatch.setenv(name, "of no use here")
    file = home / "config" / "config.yaml"
    text = file.read_text(encoding="utf-8").replace("laid_over: null", "laid_over: deploy/celery/dagster.yaml")
    file.write_text(text, encoding="utf-8")
    assert main(["worker"]) == 2
    assert "takes SMALLCAPS_BROKER_URL from the environment" in " ".join(capsys.readouterr().err.split())


@dg.job
def nothing() -> None:
    """A job of which a worker could start a run."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED]
)
def test_a_run_about_which_something_was_decided_while_it_waited_is_not_started(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    origin = dg.reconstructable(nothing).get_python_origin()
    run = instance.create_run_for_job(nothing, status=status, job_code_origin=origin)
    lines: list[str] = []
    RunWorker(instance, "1-1@node", lines.append).execute(run.run_id)
    assert lines == [f"run {run.run_id} is {status.value.lower()} here: not started"]
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert HOST_TAG not in found.tags


def test_a_worker_without_runs_ends_at_once(instance: dg.DagsterInstance) -> None:
    ended = Event()
    worker = RunWorker(instance, "1-1@node", lambda line: None)  # noqa: ARG005
    worker.end_all(ended.set)
    assert ended.wait(60)


def test_a_run_of_another_state_is_not_started(instance: dg.DagsterInstance) -> None:
    lines: list[str] = []
    RunWorker(instance, "1-1@node", lines.append).execute("of another state")
    assert lines == ["run of another state is unknown here: not started"]
