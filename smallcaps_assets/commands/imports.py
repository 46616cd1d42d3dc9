"""`smallcaps import`: take in what a user already has; each kind is a module of its own."""

from argparse import Namespace
from importlib import import_module


def run(arguments: Namespace) -> int:
    """Take in bars, events or windows; returns the exit code."""
    result: int = import_module(f"smallcaps_assets.commands.import_{arguments.what}").run(arguments)
    return result
