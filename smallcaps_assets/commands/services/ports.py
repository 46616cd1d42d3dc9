"""Ports to listen on: free, taken over from a web UI that was killed, or taken by a program that is named."""

import errno
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.services.processes import LAKE_FILE, DagsterProcess, web_servers_at
from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.processes import POLL_S, kill, wait_until_gone

# the services of a web UI that was killed end by themselves within `child.ENDS_WITHIN_S`
ORPHANS_END_WITHIN_S: Final = 15.0

# a process that has ended keeps its sockets until its last thread is gone, and no longer has a command line
_SOCKETS_CLOSE_WITHIN_S: Final = 5.0
# in use; on Windows also: in use by a program that shares its port with nobody
_TAKEN: Final = frozenset({errno.EADDRINUSE, getattr(errno, "WSAEACCES", errno.EADDRINUSE)})
_HIGHEST_PORT: Final = 65_535
_SUGGESTIONS: Final = 50


def require_port(host: str, port: int, within_s: float = ORPHANS_END_WITHIN_S) -> None:
    """Make sure that a port is free; the web server of a `smallcaps ui` that was killed has `within_s` to end.

    Raises:
        InputError: the address cannot be listened on; names the program that does, and a free port.
    """
    if _problem(host, port) is None:
        return
    end_orphaned_services([server for server in web_servers_at(port) if server.is_orphaned], within_s)
    end = time.monotonic() + _SOCKETS_CLOSE_WITHIN_S
    while _is_taken(host, port) and _holder(port) is None and time.monotonic() < end:
        time.sleep(POLL_S)
    problem = port_problem(host, port)
    if problem:
        raise InputError(problem)


def end_orphaned_services(services: Sequence[DagsterProcess], within_s: float = ORPHANS_END_WITHIN_S) -> None:
    """Wait until services of a `smallcaps ui` that was killed have ended; kill those that do not end."""
    if services:
        named = ", ".join(str(service.process.pid) for service in services)
        show(f"waiting for the services of a killed web UI to end (process {named}) ...")
    kill(wait_until_gone([service.process for service in services], within_s))


def port_problem(host: str, port: int) -> str | None:
    """Why an address cannot be listened on, with the remedy; None where it can be."""
    error = _problem(host, port)
    if error is None:
        return None
    if error.errno not in _TAKEN:
        return f"cannot listen on {host}:{port} ({error.strerror}). Choose another --port or --host."
    free = next((each for each in _ports_above(port) if _problem(host, each) is None), None)
    another = "another --port" if free is None else f"another port, such as --port {free}"
    holder = _holder(port) or "another program"
    return f"cannot listen on {host}:{port}: {holder} uses this port. End it, or choose {another}."


def _ports_above(port: int) -> range:
    return range(port + 1, min(port + _SUGGESTIONS, _HIGHEST_PORT) + 1)


def _is_taken(host: str, port: int) -> bool:
    error = _problem(host, port)
    return error is not None and error.errno in _TAKEN


def _problem(host: str, port: int) -> OSError | None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        return error
    return None


def _holder(port: int) -> str | None:
    """The program that listens on a port; None if the system does not name it to this user, or if it is just ending."""
    server = next(iter(web_servers_at(port)), None)
    if server:
        return f"`smallcaps ui`{_lake_of(server.process)} (process {server.process.pid})"
    # macOS names the processes of all connections to root only
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return None


def _lake_of(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError, UnicodeDecodeError):
        folder = process.environ().get("DAGSTER_HOME", os.devnull)
        return f" of the lake {(Path(folder) / LAKE_FILE).read_text(encoding='utf-8')}"
    return ""
