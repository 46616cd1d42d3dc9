"""`smallcaps verify`: compare every file of the tape with its certificate."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from smallcaps_assets.commands.console import Line, Printable, show
from smallcaps_assets.commands.workplace import add_data_flags, enter, flags_of
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.certificates import Discrepancy
from smallcaps_assets.lake.verification.verify import CheckedFile, Verification, Watched, verify
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings, lake_path

NEEDS: Final = "a lake with a ledger."
EXAMPLE: Final = "smallcaps verify --profile core"

_DOES_NOT_HOLD: Final = 1
_MOST_SHOWN: Final = 50
_EVENTS_SHOWN: Final = 3


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Print what was checked of each profile, the active one first, and all differences; 1 if there is any.

    Raises:
        InputError: there is no ledger, or one that cannot be used.
        LakeError: a ledger cannot be read.
    """
    settings = enter(arguments)
    lake = Lake(lake_path(settings))
    documents = []
    holds = True
    for profile in _profiles(lake, settings, arguments):
        began = time.monotonic()
        tape = TapeStore(lake, profile, settings.profiles[profile])
        result = verify(tape, watched=_watched(profile))
        seconds = time.monotonic() - began
        holds = holds and not result.findings
        if arguments.json:
            documents.append(_document(result, seconds))
        else:
            show(*_text(result, seconds, flags_of(arguments)))
    if arguments.json:
        print(json.dumps({"lake": str(lake.root), "holds": holds, "profiles": documents}))
    return 0 if holds else _DOES_NOT_HOLD


def _watched(profile: Profile) -> Watched:
    """Shows how many files are checked while that takes long."""

    def watched(checked: Iterable[CheckedFile], files: int) -> Iterable[CheckedFile]:
        log = log_if_long(lambda line: show(line, file=sys.stderr))
        return with_progress(checked, files, f"{profile}: files checked", log)

    return watched


def _profiles(lake: Lake, settings: Settings, arguments: Namespace) -> Sequence[Profile]:
    """The profile asked for, otherwise all with a ledger."""
    if arguments.profile is not None:
        return [arguments.profile]
    ordered = sorted(PROFILES, key=settings.active_profile.__ne__)
    found = [profile for profile in ordered if lake.ledger(profile).is_file()]
    if not found:
        raise InputError(
            f"{lake.root}: no ledger of any profile yet. Materialize {settings.active_profile}/capture_ledger first."
        )
    return found


def _text(result: Verification, seconds: float, flags: str) -> list[Printable]:
    ledger = f"{result.profile}/capture_ledger"
    megabytes = result.bytes / BYTES_PER_MB
    states = ", ".join(f"{count:,} {state}" for state, count in result.states.items())
    rows = count_noun(result.rows, "row")
    read = f"{count_noun(result.files, 'file')}, {megabytes:,.2f} MB, {rows} checked in {seconds:,.1f} s"
    rate = f"{megabytes / max(seconds, 1e-9):,.1f} MB/s"
    lines: list[Printable] = [
        f"profile {result.profile}: {read} ({rate}) against the ledger of {result.manifest_id}",
        f"  {count_noun(sum(result.states.values()), 'event')}: {states or 'none'}",
    ]
    if result.contradicted:
        lines.append(
            f"  {len(result.contradicted):,} events are without trades or quotes although bars or trades of the same "
            f"minutes show trading, such as {result.contradicted[0]}; `smallcaps plan --profile {result.profile} "
            f"--retry-empty{flags}` shows the cost of asking for them again"
        )
    if result.uncertified:
        lines.append(
            f"  {len(result.uncertified):,} files not certified yet, such as {result.uncertified[0]}: materialize "
            f"{ledger} (files of events no longer in the manifest stay uncertified)"
        )
    if result.stale:
        columns = sorted({name for names in result.stale.values() for name in names})
        plural = "s" if len(columns) > 1 else ""
        lines.append(
            f"  {len(result.stale):,} files are stale: they lack column{plural} {', '.join(columns)} and are read with "
            f"nulls there; `smallcaps plan --profile {result.profile} --upgrade{flags}` shows the cost of fetching "
            "them again"
        )
    if result.parts:
        lines.append(
            f"  {len(result.parts):,} hidden .part files of running or killed writers; they are ignored and removed by "
            "the next publication of the same file"
        )
    if not result.findings:
        return [*lines, Line("  every file is as certified", "good")]
    lines += [Line(f"  {_finding_text(finding)}", "bad") for finding in result.findings[:_MOST_SHOWN]]
    more = len(result.findings) - _MOST_SHOWN
    if more > 0:
        lines.append(f"  and {more:,} more: `smallcaps verify --profile {result.profile}{flags} --json` lists all")
    named = {finding.file for finding in result.findings}
    lines.append(f"  {count_noun(len(result.findings), 'finding')} in {count_noun(len(named), 'file')}")
    files = named - {f"tape/{result.profile}/ledger.parquet"}
    if files:
        lines.append(
            f"  remedy: delete the {len(files):,} named files and materialize {result.profile}/tape_trades and "
            f"{result.profile}/tape_quotes again, which fetches what is missing; then {ledger}. If the same finding "
            "comes back, the vendor sends the data like that"
        )
    else:
        lines.append(f"  remedy: materialize {ledger} again")
    return lines


def _finding_text(finding: Discrepancy) -> str:
    events = ", ".join(finding.event_ids[:_EVENTS_SHOWN])
    more = len(finding.event_ids) - _EVENTS_SHOWN
    events += f" and {more:,} more" if more > 0 else ""
    about = f" (events {events})" if events else ""
    return f"{finding.file}: {finding.what}; expected {finding.expected}, found {finding.found}{about}"


def _document(result: Verification, seconds: float) -> dict[str, Any]:
    return asdict(result) | {"seconds": seconds, "holds": not result.findings}
