"""`smallcaps backup`: a snapshot of the lake and of Dagster's state, the list of snapshots, and their check."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.commands.backups.where import source_of_state
from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.words import count_clause, count_noun, describe_duration
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.backup.checking import BackupCheck, check_backup
from smallcaps_assets.lake.backup.snapshots import Backup, open_backup
from smallcaps_assets.pipeline.backup.settings_files import settings_files
from smallcaps_assets.pipeline.backup.snapshot import SnapshotResult, Sources, take_snapshot
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.settings.settings import Settings, home, settings_version

NEEDS: Final = "a lake; with --check or --list a backup."
EXAMPLE: Final = "smallcaps backup /mnt/backup/lake"

_DOES_NOT_HOLD: Final = 1
_STATES: Final = {
    "sqlite": "state in SQLite",
    "postgresql": "state in PostgreSQL",
    "none": "no state yet",
    "left out": "without the state",
}
_MOST_SHOWN: Final = 20


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "destination", nargs="?", type=Path, metavar="DEST", help="folder of the backup, instead of backup.destination"
    )
    parser.add_argument("--label", metavar="L", help="added to the name of the snapshot, which is then kept for ever")
    parser.add_argument("--no-state", action="store_true", help="leave out Dagster's state")
    parser.add_argument("--keep-all", action="store_true", help="remove no older snapshot")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check",
        type=Path,
        metavar="SRC",
        help="read every content of a backup, or of a snapshot, and compare its hash",
    )
    what.add_argument("--list", type=Path, metavar="SRC", dest="listed", help="list the snapshots of a backup")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Take a snapshot, or list or check snapshots; 1 if anything is damaged.

    Raises:
        InputError: a folder cannot be used; see `take_snapshot`.
        LakeError: a file cannot be read or written.
    """
    looks = arguments.check or arguments.listed
    if looks and (arguments.destination or arguments.label):
        raise InputError("--check and --list take no snapshot: leave DEST and --label out.")
    if arguments.check:
        return _check(arguments)
    if arguments.listed:
        return _list(arguments)
    return _take(arguments)


def _take(arguments: Namespace) -> int:
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    destination = arguments.destination or _of_settings(settings)
    params = settings.backup
    if arguments.keep_all:
        params = params.model_copy(update={"keep_last": None})
    began = time.monotonic()
    with source_of_state(settings, wanted=not arguments.no_state) as state:
        sources = Sources(lake, state, settings_files(settings), settings_version(settings))
        result = take_snapshot(sources, destination, params, label=arguments.label, log=_log())
    seconds = time.monotonic() - began
    if arguments.json:
        document = {**result.facts, "folder": str(result.folder), "removed": result.removed}
        more = {"freed_bytes": result.freed_bytes, "not_cleaned": result.not_cleaned, "seconds": seconds}
        print(json.dumps({**document, **more}))
    else:
        show(*_text(result, seconds))
    return _DOES_NOT_HOLD if result.damaged or result.not_cleaned else 0


def _of_settings(settings: Settings) -> Path:
    if settings.backup.destination is None:
        raise InputError("no DEST is given, and backup.destination is null: give the folder of the backup, or set it.")
    return home() / settings.backup.destination


def _text(result: SnapshotResult, seconds: float) -> list[Printable]:
    facts = result.facts
    counts = f"{count_noun(facts['files'], 'file')}, {_mb(facts['bytes'])}, {_STATES[facts['state']]}"
    new = f"{count_noun(facts['new_files'], 'file')} with {_mb(facts['new_bytes'])} new"
    lines: list[Printable] = [
        Line(f"snapshot {result.folder}", "heading"),
        f"  {counts}; {new}, read back and compared, in {describe_duration(seconds)}",
    ]
    if result.resumed:
        lines.append(f"  {count_noun(result.resumed, 'file')} of it were stored by a backup that did not end")
    if result.removed:
        count = count_clause(len(result.removed), "older snapshot", "older snapshots")
        lines.append(f"  removed {count} ({', '.join(result.removed)}), {_mb(result.freed_bytes)} freed")
    for name, keys in facts["settings_removed"].items():
        lines.append(
            Line(f"  settings/{name}: without the values of {', '.join(keys)}, which look like secrets", "note")
        )
    if result.not_cleaned:
        lines.append(Line(f"  contents of removed snapshots are still there: {result.not_cleaned}", "bad"))
    if result.damaged:
        count = count_clause(len(result.damaged), "file was", "files were")
        lines.append(
            Line(
                f"  {count} damaged before this backup: {', '.join(result.damaged[:_MOST_SHOWN])}. `smallcaps verify` "
                "names the remedy; an older snapshot may have it intact, so none was removed",
                "bad",
            )
        )
    return lines


