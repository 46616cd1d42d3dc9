"""Dagster's services under a web UI: code server, web server, daemon. What ends unasked is started again."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from smallcaps_assets.commands.services.processes import own_children
from smallcaps_assets.errors import ServiceEnded
from smallcaps_assets.lake.publish import publish_text
from smallcaps_assets.runtime.processes import is_running, kill, wait_until_gone
from smallcaps_assets.settings.settings import home

Address = str | tuple[str, int]
LOCATION: Final = "smallcaps_assets"
LOCALHOST: Final = "127.0.0.1"
EVERYWHERE: Final = {"0.0.0.0": LOCALHOST, "::": "::1"}  # noqa: S104 -- where a server that listens so is to be asked
# a service that ends so often within this time will not do better the next time
STARTS: Final = 5
STARTS_WITHIN_S: Final = 300.0
ANSWERS_WITHIN_S: Final = 180.0
LOOK_S: Final = 0.2
# a run that is interrupted says so; its threads end with the answers that they wait for
ENDS_WITHIN_S: Final = 40.0
# services have nothing to lose: the daemon waits for each of its threads, and those for answers that will not come
SERVICES_END_WITHIN_S: Final = 10.0


class Service:
    """A process of Dagster's that is kept at work."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        address: Address | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """What follows `python -m`; the address where it answers, if it does; what is done before each start."""
        self.name = name
        self.address = address
        self._command = command
        self._before = before
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            ServiceEnded: it ended too often, or does not answer.
        """
        if len(self._starts) == STARTS and time.monotonic() - self._starts[0] < STARTS_WITHIN_S:
            raise ServiceEnded(
                f"the {self.name} ended {STARTS} times within {STARTS_WITHIN_S / 60:.0f} minutes. What it said stands "
                "above: mend that and start again, nothing is lost."
            )
        self._starts.append(time.monotonic())
        self._before()
        # in a group of its own: Ctrl-C reaches our process alone, which ends the others in order
        self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and checked flags
            [sys.executable, "-m", *self._command],
            cwd=home(),
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self._wait_for_answer()

    def keep(self) -> None:
        """Start it again if it has ended.

        Raises:
            ServiceEnded: see `start`.
        """
        code = self._process.poll() if self._process else 0
        if code is not None:
            print(f"the {self.name} ended unasked (exit code {code}): it is started again", file=sys.stderr, flush=True)
            self.start()

    def reap(self) -> None:
        """Ask how it ended, so that the system can forget it."""
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ENDS_WITHIN_S)

    def _wait_for_answer(self) -> None:
        end = time.monotonic() + ANSWERS_WITHIN_S
        while self.address and not answers(self.address) and self._process and self._process.poll() is None:
            if time.monotonic() > end:
                raise ServiceEnded(f"the {self.name} did not answer within {ANSWERS_WITHIN_S:.0f} s. Start again.")
            time.sleep(LOOK_S)


class CodeServer(Service):
    """Loads our definitions and starts the processes of runs, in a child that changes when code is loaded again."""

    def __init__(self, workspace: Path) -> None:
        """Writes `workspace`, by which the other services find it: at a socket of this user's, or at a port."""
        if sys.platform == "win32":
            place: Address = (LOCALHOST, free_port())
            where: dict[str, str | int] = {"port": place[1]}
        else:
            place = str(workspace.with_name("code"))
            where = {"socket": place}
        (flag, value), *_ = where.items()
        server = {"location_name": LOCATION, "host": "localhost"} | where
        publish_text(workspace, json.dumps({"load_from": [{"grpc_server": server}]}))
        command = ["dagster", "code-server", "start", f"--{flag}", str(value), "--log-level", "warning"]
        command += ["--location-name", LOCATION, "--module-name", "smallcaps_assets.definitions"]
        super().__init__("code server", command, place, self._clear)

    def keep(self) -> None:
        """Start it again if it, or the child that holds the code, has ended: it does not do that itself.

        Raises:
            ServiceEnded: see `start`.
        """
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if not any(is_running(child) and "grpc" in child.cmdline() for child in process.children()):
                kill([process])
        super().keep()

    def _clear(self) -> None:
        if isinstance(self.address, str):
            Path(self.address).unlink(missing_ok=True)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server((LOCALHOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def answers(address: Address) -> bool:
    """Whether something listens at a port, or at the path of a socket."""
    try:
        if isinstance(address, tuple):
            host, port = address
            socket.create_connection((EVERYWHERE.get(host, host), port), timeout=1).close()
        else:
            with socket.socket(getattr(socket, "AF_UNIX")) as client:  # noqa: B009 -- Windows has none
                client.connect(address)
    except OSError:
        return False
    return True


def end(services: Sequence[Service]) -> None:
    """Interrupt the services and every run under way, and wait until they are gone; kill what does not end.

    Runs that are interrupted, or killed, are taken up again by the next daemon.
    """
    names = {service.pid: service.name for service in services}
    family = own_children()
    for process in family:
        with suppress(psutil.NoSuchProcess):
            if sys.platform != "win32":
                process.send_signal(signal.SIGINT)
            elif process.pid in names:
                process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                process.kill()
    wait_until_gone([process for process in family if process.pid not in names], ENDS_WITHIN_S)
    wait_until_gone(own_children(), SERVICES_END_WITHIN_S)
    left = own_children()
    if left:
        said = ", ".join(f"{names.get(process.pid, 'a process')} ({process.pid})" for process in left)
        print(f"killed, since it did not end by itself: {said}", file=sys.stderr, flush=True)
    kill(left)
    for service in services:
        service.reap()
