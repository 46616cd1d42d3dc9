"""Services end together, and with the process that started them; the reason is reported."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from smallcaps_assets.commands.services.services import CODE_SERVER, Services, _answers, exit_text
from smallcaps_assets.errors import ServiceEnded
from smallcaps_assets.runtime.processes import wait_until_gone
from smallcaps_assets_tests.free_ports import free_port
from smallcaps_assets_tests.repository import REPOSITORY


@pytest.fixture
def services() -> Iterator[Services]:
    made = Services()
    yield made
    made.end(runs=False)


def server(services: Services) -> tuple[tuple[str, int], psutil.Process]:
    """A service that answers at an address."""
    address = ("127.0.0.1", free_port())
    assert not _answers(address)
    services.start("server", "http.server", str(address[1]), "--bind", address[0], address=address)
    return address, psutil.Process(services._processes["server"].pid)


def test_a_service_that_ends_while_it_starts_is_named_with_its_exit_code(services: Services) -> None:
    with pytest.raises(ServiceEnded, match=r"the daemon \(process \d+\) ended with exit code 1$"):
        services.start("daemon", "no_module_of_this_name", address=("127.0.0.1", free_port()))


def test_a_service_that_is_killed_is_named_with_the_signal(services: Services) -> None:
    _, process = server(services)
    process.kill()
    with pytest.raises(ServiceEnded) as ended:
        services.wait_until_one_ends()
    killed = "exit code -9 (SIGKILL)" if sys.platform != "win32" else "exit code 15"
    assert str(ended.value) == f"the server (process {process.pid}) ended with {killed}"
    assert exit_text(3) == "exit code 3"


def test_a_service_answers_after_its_start_and_ends_when_stopped(services: Services) -> None:
    address, process = server(services)
    assert _answers(address)
    services.end(runs=False)
    assert not _answers(address)
    assert not process.is_running()


CALLER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from smallcaps_assets.commands.services.services import _answers

try:  # it can be ended as soon as it listens
    HTTPServer(("127.0.0.1", int(sys.argv[1])), BaseHTTPRequestHandler).serve_forever()
except KeyboardInterrupt:
    Path(sys.argv[3]).write_text(str(_answers(("127.0.0.1", int(sys.argv[2])))))
    raise
"""


def test_services_end_quietly_and_the_code_server_after_those_that_call_it(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "caller.py").write_text(CALLER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(REPOSITORY)]))
    code, own, said = free_port(), free_port(), tmp_path / "said"
    services.start(CODE_SERVER, "http.server", str(code), "--bind", "127.0.0.1", address=("127.0.0.1", code))
    services.start("daemon", "caller", str(own), str(code), str(said), address=("127.0.0.1", own))
    services.end(runs=True)
    assert said.read_text(encoding="utf-8") == "True"
    assert not _answers(("127.0.0.1", code))
    assert "Traceback" not in capfd.readouterr().err


STARTS = """
import sys
from smallcaps_assets.commands.services.services import Services
services = Services()
services.start("server", "http.server", sys.argv[1], "--bind", "127.0.0.1", address=("127.0.0.1", int(sys.argv[1])))
print(services._processes["server"].pid, file=sys.stderr, flush=True)
sys.stdin.read()
"""


def test_a_service_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    port = str(free_port())
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, port],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as parent:
        assert parent.stderr
        service = psutil.Process(int(parent.stderr.readline()))
        assert _answers(("127.0.0.1", int(port)))
        parent.kill()
    assert not wait_until_gone([service], within_s=20)
