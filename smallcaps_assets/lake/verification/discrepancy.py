"""A difference between a file of the lake and what was published; what a damaged file makes readers raise."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.lake.layout import Lake

# what the system, Polars, JSON or datetime raise for a damaged file
DAMAGE_ERRORS: Final = (
    SmallcapsError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


@dataclass(frozen=True)
class Discrepancy:
    """A difference: the file (relative to the lake), what, which events it concerns, and the remedy, if it has one."""

    file: str
    what: str
    expected: str
    found: str
    event_ids: tuple[str, ...] = ()
    remedy: str = ""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; of the system's errors the reason only, without number and file."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or next(iter(str(error).splitlines()), type(error).__name__)


def relative_path(lake: Lake, path: Path) -> str:
    """The path of a file below its lake, as findings name it."""
    return path.relative_to(lake.root).as_posix()
