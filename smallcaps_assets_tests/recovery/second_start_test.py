"""Two of them on one state: refused where they would do everything twice, welcome where they only look."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from smallcaps_assets.commands.services.processes import SERVICES, daemons, end_leftovers, ui_mark, works_on
from smallcaps_assets.runtime.processes import own_mark
from smallcaps_assets.settings.settings import HOME_VARIABLE, UI_VARIABLE
from smallcaps_assets_tests.recovery.platform import Platform
from smallcaps_assets_tests.web_server import WebUI


def smallcaps(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smallcaps_assets.cli", *arguments, "--lake", str(platform.lake)],
        cwd=platform.home,
        env=os.environ | {HOME_VARIABLE: str(platform.home), "MASSIVE_API_KEY": "a-key-of-tests"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_second_web_ui_on_one_state_is_refused_and_says_where_the_first_is(platform: Platform) -> None:
    before = platform.services(*SERVICES)
    second = smallcaps(platform, "ui", "--port", "0")
    assert second.returncode == 2
    assert f"the web UI is open at {platform.ui.url} on this lake already" in second.stderr
    assert f"(process {platform.ui.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert platform.services(*SERVICES) == before


def test_one_that_only_looks_may_be_opened_beside_it(platform: Platform) -> None:
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
    finally:
        second.process.terminate()
        second.process.wait(60)
    assert platform.ui.process.poll() is None
    assert len(platform.services("dagster_webserver")) == 1
    assert platform.ui.symbols()


@contextmanager
def looks_like(words: list[str], folder: Path, **environment: str) -> Iterator[psutil.Process]:
    """A process whose command line has these words, at work in `folder`."""
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


def test_a_daemon_that_somebody_started_by_hand_is_found(clone: Path) -> None:
    state, other = clone / ".dagster", clone / ".dagster" / "lakes" / "other"
    daemon = ["dagster._daemon", "run"]
    with looks_like(daemon, clone) as plain:
        assert [seen.process for seen in daemons(state)] == [plain]
        assert not daemons(other)
    with looks_like(daemon, clone, DAGSTER_HOME=str(clone)) as of_the_clone:
        assert [seen.process for seen in daemons(state)] == [of_the_clone]
    with looks_like(daemon, clone, DAGSTER_HOME=str(other)) as of_another:
        assert not daemons(state)
        assert [seen.process for seen in daemons(other)] == [of_another]
    with looks_like(["dagster_webserver"], clone):
        assert not daemons(state)
        assert works_on(state)
    assert not works_on(state)


def test_only_services_of_a_web_ui_that_is_gone_are_ended(clone: Path) -> None:
    state, daemon = clone / ".dagster", ["dagster._daemon", "run"]
    gone, ours = "999999999-1 http://127.0.0.1:3000", ui_mark("http://127.0.0.1:3000")
    assert ours.startswith(own_mark())
    with (
        looks_like(daemon, clone, **{UI_VARIABLE: gone}) as left,
        looks_like(["the", "process", "of", "a", "run"], clone, **{UI_VARIABLE: gone}) as at_work,
        looks_like(daemon, clone, **{UI_VARIABLE: ours}) as kept,
        looks_like(daemon, clone) as by_hand,
    ):
        assert end_leftovers(state) == 1
        assert not psutil.pid_exists(left.pid) or left.status() == psutil.STATUS_ZOMBIE
        for process in (at_work, kept, by_hand):
            assert process.status() != psutil.STATUS_ZOMBIE
        assert end_leftovers(state) == 0
