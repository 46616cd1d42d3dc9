"""The data that a command works on: the settings, changed by the command's flags."""

from argparse import ArgumentParser, Namespace
from datetime import date
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.commands.flag_types import positive_number, seed_number
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets.settings.settings import (
    Settings,
    config_path,
    lake_path,
    load_settings,
    pass_to_children,
)
from smallcaps_assets.simulated.replay.market import ReplayMarket

# the vendor's data begins in this year
_VENDOR_HISTORY_BEGINS: Final = date(2003, 1, 1)


def add_data_flags(parser: ArgumentParser) -> None:
    """Add the flags that choose the data a command works on; `enter` reads them."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings to use instead of config/config.yaml")
    parser.add_argument("--lake", type=Path, metavar="DIR", help="folder of the lake, instead of lake.path")
    market = parser.add_argument_group("simulated exchange")
    market.add_argument("--symbols", type=positive_number, metavar="N", help="number of simulated symbols")
    market.add_argument(
        "--sessions", type=positive_number, metavar="N", help="number of sessions, counted back from the last one"
    )
    market.add_argument("--seed", type=seed_number, metavar="N", help="seed of the simulated market")
    market.add_argument("--replay", type=Path, metavar="DIR", help="serve the parquet files of a folder instead")


def enter(arguments: Namespace, *, embedded: bool = False) -> Settings:
    """Load the settings, changed by the flags, and make this process and its children use them.

    Args:
        arguments: the parsed flags of `add_data_flags`.
        embedded: use the simulated exchange, regardless of the settings.

    Raises:
        InputError: simulated data would enter the lake of the vendor's data, or a flag's value cannot be used.
        SettingsError: see `load_settings`.
    """
    config = (arguments.config or config_path()).resolve()
    plain = load_settings(config, {})
    changes = _changes(arguments, plain)
    if embedded and plain.source.kind == "vendor":
        if arguments.lake is None:
            raise InputError(
                f"{config} uses the real vendor, and simulated data must not enter its lake: give --lake DIR."
            )
        changes.setdefault("source", {})["kind"] = "embedded"
    settings = load_settings(config, changes)
    pass_to_children(config, changes)
    return settings


def existing_lake(arguments: Namespace, settings: Settings) -> Lake:
    """The lake to read.

    Raises:
        InputError: the folder of --lake does not exist.
    """
    lake = Lake(lake_path(settings))
    if arguments.lake is not None and not lake.root.is_dir():
        raise InputError(f"--lake {arguments.lake}: there is no such folder. Correct the path.")
    return lake


def flags_of(arguments: Namespace) -> str:
    """The data flags as given, to print a command that works on the same data."""
    given = {name: getattr(arguments, name) for name in ("config", "lake", "symbols", "sessions", "seed", "replay")}
    return "".join(f" --{name} {value}" for name, value in given.items() if value is not None)


def _changes(arguments: Namespace, plain: Settings) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    market = {name: getattr(arguments, name) for name in ("symbols", "seed") if getattr(arguments, name) is not None}
    first, last = plain.history.first_session, plain.history.last_session
    if arguments.replay is not None:
        folder = arguments.replay.resolve()
        market["replay"] = str(folder)
        first, last = ReplayMarket(folder).sessions()
    if market:
        changes["source"] = {"embedded": market}
    if arguments.sessions is not None:
        if last is None:
            raise InputError(
                f"--sessions {arguments.sessions}: there is no history.last_session to count back from. Set it."
            )
        days = xnys_calendar(_VENDOR_HISTORY_BEGINS, last)["date"]
        if arguments.sessions > days.len():
            raise InputError(f"--sessions {arguments.sessions}: there are only {days.len():,} up to {last}.")
        first = days.tail(arguments.sessions)[0]
    if arguments.replay is not None or arguments.sessions is not None:
        changes["history"] = {"first_session": first, "last_session": last}
    if arguments.lake is not None:
        changes["lake"] = {"path": str(arguments.lake.resolve())}
    return changes
