"""`smallcaps ui`: Dagster's web UI and daemon on a lake, with the state that was left there."""

import os
import shutil
import signal
import socket
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import dagster as dg
from filelock import FileLock, Timeout

from smallcaps_assets.commands.flag_types import port_number
from smallcaps_assets.commands.services.processes import daemons, end_leftovers, ui_mark
from smallcaps_assets.commands.services.services import CodeServer, Service, end
from smallcaps_assets.commands.services.state import look_into_state, remove_states_of_gone_lakes, state_folder
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.runs.orphans import fail_orphans
from smallcaps_assets.defs.runs.pool import free_slots_of_the_dead
from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.processes import is_alive, own_mark
from smallcaps_assets.settings.settings import Settings, lake_path, use_ui_mark

NEEDS: Final = "a free port."
EXAMPLE: Final = "smallcaps ui --port 3001"

LOOK_S: Final = 1.0
SCRATCH: Final = "ui-"
# bytes of its path: a socket in it may have 104 on macOS
LONGEST: Final = 96
# Dagster frees the slots of runs that are gone; those of commands are freed here
SWEEP_S: Final = 30.0
# a database may be restarted meanwhile
TRIES: Final = 12
TRY_AGAIN_S: Final = 5.0
# Ctrl-C, what service managers and `kill` send, a terminal that is closed, Ctrl-Break
SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=port_number, default=3000, help="port to listen on (default: 3000)")
    parser.add_argument(
        "--read-only",
        action="store_true",
        help="view only: nothing can be launched or changed and no daemon runs; works beside an open web UI",
    )


def run(arguments: Namespace) -> int:
    """Start the services and keep them at work; returns when it is told to end (Ctrl-C, SIGTERM).

    Raises:
        InputError: the port is taken, or another daemon works on this lake's state.
        ServiceEnded: a service does not stay up.
    """
    settings = enter(arguments)
    folder = state_folder(settings)
    url = f"http://{arguments.host}:{arguments.port}"
    with ExitStack() as held:
        if not arguments.read_only:
            held.enter_context(_only_one(folder))
            end_leftovers(folder)
            _require_alone(folder)
        return _serve(arguments, settings, folder, url)


def _serve(arguments: Namespace, settings: Settings, folder: Path, url: str) -> int:
    """Start the services and keep them at work until told to end."""
    _require_free(arguments.host, arguments.port)
    look_into_state(settings).dispose()
    remove_states_of_gone_lakes()
    use_ui_mark(ui_mark(url))
    print(f"lake {lake_path(settings)}\nstarting the web UI, in about 20 s ...", flush=True)
    with _scratch(folder) as scratch, _interruptible():
        services = _services(arguments, scratch / "workspace.yaml")
        try:
            for service in services:
                service.start()
            print(f"web UI at {url}{', read-only' * arguments.read_only}; Ctrl-C ends it", flush=True)
            _keep(services, sweep=not arguments.read_only)
        except KeyboardInterrupt:
            print("ending ...", flush=True)
        finally:
            _ignore_interrupts()
            end(services)
    return 0


@contextmanager
def _scratch(state: Path) -> Iterator[Path]:
    """A folder for the services to find each other by, in the state: temporary files are swept away after some days.

    What killed web UIs left is removed. Where the path is too long for a socket, it is a temporary folder after all.
    """
    for left in state.glob(f"{SCRATCH}*"):
        if not is_alive(left.name.removeprefix(SCRATCH)):
            shutil.rmtree(left, ignore_errors=True)
    own = state / f"{SCRATCH}{own_mark()}"
    if len(os.fsencode(own)) > LONGEST:
        with TemporaryDirectory(prefix="smallcaps-", ignore_cleanup_errors=True) as made:
            yield Path(made)
        return
    own.mkdir()
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _services(arguments: Namespace, workspace: Path) -> list[Service]:
    code = CodeServer(workspace)
    found = ["--workspace", str(workspace)]
    web = ["dagster_webserver", *found, "--host", arguments.host, "--port", str(arguments.port)]
    web += ["--dagster-log-level", "warning"]
    server = Service("web server", web + ["--read-only"] * arguments.read_only, (arguments.host, arguments.port))
    if arguments.read_only:
        return [code, server]
    daemon = Service("daemon", ["dagster._daemon", "run", *found, "--log-level", "warning"], before=_put_in_order)
    return [code, server, daemon]


def _keep(services: list[Service], *, sweep: bool) -> None:
    """Keep the services at work until interrupted."""
    swept = time.monotonic()
    while True:
        time.sleep(LOOK_S)
        for service in services:
            service.keep()
        if sweep and time.monotonic() - swept > SWEEP_S:
            swept = time.monotonic()
            _tell_if_refused(_sweep)


def _sweep() -> None:
    with dg.DagsterInstance.get() as instance:
        free_slots_of_the_dead(instance)


def _put_in_order() -> None:
    """Close what was under way when the daemon before this one ended, and whose process has ended too."""

    def close() -> None:
        with dg.DagsterInstance.get() as instance:
            fail_orphans(instance, no_daemon=True)
            free_slots_of_the_dead(instance)

    for _ in range(TRIES):
        if _tell_if_refused(close):
            return
        time.sleep(TRY_AGAIN_S)


def _tell_if_refused(work: Callable[[], None]) -> bool:
    """Do `work`; where Dagster's storage refuses for the moment, say so: the services must not end with it."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 -- a storage is a plug-in: its errors have no root of their own
        print(
            f"Dagster's state cannot be put in order for the moment ({type(error).__name__})",
            file=sys.stderr,
            flush=True,
        )
        return False
    return True


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Hold the right to start a daemon on a state; it ends with this process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "ui.lock", timeout=0):
            yield
    except Timeout:
        _require_alone(folder)
        raise InputError(
            "another `smallcaps ui` is just starting on this lake, and two would launch everything twice. Use that one."
        ) from None


def _require_alone(folder: Path) -> None:
    for seen in daemons(folder):
        mark, address = seen.owner
        pid = mark.partition("-")[0] or seen.process.pid
        what = f"the web UI is open at {address}" if address else "a daemon of Dagster is at work"
        raise InputError(
            f"{what} on this lake already (process {pid}), and two would launch everything twice. Use that one or end "
            "it first; to look at this lake from another port as well: smallcaps ui --read-only --port N."
        )


def _require_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}). Choose another --port or --host."
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Treat every request to end as Ctrl-C, also where a shell started us in the background, deaf to it."""

    def interrupt(number: int, frame: object) -> None:  # noqa: ARG001 -- the system passes them
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _signals()}
    for number, handler in before.items():
        # who runs us with nohup wants us to outlive the terminal
        if not (handler is signal.SIG_IGN and number.name == "SIGHUP"):
            signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_interrupts() -> None:
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def _signals() -> list[signal.Signals]:
    return [signal.Signals[name] for name in SIGNALS if name in signal.Signals.__members__]
