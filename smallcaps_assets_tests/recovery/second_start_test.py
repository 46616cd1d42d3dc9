"""A second web UI or daemon on the same state: found by its processes, and allowed if it is a read-only web UI."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from smallcaps_assets.commands.services.processes import WEB_SERVER, daemons_of_state, processes_of_state
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.settings.settings import HOME_VARIABLE, UI_VARIABLE, load_settings
from smallcaps_assets_tests.recovery.platform import Platform
from smallcaps_assets_tests.web_server import WebUI


@pytest.mark.long
def test_a_read_only_web_ui_may_run_next_to_it(platform: Platform) -> None:
    there = len(platform.services("dagster._daemon"))
    second = WebUI(
        platform.lake,
        "--read-only",
        home=platform.home,
        environment={HOME_VARIABLE: str(platform.home), "MASSIVE_API_KEY": "a-key-of-tests"},
    )
    try:
        second.wait_until_it_answers()
        granted = second.ask("{ permissions { permission value } }")["permissions"]
        assert len(granted) > 5
        assert not [entry["permission"] for entry in granted if entry["value"]]
        assert len(platform.services("dagster._daemon")) == there == 1
        from_elsewhere = {"Origin": "http://other.example"}
        answer = requests.post(
            f"{second.url}/graphql", json={"query": "{ version }"}, headers=from_elsewhere, timeout=60
        )
        assert answer.status_code == 403
    finally:
        second.process.terminate()
        second.process.wait(60)
    assert platform.ui.process.poll() is None
    assert len(platform.services(WEB_SERVER)) == 1
    assert platform.ui.symbols()


@contextmanager
def looks_like(words: list[str], folder: Path, **environment: str) -> Iterator[psutil.Process]:
    """A process whose command line has these words, with the working folder `folder`."""
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", *words]
    kept = {name: value for name, value in os.environ.items() if name not in ("DAGSTER_HOME", UI_VARIABLE)}
    with subprocess.Popen(
        command, cwd=folder, env=kept | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield psutil.Process(process.pid)
        finally:
            process.kill()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder like a clone of the repository, with state."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").touch()
    (tmp_path / ".dagster" / "lakes" / "other").mkdir(parents=True)
    return tmp_path


def test_a_daemon_started_by_hand_is_found(clone: Path) -> None:
    state, other = clone / ".dagster", clone / ".dagster" / "lakes" / "other"
    daemon = ["dagster._daemon", "run"]

    def daemons(folder: Path) -> list[psutil.Process]:
        return [found.process for found in daemons_of_state(folder)]

    with looks_like(daemon, clone) as plain:
        assert daemons(state) == [plain]
        assert not daemons(other)
    with looks_like(daemon, clone, DAGSTER_HOME=str(clone)) as of_the_clone:
        assert daemons(state) == [of_the_clone]
    with looks_like(daemon, clone, DAGSTER_HOME=str(other)) as of_another:
        assert not daemons(state)
        assert daemons(other) == [of_another]
    with looks_like(["dagster_webserver"], clone):
        assert not daemons(state)
        assert processes_of_state(state)
    assert not processes_of_state(state)


def test_a_run_of_a_web_ui_uses_its_state(clone: Path) -> None:
    """It is recognized by the environment that the web UI sets, not by its command line."""
    state = clone / ".dagster"
    with looks_like(["spawned"], clone):
        assert not processes_of_state(state)
    with looks_like(["spawned"], clone, **{UI_VARIABLE: "http://127.0.0.1:3000"}) as worker:
        (found,) = processes_of_state(state)
        assert (found.process, found.address) == (worker, "http://127.0.0.1:3000")
        assert not found.is_orphaned
        assert not daemons_of_state(state)


@pytest.mark.long
def test_a_web_ui_is_rejected_if_a_daemon_runs_that_was_started_by_hand(platform: Platform, tmp_path: Path) -> None:
    lake = tmp_path / "another lake"
    environment = {HOME_VARIABLE: str(platform.home), "MASSIVE_API_KEY": "a-key-of-tests"}
    settings = load_settings(platform.home / "config" / "config.yaml", {"lake": {"path": str(lake)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(platform.home))
        state = state_folder(settings)
    with looks_like(["dagster._daemon"], tmp_path, DAGSTER_HOME=str(state)) as daemon:
        second = subprocess.run(
            [sys.executable, "-m", "smallcaps_assets.cli", "ui", "--port", "0", "--lake", str(lake)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert second.returncode == 2
    assert f"a daemon of Dagster uses this lake's state already (process {daemon.pid})" in second.stderr
