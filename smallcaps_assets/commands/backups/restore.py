"""`smallcaps restore`: a lake and Dagster's state from a snapshot."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.backups.where import restore_target
from smallcaps_assets.commands.console import Line, Printable, show
from smallcaps_assets.commands.services.processes import processes_of_state
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.commands.workplace import add_data_flags, enter, flags_of
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.words import count_noun, describe_duration
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.backup.inventory import SETTINGS
from smallcaps_assets.pipeline.backup.restore import RestoreResult, restore
from smallcaps_assets.pipeline.progress import log_if_long
from smallcaps_assets.settings.settings import lake_path, settings_version

NEEDS: Final = "a backup; an empty folder for the lake."
EXAMPLE: Final = "smallcaps restore /mnt/backup/lake --lake lake"


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a backup, for its newest snapshot; or a snapshot")
    parser.add_argument("--no-state", action="store_true", help="restore the lake without Dagster's state")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Restore a snapshot into the empty folder of --lake, and the state of that lake.

    Raises:
        InputError: --lake is missing or not empty, or the state is in use or not empty.
        LakeError: the backup is damaged; nothing was written.
    """
    if arguments.lake is None:
        raise InputError("--lake is missing: give the empty folder that the lake is restored to, such as --lake lake.")
    settings = enter(arguments)
    folder = state_folder(settings)
    if not arguments.no_state and (users := processes_of_state(folder)):
        raise InputError(
            f"{folder}: this state is in use (process {users[0].process.pid}). End `smallcaps ui` first, or restore "
            "with --no-state."
        )
    began = time.monotonic()
    log = log_if_long(lambda line: show(line, file=sys.stderr))
    with restore_target(settings, lake_path(settings), with_state=not arguments.no_state) as target:
        result = restore(arguments.source, target, log)
    seconds = time.monotonic() - began
    same_settings = result.snapshot.facts["settings_version"] == settings_version(settings)
    if arguments.json:
        document = {
            "snapshot": result.snapshot.name,
            "lake": str(target.lake),
            "state": None if target.state is None else str(target.state),
            "lake_files": result.lake_files,
            "lake_bytes": result.lake_bytes,
            "state_files": result.state_files,
            "same_settings": same_settings,
        }
        print(json.dumps({**document, "seconds": seconds}))
    else:
        show(*_text(result, seconds, arguments, same_settings=same_settings))
    return 0


def _text(result: RestoreResult, seconds: float, arguments: Namespace, *, same_settings: bool) -> list[Printable]:
    of_lake, of_state = (
        f"{count_noun(result.lake_files, 'file')} of the lake",
        f"{count_noun(result.state_files, 'file')} of Dagster's state",
    )
    again = ", continued after a restore that did not end" if result.continued else ""
    lines: list[Printable] = [
        Line(f"restored the snapshot {result.snapshot.name} in {describe_duration(seconds)}{again}", "heading"),
        f"  {of_lake}, {result.lake_bytes / BYTES_PER_MB:,.2f} MB; {of_state}",
    ]
    if not same_settings:
        lines.append(
            Line(f"  the settings of then were others: compare {result.snapshot.folder / SETTINGS} with yours", "note")
        )
    flags = flags_of(arguments)
    return [*lines, f"next: smallcaps verify{flags}, then smallcaps status{flags}"]
