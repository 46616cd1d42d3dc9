"""`smallcaps ui`: Dagster's web UI and daemon on this repository's lake, with the state that was left there."""

import subprocess
import sys
from argparse import Namespace

import dagster as dg

from smallcaps_assets.commands.workplace import enter
from smallcaps_assets.defs.orphans import fail_orphans
from smallcaps_assets.settings import home, lake_path


def run(arguments: Namespace) -> int:
    """Start the web UI and the daemon; returns when they end (Ctrl-C)."""
    settings = enter(arguments)
    with dg.DagsterInstance.get() as instance:
        fail_orphans(instance)
    print(
        f"lake {lake_path(settings)}\nweb UI at http://{arguments.host}:{arguments.port} in about 20 s; Ctrl-C ends it"
    )
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", "workspace.yaml"]
    command += ["--host", arguments.host, "--port", str(arguments.port)]
    with subprocess.Popen(command, cwd=home()) as process:  # noqa: S603 -- our own interpreter and checked flags
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the child was interrupted as well: let it put its state in order
                continue
