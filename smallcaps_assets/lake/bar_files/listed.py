"""Which files of minute bars a symbol has, and what those cover that do not look as they are known."""

import os
import time
from collections.abc import Mapping
from datetime import date
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.lake.bar_files.month_files import read_fingerprints
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.files.misplaced import file_in_the_way
from smallcaps_assets.lake.files.publish import disk_errors

_SUFFIX: Final = ".parquet"
# the coarsest clock of a file system
TICK_NS: Final = 2_000_000_000


class MonthFile(NamedTuple):
    """A file of bars as it looks now, and the fingerprints of the sessions it covers.

    `state` is None of a file that was changed so recently that a later version could have the same state.
    """

    state: FileState | None
    fingerprints: dict[date, str]


class MonthFiles(NamedTuple):
    """The files of a symbol by their names (`YYYY-MM`): those that look as they are known, and what the others are."""

    same: list[str]
    opened: dict[str, MonthFile]


def month_path(folder: Path, month: date) -> Path:
    """The file of an ET month in the folder of a symbol, whether it exists or not."""
    return folder / f"{month:%Y-%m}{_SUFFIX}"


def month_paths(folder: Path, first: date | None = None, last: date | None = None) -> list[Path]:
    """The month files in the folder of a symbol, of the months from `first` to `last`, both included, in order.

    Raises:
        LakeError: the folder cannot be read.
    """
    since, until = (None if day is None else f"{day:%Y-%m}" for day in (first, last))
    return [
        folder / file.name
        for file in sorted(_month_entries(folder), key=attrgetter("name"))
        if (since is None or file.name >= since) and (until is None or file.name <= f"{until}{_SUFFIX}")
    ]


def open_unknown(folder: Path, known: Mapping[str, MonthCoverage]) -> MonthFiles:
    """What the month files in the folder of a symbol cover; those that look as they are `known` are not opened.

    Raises:
        LakeError: the folder or a file cannot be read.
    """
    with disk_errors("read", folder):
        states = {file.name.removesuffix(_SUFFIX): FileState.of(file) for file in _month_entries(folder)}
    same = [name for name, state in states.items() if name in known and known[name].state == state]
    still = time.time_ns() - TICK_NS
    opened = {
        name: MonthFile(
            states[name] if states[name].modified_ns < still else None,
            read_fingerprints(folder / f"{name}{_SUFFIX}"),
        )
        for name in states.keys() - same
    }
    return MonthFiles(same, opened)


def _month_entries(folder: Path) -> list[os.DirEntry[str]]:
    """The month files in the folder of a symbol, in any order; none where there is no folder."""
    with disk_errors("read", folder):
        try:
            with os.scandir(folder) as files:
                return [file for file in files if file.name.endswith(_SUFFIX) and not file.name.startswith(".")]
        except FileNotFoundError:
            return []
        except NotADirectoryError as error:
            raise file_in_the_way(folder) from error
