"""`smallcaps ui`: Dagster's web UI and daemon on a lake, with the state of its earlier runs."""

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Final

import dagster as dg
from filelock import FileLock, Timeout

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.flag_types import host_name, port_number
from smallcaps_assets.commands.services.daemon_lock import only_daemon_of_database
from smallcaps_assets.commands.services.disk_watch import OF_LAKE, DiskWatch, is_on_disk_of
from smallcaps_assets.commands.services.exposure import (
    add_consent_flag,
    browser_address,
    browser_addresses,
    require_consent,
    require_guarded,
)
from smallcaps_assets.commands.services.ports import end_orphaned_services, require_port
from smallcaps_assets.commands.services.processes import (
    WEB_SERVER,
    DagsterProcess,
    daemons_of_state,
    processes_of_state,
)
from smallcaps_assets.commands.services.services import Services, definitions_workspace
from smallcaps_assets.commands.services.state import open_state_as_is, remove_states_of_missing_lakes
from smallcaps_assets.commands.services.state_folder import copies_of_lake, describe_copies, state_folder
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.defs.retention.sqlite_files import compact
from smallcaps_assets.defs.runs.orphans import fail_orphans
from smallcaps_assets.defs.runs.pool import free_orphaned_slots
from smallcaps_assets.errors import InputError, ServiceEnded
from smallcaps_assets.pipeline.operations.readiness import check_key
from smallcaps_assets.settings.settings import Settings, lake_path, use_ui_address

NEEDS: Final = "a free port."
EXAMPLE: Final = "smallcaps ui --port 3001"

_SERVICE_ENDED: Final = 1
# Ctrl-C, what service managers and `kill` send, a terminal that is closed, Ctrl-Break
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument(
        "--host", type=host_name, default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=port_number, default=3000, help="port to listen on (default: 3000)")
    add_consent_flag(parser)
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        type=browser_address,
        help="another address at which browsers reach it, through a proxy or a forwarded port (may be repeated)",
    )
    parser.add_argument(
        "--read-only",
        action="store_true",
        help="view only: nothing can be launched or changed and no daemon runs; works beside an open web UI",
    )


def run(arguments: Namespace) -> int:
    """Run the services until interrupted (0) or until one of them ends (1).

    Raises:
        InputError: the port is taken, or another daemon uses this lake's state, or other machines can reach the web UI
            without the user's consent.
    """
    danger = "read its logs" if arguments.read_only else "launch runs, wipe assets and read its logs"
    require_consent("the web UI", danger, arguments.host, consented=arguments.open_to_network)
    settings = enter(arguments)
    key = check_key(settings.source)
    if key.verdict == "problem":
        show(
            f"smallcaps ui: {key.message} Then start it again: until then, all requests to the vendor "
            "fail. `smallcaps check` shows what else is missing.",
            file=sys.stderr,
        )
    folder = state_folder(settings)
    with nullcontext() if arguments.read_only else _only_daemon(folder):
        require_port(arguments.host, arguments.port)
        with _prepared_state(settings, daemon=not arguments.read_only) as look:
            return _serve(arguments, settings, folder, look)


def _serve(arguments: Namespace, settings: Settings, folder: Path, look: Callable[[], None]) -> int:
    """Run the services; `look` is called now and then."""
    show(f"lake {lake_path(settings)}\nstarting the web UI, in about 20 s ...")
    services, lake, disks = Services(), lake_path(settings), [DiskWatch(folder, _warn)]
    if not (arguments.read_only or is_on_disk_of(lake, folder)):
        disks.append(DiskWatch(lake, _warn, OF_LAKE))

    def look_around() -> None:
        for disk in disks:
            disk.look()
        look()

    interrupted = False
    # also where a shell started this process in the background, which then ignores SIGINT
    _on_end_signals(signal.default_int_handler)
    try:
        _start(services, arguments, folder)
        services.wait_until_one_ends(look_around)
    except KeyboardInterrupt:
        interrupted = True
        show("ending ...")
    except ServiceEnded as error:
        for disk in disks:
            disk.look(at_once=True)
        show(
            f"smallcaps ui: {error}; its output is above. The other services are ended too; runs under way "
            "continue. Start `smallcaps ui` again.",
            file=sys.stderr,
        )
    finally:
        _on_end_signals(signal.SIG_IGN)
        services.end(runs=interrupted)
    return 0 if interrupted else _SERVICE_ENDED


