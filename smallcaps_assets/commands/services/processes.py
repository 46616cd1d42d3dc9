"""Finds the processes of Dagster that use a state, by their command lines and environments."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from smallcaps_assets.commands.services import child
from smallcaps_assets.runtime.processes import is_alive, is_running
from smallcaps_assets.settings.settings import UI_VARIABLE

DAEMON: Final = frozenset({"dagster._daemon", "dagster-daemon", "dagster-daemon.exe"})
WEB_SERVER: Final = "smallcaps_assets.commands.services.web_server"
# Dagster's own, of earlier releases or started by hand
UNGUARDED_WEB_SERVER: Final = "dagster_webserver"
SERVICES: Final = DAEMON | {WEB_SERVER, UNGUARDED_WEB_SERVER, "code-server", "grpc"}
# names the lake of a state, in its folder
LAKE_FILE: Final = "lake.txt"


class DagsterProcess(NamedTuple):
    """A process, the file names in its command line, and the web UI that started it, if one did.

    `address` is that of the web UI. `parent` is the identity of the process of `smallcaps ui`, empty where this is none
    of its services.
    """

    process: psutil.Process
    words: frozenset[str]
    address: str
    parent: str = ""

    @property
    def is_orphaned(self) -> bool:
        """Whether this is a service of a `smallcaps ui` that was killed; it ends by itself within seconds."""
        return bool(self.parent) and not is_alive(self.parent)


def processes_of_state(folder: Path) -> list[DagsterProcess]:
    """Dagster's services and runs that keep their state in `folder`."""
    return [*_found(folder)]


def daemons_of_state(folder: Path) -> list[DagsterProcess]:
    """Dagster's daemons that keep their state in `folder`."""
    return [found for found in _found(folder) if found.words & DAEMON]


def web_servers_at(port: int) -> list[DagsterProcess]:
    """The web servers of `smallcaps ui`, of any lake of this user, that listen on a port."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            command = process.cmdline()
            parent = _parent_of(command)
            if parent and _serves_web_ui(command) and _follows(command, "--port") == str(port) and is_running(process):
                address = process.environ().get(UI_VARIABLE, "")
                found.append(DagsterProcess(process, frozenset(command), address, parent))
    return found


def _serves_web_ui(command: Sequence[str]) -> bool:
    return not {WEB_SERVER, UNGUARDED_WEB_SERVER}.isdisjoint(command)


def _parent_of(command: Sequence[str]) -> str:
    """The identity of the `smallcaps ui` that started a service with this command line; empty for other processes."""
    return _follows(command, child.__name__) or ""


def _follows(command: Sequence[str], word: str) -> str | None:
    """The word after `word` in a command line."""
    return next((after for before, after in pairwise(command) if before == word), None)


def _found(folder: Path) -> Iterator[DagsterProcess]:
    state = folder.resolve()
    for process in psutil.process_iter():
        # gone meanwhile, or another user's
        with suppress(psutil.Error, OSError):
            command = process.cmdline()
            words = frozenset(Path(word).name for word in command if word)
            environment = process.environ()
            address = environment.get(UI_VARIABLE, "")
            if (address or words & SERVICES) and is_running(process) and _state_of(process, environment) == state:
                yield DagsterProcess(process, words, address, _parent_of(command))


def _state_of(process: psutil.Process, environment: dict[str, str]) -> Path:
    """Where Dagster in a process keeps its state.

    Without a DAGSTER_HOME, or with a clone of the repository for one, the paths in dagster.yaml are relative to the
    process's working folder.
    """
    named = environment.get("DAGSTER_HOME")
    if named and not (Path(named) / "config" / "config.yaml").is_file():
        return Path(named).resolve()
    return (Path(process.cwd()) / ".dagster").resolve()
