"""Dagster's services under `smallcaps ui`: code server, web server, daemon. When one ends, all end.

Nothing is started again here: that is the platform's job (`deploy/`).
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from smallcaps_assets.commands.services import child
from smallcaps_assets.commands.services.exposure import CONNECT_TO
from smallcaps_assets.errors import ServiceEnded
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.runtime.processes import is_running, kill, process_identity, wait_until_gone
from smallcaps_assets.settings.settings import home

Address = str | tuple[str, int]
CODE_SERVER: Final = "code server"
LOCATION: Final = "smallcaps_assets"
MODULE: Final = "smallcaps_assets.definitions"
_LOCALHOST: Final = "127.0.0.1"
# in bytes; macOS allows 104
_LONGEST_SOCKET_PATH: Final = 100
_ANSWERS_WITHIN_S: Final = 180.0
_LOOK_EVERY_S: Final = 0.5
# an interrupted run records that it was interrupted; its threads end with the answers that they wait for
_RUNS_END_WITHIN_S: Final = 40.0


class Services:
    """Child processes that end when this process ends, even if it is killed."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, address: Address | None = None) -> None:
        """Start what follows `python -m`, and wait until it answers at `address`.

        Raises:
            ServiceEnded: a service has ended, or this one does not answer.
        """
        self._processes[name] = subprocess.Popen(  # noqa: S603 -- this interpreter and checked flags
            [sys.executable, "-m", child.__name__, process_identity(), *command],
            cwd=home(),
            stdin=subprocess.PIPE,
            # in a separate process group: Ctrl-C reaches this process only, which then ends the others
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        end = time.monotonic() + _ANSWERS_WITHIN_S
        while address and not _answers(address):
            if time.monotonic() > end:
                raise ServiceEnded(f"the {name} did not answer within {_ANSWERS_WITHIN_S:.0f} s. Start again.")
            self._require_running()
            time.sleep(_LOOK_EVERY_S)

    def start_code_server(self, state: Path) -> Path:
        """Start the code server; returns the workspace file by which the other services find it.

        It listens on a socket in `state`, which only this user can reach, or on a local port where that is impossible.
        """
        path = state / "code_server.sock"
        address: Address = str(path)
        if sys.platform == "win32" or len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            address = (_LOCALHOST, _free_port())
        else:
            path.unlink(missing_ok=True)
        kind, value = ("socket", address) if isinstance(address, str) else ("port", address[1])
        named = ("--location-name", LOCATION, "--module-name", MODULE, "--log-level", "warning")
        self.start(CODE_SERVER, "dagster", "code-server", "start", f"--{kind}", str(value), *named, address=address)
        return _workspace(state / "code_server.yaml", "grpc_server", {"host": "localhost", kind: value})

    def wait_until_one_ends(self, look: Callable[[], None] = lambda: None) -> None:
        """Wait until a service ends; `look` is called about twice a second.

        Raises:
            ServiceEnded: always; names the service and how it ended.
        """
        while True:
            time.sleep(_LOOK_EVERY_S)
            self._require_running()
            self._require_definitions()
            look()

    def _require_running(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise ServiceEnded(f"the {name} (process {process.pid}) ended with {exit_text(process.returncode)}")

    def _require_definitions(self) -> None:
        """The code server does not notice that its child, which holds the definitions and starts runs, has ended."""
        server = self._processes.get(CODE_SERVER)
        with suppress(psutil.NoSuchProcess):
            if server and not any(_holds_definitions(child) for child in psutil.Process(server.pid).children()):
                raise ServiceEnded(f"the child of the {CODE_SERVER} (process {server.pid}) that starts runs has ended")

    def end(self, *, runs: bool) -> None:
        """End the services, and with `runs` the runs under way; kill what does not end.

        Without `runs`, runs continue: they need no service, and the next daemon finds their processes.
        """
        services = {service.pid for service in self._processes.values()}
        family = psutil.Process().children(recursive=True) if runs else []
        definitions = [process for process in family if _holds_definitions(process)]
        under_way = [process for process in family if process.pid not in services and process not in definitions]
        for process in under_way:
            with suppress(psutil.NoSuchProcess):
                # runs cannot be interrupted on Windows
                process.kill() if sys.platform == "win32" else process.send_signal(signal.SIGINT)
        # the others call the code server until they end
        code_server = [self._processes[name] for name in self._processes if name == CODE_SERVER]
        self._end_services([self._processes[name] for name in self._processes if name != CODE_SERVER])
        self._end_services(code_server)
        # among them are helpers of the code server, which end after it
        kill(wait_until_gone([*under_way, *definitions], _RUNS_END_WITHIN_S))

    @staticmethod
    def _end_services(services: Sequence[subprocess.Popen[bytes]]) -> None:
        for service in services:
            with suppress(OSError):
                service.stdin.close()  # type: ignore[union-attr]
        for service in services:
            try:
                service.wait(2 * child.ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                service.kill()
                service.wait()


def definitions_workspace(state: Path) -> Path:
    """A workspace file for a service that loads the definitions itself, in a separate child process."""
    return _workspace(state / "read_only.yaml", "python_module", {"module_name": MODULE})


def _workspace(file: Path, kind: str, where: dict[str, Any]) -> Path:
    publish_text(file, json.dumps({"load_from": [{kind: {"location_name": LOCATION} | where}]}))
    return file


def _holds_definitions(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return is_running(process) and "grpc" in process.cmdline()
    return False


def exit_text(code: int) -> str:
    """In words: `exit code 3`, or the signal that killed a process."""
    killed = code < 0 and -code in {*signal.Signals}
    return f"exit code {code}" + (f" ({signal.Signals(-code).name})" if killed else "")


def _free_port() -> int:
    with socket.create_server((_LOCALHOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def _answers(address: Address) -> bool:
    """Whether something listens on a port, or on the socket at a path."""
    try:
        if isinstance(address, tuple):
            host, port = address
            socket.create_connection((CONNECT_TO.get(host, host), port), timeout=1).close()
        else:
            with socket.socket(getattr(socket, "AF_UNIX")) as client:  # noqa: B009 -- Windows has none
                client.connect(address)
    except OSError:
        return False
    return True
