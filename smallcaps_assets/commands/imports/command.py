"""`smallcaps import`: import bars, events or windows; each kind has a separate module."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.command_parser import add_commands
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Profile

NEEDS: Final = "files; `smallcaps import WHAT --help` describes them."
EXAMPLE: Final = "smallcaps import bars minute --timezone America/New_York"


def add_flags(parser: ArgumentParser) -> None:
    """Add the kinds of data that can be imported."""
    add_commands(
        parser,
        "what",
        "WHAT",
        {
            "bars": ("imports.bars", "Import minute bars."),
            "events": ("imports.events", "Import the events of an earlier system."),
            "windows": ("imports.windows", "Import trades and quotes around events."),
        },
    )


def choose_from(lake: Lake, profile: Profile, events: Path, config: Path | None) -> str:
    """How a manifest is chosen from imported events with the settings of `config`, for a capture in this lake."""
    folder = lake.manifests(profile)
    settings = "" if config is None else f' --config "{config}"'
    return f'smallcaps manifest --master "{events}" --profile {profile} --out "{folder}"{settings}'
