"""`smallcaps doctor`: whether an installation is complete, and a folder keeps what a lake relies on."""

import json
import shutil
import sys
import uuid
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import Line, show
from smallcaps_assets.commands.doctoring.installation import check_installation, release
from smallcaps_assets.commands.doctoring.second import MET_WITHIN_S, second_process
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.inspecting.check import verdict_line
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.promises.file_system import FileSystem, file_system_of
from smallcaps_assets.lake.promises.meeting import Meeting, meet
from smallcaps_assets.lake.promises.one_host import check_one_host
from smallcaps_assets.lake.promises.promises import PromiseResult
from smallcaps_assets.lake.promises.two_hosts import check_two_hosts
from smallcaps_assets.settings.settings import lake_path

NEEDS: Final = "nothing; without FOLDER it tests the installation and the folder of the lake."
EXAMPLE: Final = "smallcaps doctor /mnt/lake --two-hosts"

_PROBLEMS: Final = 1
# participants of two hosts meet under it; those of one machine under one of their own
_OPEN_TOKEN: Final = "two hosts"  # noqa: S105 -- no secret


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="test this folder only")
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--two-hosts",
        action="store_true",
        help="test between two hosts: start the same command on both; they find each other in the folder",
    )
    other.add_argument("--also", type=Path, metavar="DIR", help="the same folder, mounted on this machine again")
    parser.add_argument(
        "--wait",
        type=positive_number,
        default=120,
        metavar="S",
        help="seconds to wait for the other (default: 120)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    add_data_flags(parser)


def run(arguments: Namespace) -> int:
    """Print what was found; returns 0 if nothing is wrong, else 1.

    Raises:
        InputError: a folder does not exist, or the other host does not come.
        LakeError: the folder cannot be written.
    """
    found: list[PromiseResult] = []
    for result in _results(arguments):
        found.append(result)
        if not arguments.json:
            show(verdict_line(result.name, result.verdict, _text(result)))
    problems = [result.name for result in found if result.verdict == "problem"]
    if arguments.json:
        print(json.dumps({"holds": not problems, "results": [result._asdict() for result in found]}))
    else:
        for remedy in dict.fromkeys(result.remedy for result in found if result.verdict == "problem" and result.breaks):
            show(Line(f"remedy: {remedy}", "note", hanging=len("remedy: ")))
        show(f"wrong: {', '.join(problems)}" if problems else "nothing is wrong")
    return _PROBLEMS if problems else 0


def _text(result: PromiseResult) -> str:
    text = result.message
    if result.breaks:  # the remedies of several promises are the same, and follow at the end
        text += f". Without this promise {result.breaks}"
    elif result.remedy:
        text = f"{text.rstrip('.')}. {result.remedy}"
    return text


def _results(arguments: Namespace) -> Iterator[PromiseResult]:
    folder = arguments.folder
    if folder is None:
        for check in check_installation(arguments):
            yield PromiseResult(check.name, check.verdict, check.message, remedy=check.remedy)
        try:
            lake = lake_path(enter(arguments))
        except SettingsError:
            return
        # a lake that does not exist yet will be on the disk of the folder above it
        folder = next(place for place in (lake, *lake.parents) if place.is_dir())
    yield from _test_folder(_existing(folder), arguments)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder. Create it, or correct the path.")
    return folder.resolve()


def _test_folder(folder: Path, arguments: Namespace) -> Iterator[PromiseResult]:
    system = file_system_of(folder)
    yield _describe(folder, system)
    place = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        with disk_errors("written", folder):
            place.mkdir()
        yield from check_one_host(place, system)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    with ExitStack() as stack:
        if arguments.two_hosts:
            _announce(f"waiting up to {arguments.wait} s for `smallcaps doctor FOLDER --two-hosts` on another host ...")
            meeting = stack.enter_context(meet(folder, _OPEN_TOKEN, arguments.wait, release=release()))
            yield _describe_other(meeting)
        else:
            token = uuid.uuid4().hex
            also = _existing(arguments.also) if arguments.also else folder
            is_there = stack.enter_context(second_process(also, token))
            meeting = stack.enter_context(meet(folder, token, MET_WITHIN_S, is_there=is_there, release=release()))
        yield from check_two_hosts(meeting, system, _announcing(arguments))
    if system is not None and not system.is_local and not arguments.two_hosts and not arguments.also:
        remedy = f"Run on two hosts, within two minutes: smallcaps doctor {folder} --two-hosts."
        yield PromiseResult("hosts", "note", "two processes of this host were tested, not two hosts", remedy=remedy)


def _announcing(arguments: Namespace) -> Callable[[str], None]:
    """Says what is being tested, on the terminal of who waits for it."""
    return lambda what: None if arguments.json else _announce(f"testing {what} ...")


def _announce(text: str) -> None:
    show(Line(text, "note"), file=sys.stderr)


def _describe(folder: Path, system: FileSystem | None) -> PromiseResult:
    if system is None:
        return PromiseResult("folder", "ok", f"{folder}: the system does not name its file system")
    message = f"{folder}: {system.kind}, mounted at {system.mounted_at} with {system.options}"
    return PromiseResult("folder", "ok", message)


def _describe_other(meeting: Meeting) -> PromiseResult:
    """Whom this host met; the code is the same on both, so that people see that they met."""
    other, ours = meeting.facts, release()
    message = f"met {other['host']}, code {meeting.code} there as well"
    if meeting.is_on_this_machine:
        remedy = "Start the command on two hosts; for two mounts of one machine there is --also."
        return PromiseResult("hosts", "note", f"{message}; both processes are on this machine", remedy=remedy)
    if other["release"] != ours:
        remedy = "Install the same release on all hosts."
        return PromiseResult(
            "hosts", "problem", f"{message}; it has release {other['release']}, this one {ours}", remedy=remedy
        )
    return PromiseResult("hosts", "ok", message)
