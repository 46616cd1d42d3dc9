"""`smallcaps ui`: Dagster's web UI and daemon on this repository's lake, with the state that was left there."""

import socket
import subprocess
import sys
from argparse import Namespace
from typing import Final

import dagster as dg

from smallcaps_assets.commands.state import open_state
from smallcaps_assets.commands.workplace import enter
from smallcaps_assets.defs.pool import free_slots_of_the_dead
from smallcaps_assets.errors import InputError
from smallcaps_assets.settings import home, lake_path

# Dagster frees the slots of runs that are gone; those of commands are freed here
SWEEP_S: Final = 30.0


def run(arguments: Namespace) -> int:
    """Start the web UI and the daemon; returns when they end (Ctrl-C)."""
    settings = enter(arguments)
    _require_free(arguments.host, arguments.port)
    open_state(settings).dispose()
    print(
        f"lake {lake_path(settings)}\nweb UI at http://{arguments.host}:{arguments.port} in about 20 s; Ctrl-C ends it"
    )
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", "workspace.yaml"]
    command += ["--host", arguments.host, "--port", str(arguments.port)]
    with subprocess.Popen(command, cwd=home()) as process:  # noqa: S603 -- our own interpreter and checked flags
        while True:
            try:
                return process.wait(SWEEP_S)
            except subprocess.TimeoutExpired:
                with dg.DagsterInstance.get() as instance:
                    free_slots_of_the_dead(instance)
            except KeyboardInterrupt:  # the child was interrupted as well: let it put its state in order
                continue


def _require_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}). If the web UI is open already, use that "
            "one; otherwise choose another --port or --host."
        ) from error
