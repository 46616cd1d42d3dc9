"""`smallcaps verify`: compare every file of the lake with what was published, and the tape with its certificates."""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, replace
from typing import Any, Final, TypeVar

from smallcaps_assets.commands.console import Line, Printable, TextTable, show
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake, flags_of
from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.domain.words import count_clause, count_noun
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.store import TapeStore
from smallcaps_assets.lake.verification.certificates import CONTROLS_MISSING, MANIFEST_UNUSABLE
from smallcaps_assets.lake.verification.discrepancy import Discrepancy
from smallcaps_assets.lake.verification.lake_files import LakeVerification, verify_files
from smallcaps_assets.lake.verification.verify import Verification, verify
from smallcaps_assets.pipeline.progress import log_if_long, with_progress
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

NEEDS: Final = "a lake."
EXAMPLE: Final = "smallcaps verify --profile core"

_Item = TypeVar("_Item")
_DOES_NOT_HOLD: Final = 1
_MOST_SHOWN: Final = 50
_EVENTS_SHOWN: Final = 3


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("--profile", choices=PROFILES, help="only this profile")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(arguments: Namespace) -> int:
    """Print what was checked of the lake and of each profile, the active one first, and all differences; 1 if any.

    Raises:
        InputError: there is no lake, or the profile asked for has neither a ledger nor tape.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    profiles = _profiles(lake, settings, arguments)
    began = time.monotonic()
    files = verify_files(lake, arguments.profile, watched=_watched("files read"))
    seconds = time.monotonic() - began
    if not files.kinds:
        raise InputError(f"{lake.root}: has no file of a lake. Give --lake DIR, or run `smallcaps demo` to make one.")
    checked: list[tuple[Verification, float]] = []
    for profile in profiles:
        began = time.monotonic()
        tape = TapeStore(lake, profile, settings.profiles[profile])
        result = verify(tape, proofs=files.states, watched=_watched(f"{profile}: files checked"))
        checked.append((result, time.monotonic() - began))
    # what the certificates say of a file comes with its events
    named = {finding.file for result, _ in checked for finding in result.findings}
    files = replace(files, findings=tuple(finding for finding in files.findings if finding.file not in named))
    holds = not files.findings and not named
    if arguments.json:
        documents = [_document(result, seconds) for result, seconds in checked]
        listed = _files_document(files, seconds)
        print(json.dumps({"lake": str(lake.root), "holds": holds, "files": listed, "profiles": documents}))
    else:
        show(*_files_text(lake, files, seconds))
        for result, of_profile_s in checked:
            show(*_text(result, of_profile_s, flags_of(arguments)))
    return 0 if holds else _DOES_NOT_HOLD


def _watched(what: str) -> Callable[[Iterable[_Item], int], Iterable[_Item]]:
    """Shows how many files are read while that takes long."""

    def watched(items: Iterable[_Item], total: int) -> Iterable[_Item]:
        log = log_if_long(lambda line: show(line, file=sys.stderr))
        return with_progress(items, total, what, log)

    return watched


def _profiles(lake: Lake, settings: Settings, arguments: Namespace) -> Sequence[Profile]:
    """The profile asked for, otherwise all with a ledger or tape.

    Raises:
        InputError: the profile asked for has neither.
    """
    found = [
        profile
        for profile in sorted(PROFILES, key=settings.active_profile.__ne__)
        if arguments.profile in {None, profile} and (is_stored(lake.ledger(profile)) or _has_tape(lake, profile))
    ]
    if arguments.profile and not found:
        raise InputError(
            f"{lake.root}: no ledger of profile {arguments.profile} yet. Materialize "
            f"{arguments.profile}/capture_ledger first."
        )
    return found


def _has_tape(lake: Lake, profile: Profile) -> bool:
    return any(path.is_file() for kind in TAPE_KINDS for path in lake.tape(profile, kind).rglob("*.parquet"))


def _files_text(lake: Lake, files: LakeVerification, seconds: float) -> list[Printable]:
    size, count = sum(kind.bytes for kind in files.kinds), sum(kind.files for kind in files.kinds)
    megabytes, unproven = size / BYTES_PER_MB, sum(kind.not_provable for kind in files.kinds)
    rate = f"{megabytes / max(seconds, 1e-9):,.1f} MB/s"
    lines: list[Printable] = [
        f"lake {lake.root}: {count_noun(count, 'file')}, {megabytes:,.2f} MB read in {seconds:,.1f} s ({rate})",
        TextTable(
            ("kind", "files", "MB", "intact", "not provable", "damaged"),
            [
                (
                    kind.kind,
                    f"{kind.files:,}",
                    f"{kind.bytes / BYTES_PER_MB:,.2f}",
                    f"{kind.intact:,}",
                    f"{kind.not_provable:,}",
                    f"{kind.damaged:,}{'!' if kind.damaged else ''}",
                )
                for kind in files.kinds
            ],
        ),
    ]
    if unproven:
        lines.append(
            f"  {count_clause(unproven, 'file carries', 'files carry')} no hash, since an earlier release "
            f"published them: not provable until they are "
            "next published"
        )
    if files.unknown:
        lines.append(
            f"  {count_clause(len(files.unknown), 'file is', 'files are')} not of the lake, such as "
            f"{files.unknown[0]}; they are ignored unless "
            "named below"
        )
    if files.set_aside:
        lines.append(
            f"  {count_noun(len(files.set_aside), 'file')} in the quarantine: damaged files that were set "
            f"aside, or records of "
            "errors: delete them when they are no longer needed"
        )
    if not files.findings:
        return [*lines, Line("  every file is as published" if not unproven else "  no file is damaged", "good")]
    lines += [
        Line(f"  {_finding_text(finding)}{f'; remedy: {finding.remedy}' if finding.remedy else ''}", "bad")
        for finding in files.findings[:_MOST_SHOWN]
    ]
    more = len(files.findings) - _MOST_SHOWN
    return [*lines, f"  and {more:,} more: `smallcaps verify --json` lists all"] if more > 0 else lines


def _files_document(files: LakeVerification, seconds: float) -> dict[str, Any]:
    return {
        "kinds": [kind._asdict() for kind in files.kinds],
        "unknown": files.unknown,
        "parts": files.parts,
        "set_aside": files.set_aside,
        "findings": [asdict(finding) for finding in files.findings],
        "seconds": seconds,
    }


def _text(result: Verification, seconds: float, flags: str) -> list[Printable]:
    ledger = f"{result.profile}/capture_ledger"
    megabytes = result.bytes / BYTES_PER_MB
    states = ", ".join(f"{count:,} {state}" for state, count in result.states.items())
    rows = count_noun(result.rows, "row")
    read = f"{count_noun(result.files, 'file')}, {megabytes:,.2f} MB, {rows} checked in {seconds:,.1f} s"
    rate = f"{megabytes / max(seconds, 1e-9):,.1f} MB/s"
    against = f"against the ledger of {result.manifest_id}" if result.manifest_id else "without certificates"
    lines: list[Printable] = [
        f"profile {result.profile}: {read} ({rate}) {against}",
        f"  {count_noun(sum(result.states.values()), 'event')}: {states or 'none'}",
    ]
    if result.controls:
        of_controls = ", ".join(f"{count:,} {state}" for state, count in result.controls.items())
        lines.append(f"  {count_noun(sum(result.controls.values()), 'window')} of controls: {of_controls}")
    if result.contradicted:
        lines.append(
            f"  {count_clause(len(result.contradicted), 'event is', 'events are')} without trades or quotes "
            f"although bars or trades of the same "
            f"minutes show trading, such as {result.contradicted[0]}; `smallcaps plan --profile {result.profile} "
            f"--retry-empty{flags}` shows the cost of asking for them again"
        )
    if result.since:
        count = count_clause(len(result.since), "window was", "windows were")
        lines.append(
            Line(
                f"  the ledger is out of date: {count} captured since it was made, such as {result.since[0]}: "
                f"materialize {ledger}",
                "note",
            )
        )
    if result.other_report:
        report = f"{result.profile}/capture_report"
        lines.append(Line(f"  the report was made from another ledger than that: materialize {report}", "note"))
    if result.uncertified:
        lines.append(
            f"  {count_noun(len(result.uncertified), 'file')} not certified yet, such as "
            f"{result.uncertified[0]}: materialize "
            f"{ledger} (files of events no longer in the manifest stay uncertified)"
        )
    if result.stale:
        columns = sorted({name for names in result.stale.values() for name in names})
        plural = "s" if len(columns) > 1 else ""
        lines.append(
            f"  {count_clause(len(result.stale), 'file is stale: it lacks', 'files are stale: they lack')} "
            f"column{plural} {', '.join(columns)}, read as "
            f"nulls; `smallcaps plan --profile {result.profile} --upgrade{flags}` shows the cost of fetching "
            "them again"
        )
    if result.parts:
        lines.append(
            f"  {len(result.parts):,} hidden .part files of running or killed writers; they are ignored and removed by "
            "the next publication of the same file"
        )
    if not result.findings:
        certified = (
            "every file is as certified" if result.manifest_id else "the capture is not done: no certificates yet"
        )
        return [*lines, Line(f"  {certified}", "good")]
    lines += [Line(f"  {_finding_text(finding)}", "bad") for finding in result.findings[:_MOST_SHOWN]]
    more = len(result.findings) - _MOST_SHOWN
    if more > 0:
        lines.append(f"  and {more:,} more: `smallcaps verify --profile {result.profile}{flags} --json` lists all")
    named = {finding.file for finding in result.findings}
    lines.append(f"  {count_noun(len(result.findings), 'finding')} in {count_noun(len(named), 'file')}")
    return [*lines, _remedy(result, named, ledger)]


def _remedies_of_manifests(result: Verification) -> set[str]:
    return {finding.remedy for finding in result.findings if finding.what in {MANIFEST_UNUSABLE, CONTROLS_MISSING}}


def _remedy(result: Verification, named: AbstractSet[str], ledger: str) -> str:
    """What to do about the findings, which concern the `named` files."""
    files = named - {f"tape/{result.profile}/{name}.parquet" for name in ("ledger", "control_ledger")}
    # what ledgers say of their manifests comes first
    first = "".join(f"{remedy}; then " for remedy in sorted(_remedies_of_manifests(result)))
    if not files:
        return f"  remedy: {first}materialize {ledger} again"
    return (
        f"  remedy: {first}delete the {count_noun(len(files), 'named file')} and materialize "
        f"{result.profile}/tape_trades and "
        f"{result.profile}/tape_quotes again, which fetches what is missing; then {ledger}. If the same finding "
        "comes back, the vendor sends the data like that"
    )


def _finding_text(finding: Discrepancy) -> str:
    events = ", ".join(finding.event_ids[:_EVENTS_SHOWN])
    more = len(finding.event_ids) - _EVENTS_SHOWN
    events += f" and {more:,} more" if more > 0 else ""
    about = f" (events {events})" if events else ""
    return f"{finding.file}: {finding.what}; expected {finding.expected}, found {finding.found}{about}"


def _document(result: Verification, seconds: float) -> dict[str, Any]:
    return asdict(result) | {"seconds": seconds, "holds": not result.findings}
