"""After kill -9 of `smallcaps ui`, the next one takes over on the same port; any other program on it is named."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from smallcaps_assets.commands.services.ports import require_port
from smallcaps_assets.commands.services.processes import LAKE_FILE, WEB_SERVER
from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.processes import is_running, kill, wait_until_gone
from smallcaps_assets_tests.free_ports import HOST, free_port
from smallcaps_assets_tests.recovery.platform import Platform
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.web_server import STARTS_S, until

# a web server without Dagster, which records that it ended by itself
UNGUARDED = """
import http.server, pathlib, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
try:
    http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler).serve_forever()
except KeyboardInterrupt:
    pathlib.Path(__file__).with_name("ended").touch()
"""
STARTS = """
import sys
from smallcaps_assets.commands.services.services import Services
services, port = Services(), sys.argv[1]
services.start("web server", "dagster_webserver", "--port", port, address=("127.0.0.1", int(port)))
print(services._processes["web server"].pid, file=sys.stderr, flush=True)
sys.stdin.read()
"""


class StartedUI(NamedTuple):
    """A process that stands for `smallcaps ui`, its service, and whether that ended by itself."""

    process: psutil.Process
    service: psutil.Process
    port: int
    ended: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[StartedUI]:
    (tmp_path / "dagster_webserver.py").write_text(UNGUARDED)
    (tmp_path / LAKE_FILE).write_text("/data/a lake")
    # the module of this test comes before the one that is installed
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": path},
    ) as process:
        assert process.stderr
        service = psutil.Process(int(process.stderr.readline()))
        yield StartedUI(psutil.Process(process.pid), service, port, tmp_path / "ended")
        process.kill()
        kill([service])


def test_the_web_server_of_a_killed_web_ui_ends_by_itself(started: StartedUI) -> None:
    started.kill()
    require_port(HOST, started.port)
    assert not wait_until_gone([started.service], within_s=20)
    assert started.ended.exists()


def test_a_web_server_that_does_not_end_is_killed(started: StartedUI, capsys: pytest.CaptureFixture[str]) -> None:
    started.service.suspend()
    started.kill()
    require_port(HOST, started.port, within_s=0)
    assert not is_running(started.service)
    assert not started.ended.exists()
    words = f"waiting for the services of a killed web UI to end (process {started.service.pid}) ..."
    assert capsys.readouterr().out == f"{words}\n"


def test_the_web_server_of_a_running_web_ui_is_named_and_left_running(started: StartedUI) -> None:
    with pytest.raises(InputError) as caught:
        require_port(HOST, started.port, within_s=0)
    words = f"`smallcaps ui` of the lake /data/a lake (process {started.service.pid}) uses this port."
    assert str(caught.value).startswith(f"cannot listen on {HOST}:{started.port}: {words} End it, or choose another")
    assert is_running(started.service)


def test_a_program_that_holds_the_port_is_named_with_a_free_port() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught:
            require_port(HOST, port)
        found = re.fullmatch(
            rf"cannot listen on {HOST}:{port}: (.*) uses this port\. End it, or choose another port, such as "
            r"--port (\d+)\.",
            str(caught.value),
        )
        assert found
        assert found[1] == f"{psutil.Process().name()} (process {os.getpid()})"
        socket.create_server((HOST, int(found[2]))).close()


def test_an_address_of_another_machine_is_no_port_in_use() -> None:
    with pytest.raises(
        InputError, match=r"^cannot listen on 192\.0\.2\.1:3000 \(.*\)\. Choose another --port or --host\.$"
    ):
        require_port("192.0.2.1", 3000)


@pytest.mark.long
def test_the_web_ui_takes_over_after_kill_9(tmp_path: Path) -> None:
    """Even where its web server does not end by itself: here it is suspended."""
    with Platform.running(tmp_path) as platform:
        killed = platform.ui
        (web_server,) = platform.services(WEB_SERVER)
        (daemon,) = platform.services("dagster._daemon")
        web_server.suspend()
        killed.process.kill()
        platform.start(killed.port)
        assert platform.ui.url == killed.url
        assert platform.ui.symbols()
        assert not is_running(web_server)
        assert not is_running(daemon)
        until("a daemon runs", lambda: len(platform.services("dagster._daemon")) == 1, STARTS_S)
