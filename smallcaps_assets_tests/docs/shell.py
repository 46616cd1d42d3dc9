"""Commands of the documents, run in a folder as by a user."""

import io
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from unittest.mock import patch

import requests

from smallcaps_assets.cli import main
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.conftest import close_client
from smallcaps_assets_tests.free_ports import HOST, free_port

RUNS_S: Final = 300
ANSWERS_S: Final = 150
ENDS_S: Final = 60
CLI: Final = (sys.executable, "-m", "smallcaps_assets.cli")


class Shell:
    """A folder, and the environment of the commands that run in it.

    `smallcaps` runs from these sources: servers and the demo as processes, the others in this one, which has imported
    what each would import for seconds. A command runs once, even if several documents name it.
    """

    client: MarketDataClient

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SMALLCAPS", "DAGSTER"))}
        self._environment = inherited | {"SMALLCAPS_HOME": str(folder)} | (environment or {})
        self._outputs: dict[str, str] = {}
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            _end(server)
        with self._entered():
            source = load_settings(overrides={}).source
            if source.kind == "vendor":
                close_client(source)

    def run(self, command: str) -> str:
        """Run a command, which must succeed; returns its output."""
        if command not in self._outputs:
            in_process = not command.startswith("smallcaps demo")
            code, output = self._call(command) if in_process else self._start(command)
            assert code == 0, f"{command}: exit code {code}\n{output}"
            self._outputs[command] = output
        return self._outputs[command]

    def _call(self, command: str) -> tuple[int, str]:
        printed = io.StringIO()
        with self._entered(), redirect_stdout(printed), redirect_stderr(printed):
            try:
                code = main(self._arguments(command))
            except SystemExit as ended:  # wrong flags
                code = int(ended.code or 0)
        return code, printed.getvalue()

    def _start(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            [*CLI, *self._arguments(command)],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUNS_S,
            check=False,
        )
        return done.returncode, done.stdout

    @contextmanager
    def _entered(self) -> Iterator[None]:
        """This process has the folder and the environment of the commands; what they change in it is undone."""
        with patch.dict(os.environ, self._environment, clear=True), chdir(self.folder):
            yield

    def serve(self, command: str, path: str = "") -> str:
        """Start a server on a free port, wait until `path` answers, and return the answer; it ends with the shell."""
        if command not in self._outputs:
            port = str(free_port())
            arguments = [*CLI, *self._arguments(command)]
            if "--port" in arguments:
                arguments[arguments.index("--port") + 1] = port
            else:
                arguments += ["--port", port]
            log = self.folder / f"server-{port}.log"
            with log.open("wb") as output:
                server = subprocess.Popen(
                    arguments,
                    cwd=self.folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=sys.platform != "win32",
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
            self._servers.append(server)
            self._outputs[command] = _answer(f"http://{HOST}:{port}{path}", server, log)
        return self._outputs[command]

    def _arguments(self, command: str) -> list[str]:
        program, *arguments = shlex.split(command)
        assert program == "smallcaps", command
        return arguments


def _answer(url: str, server: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + ANSWERS_S
    while True:
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            return requests.get(url, timeout=30).text
        except requests.RequestException:
            assert time.monotonic() < end, f"no answer at {url}: {log.read_text(encoding='utf-8', errors='replace')}"
            time.sleep(0.5)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stop a server as Ctrl-C does."""
    if server.poll() is None:
        server.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)
    try:
        server.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        server.kill()
        raise
