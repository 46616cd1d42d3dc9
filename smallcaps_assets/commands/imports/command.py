"""`smallcaps import`: take in what a user already has; each kind is a module of its own."""

from argparse import Namespace
from importlib import import_module
from pathlib import Path

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Profile


def run(arguments: Namespace) -> int:
    """Take in bars, events or windows; returns the exit code."""
    result: int = import_module(f"smallcaps_assets.commands.imports.{arguments.what}").run(arguments)
    return result


def choose_from(lake: Lake, profile: Profile, events: Path) -> str:
    """How a manifest is chosen from imported events, for a capture in this lake."""
    folder = lake.manifests(profile)
    return f'smallcaps manifest --master "{events}" --profile {profile} --out "{folder}"'
