"""Which processes of Dagster's work on a state, and whose they are: told by their command lines and environments."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import psutil

from smallcaps_assets.runtime.processes import is_alive, is_running, kill, own_mark
from smallcaps_assets.settings.settings import UI_VARIABLE

DAEMON: Final = ("dagster._daemon", "dagster-daemon", "dagster-daemon.exe")
SERVICES: Final = (*DAEMON, "dagster_webserver", "code-server", "grpc")


class Seen(NamedTuple):
    """A process with the last parts of the words of its command line, and its environment."""

    process: psutil.Process
    words: frozenset[str]
    environment: dict[str, str]

    def works_on(self, folder: Path) -> bool:
        """Whether Dagster in this process keeps its state in `folder`.

        Without a DAGSTER_HOME, or with the repository for one, paths in dagster.yaml count from the working folder.
        """
        named = self.environment.get("DAGSTER_HOME")
        if named and not (Path(named) / "config" / "config.yaml").is_file():
            return Path(named).resolve() == folder.resolve()
        with suppress(psutil.Error, OSError):
            return (Path(self.process.cwd()) / ".dagster").resolve() == folder.resolve()
        return False

    @property
    def owner(self) -> tuple[str, str]:
        """The mark of the `smallcaps ui` that started it, and the address of that; empty where none did."""
        mark, _, address = self.environment.get(UI_VARIABLE, "").partition(" ")
        return mark, address


def ui_mark(address: str) -> str:
    """What this process's children carry to be known as those of a web UI at `address`."""
    return f"{own_mark()} {address}"


def works_on(folder: Path) -> list[Seen]:
    """Dagster's services and runs that keep their state in `folder`."""
    return [seen for seen in _seen() if seen.works_on(folder) and (seen.owner[0] or seen.words & {*SERVICES})]


def daemons(folder: Path) -> list[Seen]:
    """The daemons that work on the state in `folder`."""
    return [seen for seen in works_on(folder) if seen.words & {*DAEMON}]


def own_children() -> list[psutil.Process]:
    """Every process that came of the web UI of this process, also where what started it has ended."""
    return [seen.process for seen in _seen() if seen.owner[0] == own_mark()]


def end_leftovers(folder: Path) -> int:
    """Kill the services that a killed `smallcaps ui` left on the state in `folder`; returns how many there were.

    Runs go on: they need no service.
    """
    left = [
        seen.process
        for seen in works_on(folder)
        if seen.words & {*SERVICES} and seen.owner[0] and not is_alive(seen.owner[0])
    ]
    kill(left)
    return len(left)


def _seen() -> Iterator[Seen]:
    """Every process that lets itself be looked at."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # gone meanwhile, or somebody else's
            if is_running(process):
                words = frozenset(Path(word).name for word in process.cmdline() if word)
                yield Seen(process, words, process.environ())