def _list(arguments: Namespace) -> int:
    backup, _ = open_backup(arguments.listed)
    rows, damaged = list[dict[str, Any]](), dict[str, str]()
    for name in backup.names():
        try:
            rows.append({**backup.snapshot(name).facts, "snapshot": name})
        except LakeError as error:
            damaged[name] = str(error)
    unfinished = [folder.name for folder in backup.unfinished()]
    if arguments.json:
        document = {"backup": str(backup.root), "lake_id": backup.lake_id(), "snapshots": rows}
        print(json.dumps({**document, "damaged": damaged, "unfinished": unfinished}))
    else:
        show(*_listing(backup, rows, damaged, unfinished))
    return _DOES_NOT_HOLD if damaged else 0


def _listing(
    backup: Backup, rows: list[dict[str, Any]], damaged: dict[str, str], unfinished: list[str]
) -> list[Printable]:
    lines: list[Printable] = [
        f"backup {backup.root}: {count_noun(len(rows), 'snapshot')} of the lake {backup.lake_id()}",
        TextTable(
            ("snapshot", "state", "release", "files", "MB", "new MB", "damaged"),
            [
                (
                    row["snapshot"],
                    row["state"],
                    row["release"],
                    f"{row['files']:,}",
                    f"{row['bytes'] / BYTES_PER_MB:,.2f}",
                    f"{row['new_bytes'] / BYTES_PER_MB:,.2f}",
                    f"{len(row['damaged']):,}",
                )
                for row in rows
            ],
            left=3,
        ),
    ]
    lines += [Line(f"  {problem}", "bad") for problem in damaged.values()]
    if unfinished:
        lines.append(
            f"  {count_noun(len(unfinished), 'unfinished snapshot')}: the next backup removes what is left of it"
        )
    return lines


def _check(arguments: Namespace) -> int:
    backup, name = open_backup(arguments.check)
    began = time.monotonic()
    log = _log()

    def watched(checked: Iterable[tuple[str, str | None]], total: int) -> Iterable[tuple[str, str | None]]:
        return with_progress(checked, total, "contents checked", log)

    found = check_backup(backup, None if name is None else [name], watched)
    seconds = time.monotonic() - began
    if not found.snapshots:
        raise InputError(f"{arguments.check}: has no complete snapshot. Run `smallcaps backup` first.")
    if arguments.json:
        print(json.dumps({**asdict(found), "backup": str(backup.root), "holds": found.holds, "seconds": seconds}))
    else:
        show(*_check_text(backup, found, seconds))
    return 0 if found.holds else _DOES_NOT_HOLD


def _check_text(backup: Backup, found: BackupCheck, seconds: float) -> list[Printable]:
    read = f"{count_noun(found.objects, 'content')} of {count_noun(len(found.snapshots), 'snapshot')}"
    lines: list[Printable] = [f"backup {backup.root}: {read}, {_mb(found.bytes)} read in {describe_duration(seconds)}"]
    lines += [Line(f"  {problem}", "bad") for problem in found.unreadable.values()]
    for fault in found.faults[:_MOST_SHOWN]:
        more = f" and {count_noun(fault.others, 'other file')}" if fault.others else ""
        lines.append(
            Line(f"  {fault.path}{more}: {fault.object} {fault.problem}; in {', '.join(fault.snapshots)}", "bad")
        )
    if len(found.faults) > _MOST_SHOWN:
        lines.append(f"  and {len(found.faults) - _MOST_SHOWN:,} more: `smallcaps backup --check SRC --json` lists all")
    if found.faults:
        lines.append(
            "  remedy: put back a copy of the named objects; or remove them and run `smallcaps backup`, which stores "
            "again what the lake still has"
        )
    return lines if not found.holds else [*lines, Line("  everything is as it was stored", "good")]


def _mb(size: int) -> str:
    return f"{size / BYTES_PER_MB:,.2f} MB"


def _log() -> Callable[[str], None]:
    return log_if_long(lambda line: show(line, file=sys.stderr))
