"""`smallcaps event`: write the page of one event, with its bars, its tape and its figures."""

import re
import webbrowser
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.workplace import add_data_flags, enter, existing_lake
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.pipeline.review.event_page import find_captured_event
from smallcaps_assets.settings.settings import PROFILES

NEEDS: Final = "an event of a current manifest with captured tape."
EXAMPLE: Final = "smallcaps event DRILL_volume_spike_20251119_170500_c8a05d8c --open"
_NOT_IN_NAMES: Final = re.compile(r"[^\w.+-]")


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument("event", metavar="EVENT_ID", help="the event: column event_id of manifests and of MASTER")
    parser.add_argument("--profile", choices=PROFILES, help="show the tape of this profile, if several captured it")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page to write (default: EVENT_ID.html)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(arguments: Namespace) -> int:
    """Write the page of an event; its tape is that of the profile that captured it.

    Raises:
        InputError: the event is unknown, has no tape yet or is captured by several profiles, or the page cannot be
            written.
        LakeError: its manifest, bars or tape are damaged.
    """
    settings = enter(arguments)
    lake = existing_lake(arguments, settings)
    event = find_captured_event(lake, settings, arguments.event, arguments.profile)
    out: Path = arguments.out or Path(f"{_NOT_IN_NAMES.sub('_', arguments.event)}.html")
    if not out.resolve().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}. Create it, or give another path.")
    page = event.page(lake, settings)
    publish_text(out.resolve(), page)
    show(f"{out}: {arguments.event}, tape of {event.profile}, {len(page.encode()) / 1e6:,.2f} MB")
    if arguments.open and not webbrowser.open(out.resolve().as_uri()):
        show("no browser could be started: open the file yourself")
    return 0
