"""What the file system reports of the files behind the research tables of tape, without opening any of them."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.bar_files.months import FileState
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.tape.files import span_bounds

_A_DAY: Final = timedelta(days=1)
_WITHIN_A_MONTH: Final = timedelta(days=28)

# names of files below the lake, with their states
FileStates = dict[str, FileState]


def states_of_tape(lake: Lake, profile: str, symbol: str) -> FileStates:
    """The files of one symbol that its research tables of tape depend on.

    They are its tape files, the records of its spans that failed, and its bars of the months of its tape.

    Raises:
        OSError: a folder or a file is closed to this user.
    """
    found, months = FileStates(), set[str]()
    for kind in TAPE_KINDS:
        for wave in WAVES:
            for file in _listed(lake.tape_wave(profile, kind, wave, symbol), ".parquet"):
                found[f"{kind} {wave} {file.name}"] = FileState.of(file)
                months |= _months_of(file.name)
            for file in _listed(lake.tape_failures(profile, kind, wave, symbol), ".json"):
                found[f"{kind} {wave} {file.name}"] = FileState.of(file)
    bars = lake.bars(symbol)
    for month in sorted(months):
        if (state := state_of(bars / f"{month}.parquet")) is not None:
            found[f"bars {month}"] = state
    return found


def state_of(path: Path) -> FileState | None:
    """The state of one file; None where there is none.

    Raises:
        OSError: it is closed to this user.
    """
    try:
        state = os.stat(path)  # noqa: PTH116 -- half as long as the method of the path
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileState(state.st_size, state.st_mtime_ns)


def _listed(folder: Path, suffix: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as listed:
            yield from [file for file in listed if file.name.endswith(suffix) and not file.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return


def _months_of(name: str) -> set[str]:
    """The months (`YYYY-MM`) of the New York days that a tape file may reach into."""
    if name[:6] == name[16:22] and name[6:8] != "01":  # YYYYMMDDThhmmss_YYYYMMDDThhmmss
        return {f"{name[:4]}-{name[4:6]}"}
    bounds = span_bounds(Path(name))
    if bounds is None:
        return set()
    start, end = bounds
    day = start - _A_DAY  # that of New York may be the one before
    months = {f"{end:%Y-%m}"}
    while day < end:
        months.add(f"{day:%Y-%m}")
        day += _WITHIN_A_MONTH
    return months
