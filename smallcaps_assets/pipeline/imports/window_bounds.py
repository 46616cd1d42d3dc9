"""Checks that files of trades and quotes cover the minutes that the user declares."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.imports.tape import tape_ends
from smallcaps_assets.domain.sessions import NEW_YORK, SessionParams
from smallcaps_assets.domain.tape.nbbo import Thinning
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.bars import BarsStore

# Of this many files at least one comes within NEAR_S of a bound that they reach; fewer may all be of quiet minutes.
LEAST_FILES: Final = 20
NEAR_S: Final = 60
# files to check, evenly spread
LOOKED_INTO: Final = 1_000


class Claim(NamedTuple):
    """A file, and the minutes that it is declared to cover around an event at `at`."""

    path: Path
    at: datetime
    start: datetime
    end: datetime


class _Side(NamedTuple):
    """How far the rows of a file and its declared minutes reach from the event to one side, in seconds."""

    reaches: float
    declared: float


def require_bounds(claims: Sequence[Claim], timezone: str | None, sessions: SessionParams) -> None:
    """Require that files come near the bounds of the minutes that they are declared to cover.

    Bounds outside trading hours, such as those before the pre-market opens, are ignored.

    Raises:
        InputError: no file does; the message has the minutes that they seem to cover.
    """
    before, after = [], []
    opens, closes = sessions.premarket_open, sessions.afterhours_close
    for claim in claims[:: math.ceil(len(claims) / LOOKED_INTO) or 1]:
        ends = _ends(claim.path, timezone)
        if ends is None:
            continue
        first, last = ends
        at, start, end = map(_in_new_york, (claim.at, claim.start, claim.end))
        if start.date() == at.date() and start.time() >= opens:
            before.append(_Side((claim.at - first).total_seconds(), (claim.at - claim.start).total_seconds()))
        if end.date() == at.date() and end.time() <= closes:
            after.append(_Side((last - claim.at).total_seconds(), (claim.end - claim.at).total_seconds()))
    found = {"before": before, "after": after}
    short = [_short(name, sides) for name, sides in found.items() if _is_short(sides)]
    if short:
        seem = " ".join(f"--{name} {_minutes(sides)}" for name, sides in found.items() if sides)
        raise InputError(
            f"the files do not cover the declared minutes: {'; '.join(short)}. They seem to cover {seem}: give that, "
            "and longer windows are left to the capture. Or give --held-for-sure, if those minutes were asked for and "
            "nothing happened in them. Nothing was imported."
        )


def require_trades(rows: pl.DataFrame, window: Mapping[str, Any], bars: BarsStore) -> None:
    """Require that a window without trades has no volume according to `bars`, else to its event.

    Args:
        rows: the trades of a file.
        window: symbol, start, end, and the event's own timestamp and volume.
        bars: the bars of the lake.

    Raises:
        InputError: there is volume.
    """
    inside = pl.col("timestamp").is_between(window["start"], window["end"], closed="left")
    if rows.height and rows.select(inside.any()).item():
        return
    symbol, day = window["symbol"], _in_new_york(window["timestamp"]).date()
    volume, source = window["volume"], "the event's own bar has"
    if bars.covers(symbol, day):
        volume, source = bars.read(symbol, day, day).filter(inside)["volume"].sum(), "the bars of the lake have"
    if volume:
        raise InputError(
            f"holds no trade from {window['start']:%Y-%m-%d %H:%M} to {window['end']:%H:%M} UTC, of which {source} a "
            f"volume of {volume:,.0f}; left to the capture"
        )


def require_resolution(given: Thinning | None, wanted: Thinning) -> None:
    """Require that quotes thinned as `given` (None: full stream) can be thinned further to `wanted`.

    Raises:
        InputError: they cannot.
    """
    if given is None:
        return
    if not given.resolves(wanted) or given.max_hz % wanted.max_hz:
        words = "only changes of the book, " if wanted.by_change_only else "every quote that is last in its interval, "
        raise InputError(
            f"--resolution: quotes at {given.max_hz} a second{', changes only' if given.by_change_only else ''} do not "
            f"make those the profile keeps ({words}{wanted.max_hz} a second): a multiple of that rate is needed. Leave "
            "the quotes out, they are captured then, or choose another profile."
        )


def _is_short(sides: Sequence[_Side]) -> bool:
    return len(sides) >= LEAST_FILES and all(side.declared - side.reaches > NEAR_S for side in sides)


def _short(name: str, sides: Sequence[_Side]) -> str:
    declared, reaches = (max(getattr(side, which) for side in sides) / 60 for which in ("declared", "reaches"))
    return (
        f"of {len(sides):,} that should reach to {declared:g} minutes {name} their event, none comes within {NEAR_S} "
        f"seconds of that, and the farthest reaches to {reaches:.1f}"
    )


def _minutes(sides: Sequence[_Side]) -> int:
    """Whole minutes that the farthest of the files reaches."""
    return max(1, math.ceil(max(side.reaches for side in sides) / 60))


def _in_new_york(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(NEW_YORK))


def _ends(path: Path, timezone: str | None) -> tuple[datetime, datetime] | None:
    """The first and last time of a file; None if it has none, or is rejected later for another reason."""
    try:
        return tape_ends(pl.scan_parquet(path, hive_partitioning=False, glob=False), timezone)
    except (InputError, pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
