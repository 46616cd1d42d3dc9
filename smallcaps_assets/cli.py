"""`smallcaps`: the command line. Each command is a module of `commands/`, imported only when it is called."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Final

from smallcaps_assets.commands.command_parser import NO_COLOR, CommandParser, add_commands
from smallcaps_assets.errors import SmallcapsError

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "Run the whole product on the simulated exchange."),
    "check": ("inspecting.check", "Check key, plan, lake, disk, calendar, state and port before any work begins."),
    "doctor": ("doctor", "Test the installation, and whether a folder suits a lake, also between two hosts."),
    "ui": ("ui", "Open the web UI on the lake."),
    "exchange": ("exchange", "Serve the vendor's protocol on this machine."),
    "detect": ("detect", "Find events in minute bars without Dagster, and compare settings."),
    "manifest": ("manifest", "Choose the events of a profile from a MASTER file."),
    "research": ("research", "Compute research tables of events, bars and tape, from any parquet files."),
    "plan": ("plan", "Estimate what a capture costs before it is paid for: requests, hours, bytes."),
    "verify": ("inspecting.verify", "Check every file of the lake, and the tape against its certificates."),
    "audit": ("inspecting.audit", "Fetch some published windows again and report what the vendor changed since."),
    "review": ("review", "Import the labels of a review sheet and report the share of good events."),
    "event": ("event", "Write the page of one event: its bars, its tape and its figures."),
    "labels": ("outcomes.labels", "Report how labels ended and what they returned, by event type and label spec."),
    "cohorts": ("outcomes.cohorts", "Report which kinds of events paid after costs, with intervals and sample sizes."),
    "coverage": ("inspecting.coverage", "Report which bars are missing: sessions, minutes, doubled volumes."),
    "listings": ("inspecting.listings", "Report which security had a ticker when, and what missing lists cost."),
    "worker": ("cluster.worker", "Execute runs of a cluster on this machine."),
    "import": ("imports.command", "Import bars, events or windows that you already have, without downloading them."),
    "backup": ("backups.backup", "Back up the lake and Dagster's state while runs go on; list and check backups."),
    "restore": ("backups.restore", "Restore a lake and Dagster's state from a backup."),
    "status": ("inspecting.status", "Report what is done and what is missing."),
}
USERS_MISTAKE: Final = 2
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    The code is 0 on success, 1 if the command finished but rejected some of its input, 2 for anything the user can
    correct, 130 if interrupted.
    """
    arguments = build_parser().parse_args(argv)
    # imports Polars, which help needs not wait for
    from smallcaps_assets.commands.console import allow_color, progress_bars, show_error  # noqa: PLC0415

    allow_color(color=not getattr(arguments, NO_COLOR, False))
    try:
        with progress_bars():
            result: int = arguments.run(arguments)
    except SmallcapsError as error:
        show_error(arguments.command, error)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output closed it, as in `smallcaps status | head`
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 -- for the interpreter's last flush
        return 0
    except Exception as error:
        from smallcaps_assets.runtime.system_errors import system_error  # noqa: PLC0415 -- rarely needed

        known = system_error(error)
        if known is None:
            raise
        show_error(arguments.command, known)
        return USERS_MISTAKE
    return result


def build_parser() -> ArgumentParser:
    """The parser of the whole command line; the flags of a command are added when that command is parsed."""
    parser = CommandParser(prog="smallcaps", description="The tape around intraday events in US small caps.")
    add_commands(parser, "command", "COMMAND", COMMANDS)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
