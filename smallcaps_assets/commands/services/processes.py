"""Finds the processes of Dagster that use a state, by their command lines and environments."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from smallcaps_assets.runtime.processes import is_running
from smallcaps_assets.settings.settings import UI_VARIABLE

DAEMON: Final = frozenset({"dagster._daemon", "dagster-daemon", "dagster-daemon.exe"})
SERVICES: Final = DAEMON | {"dagster_webserver", "code-server", "grpc"}


class DagsterProcess(NamedTuple):
    """A process, the file names in its command line, and the address of the web UI that started it, if one did."""

    process: psutil.Process
    words: frozenset[str]
    address: str


def processes_of_state(folder: Path) -> list[DagsterProcess]:
    """Dagster's services and runs that keep their state in `folder`."""
    return [*_found(folder)]


def daemons_of_state(folder: Path) -> list[DagsterProcess]:
    """Dagster's daemons that keep their state in `folder`."""
    return [found for found in _found(folder) if found.words & DAEMON]


def _found(folder: Path) -> Iterator[DagsterProcess]:
    state = folder.resolve()
    for process in psutil.process_iter():
        # gone meanwhile, or another user's
        with suppress(psutil.Error, OSError):
            words = frozenset(Path(word).name for word in process.cmdline() if word)
            environment = process.environ()
            address = environment.get(UI_VARIABLE, "")
            if (address or words & SERVICES) and is_running(process) and _state_of(process, environment) == state:
                yield DagsterProcess(process, words, address)


def _state_of(process: psutil.Process, environment: dict[str, str]) -> Path:
    """Where Dagster in a process keeps its state.

    Without a DAGSTER_HOME, or with a clone of the repository for one, the paths in dagster.yaml are relative to the
    process's working folder.
    """
    named = environment.get("DAGSTER_HOME")
    if named and not (Path(named) / "config" / "config.yaml").is_file():
        return Path(named).resolve()
    return (Path(process.cwd()) / ".dagster").resolve()