def _warn(line: str) -> None:
    show(f"smallcaps ui: {line}", file=sys.stderr)


@contextmanager
def _prepared_state(settings: Settings, *, daemon: bool) -> Iterator[Callable[[], None]]:
    """Make the state ready for services; before a daemon starts, fail the runs whose process is gone.

    Yields what makes sure, now and then, that this daemon is still the only one.
    """
    with ExitStack() as lock:
        look: Callable[[], None] = _look_at_nothing
        with open_state_as_is(settings) as instance:
            if daemon:
                look = lock.enter_context(only_daemon_of_database(instance))
                fail_orphans(instance, no_daemon=True)
                free_orphaned_slots(instance)
                if not instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
                    # what the job `retention` removed
                    compact(state_folder(settings) / "history", show)
        remove_states_of_missing_lakes()
        if copies := copies_of_lake(settings):
            _warn(describe_copies(lake_path(settings), copies))
        yield look


def _look_at_nothing() -> None:
    """Without a daemon there is nothing to make sure of."""


def _start(services: Services, arguments: Namespace, folder: Path) -> None:
    addresses = [*browser_addresses(arguments.host, arguments.port), *arguments.url]
    use_ui_address(addresses[0])
    file = definitions_workspace(folder) if arguments.read_only else services.start_code_server(folder)
    workspace = ["--workspace", str(file)]
    listen = ["--host", arguments.host, "--port", str(arguments.port), "--dagster-log-level", "warning"]
    listen += ["--read-only"] * arguments.read_only
    listens_at = (arguments.host, arguments.port)
    services.start("web server", WEB_SERVER, *addresses, "--", *workspace, *listen, address=listens_at)
    require_guarded(*listens_at)
    if not arguments.read_only:
        services.start("daemon", "dagster._daemon", "run", *workspace, "--log-level", "warning")
    shown = " and ".join([addresses[0], *arguments.url])
    show(f"web UI at {shown}{', read-only' * arguments.read_only}; Ctrl-C ends it")


@contextmanager
def _only_daemon(folder: Path) -> Iterator[None]:
    """Hold the lock of a state's daemon; it is released when this process ends, even if it is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "ui.lock", timeout=0):
            _require_no_daemon(folder)
            yield
    except Timeout:
        raise InputError(_refusal(next(iter(daemons_of_state(folder)), None))) from None


def _require_no_daemon(folder: Path) -> None:
    """Raise InputError if a daemon uses the state; services of a web UI that was killed are ending.

    Their code server, when it ends, removes the socket at which ours will listen.
    """
    end_orphaned_services([service for service in processes_of_state(folder) if service.is_orphaned])
    found = daemons_of_state(folder)
    if found:
        raise InputError(_refusal(found[0]))


def _refusal(found: DagsterProcess | None) -> str:
    what = "another `smallcaps ui` is just starting on this lake"
    if found and found.address:
        what = f"the web UI is open at {found.address} on this lake already (process {found.process.ppid()})"
    elif found:
        what = f"a daemon of Dagster uses this lake's state already (process {found.process.pid})"
    return (
        f"{what}, and two would launch everything twice. Use that one or end it first; to look at this lake from "
        "another port as well: smallcaps ui --read-only --port N."
    )


def _on_end_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        # `nohup` means that the process outlives the terminal
        if number and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            signal.signal(number, handler)
