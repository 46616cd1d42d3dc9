"""Tape files: one per span and kind, named by what it covers, described by its footer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import CERTIFICATE, PUBLISHED
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_of

SPAN_TIME_FORMAT: Final = "%Y%m%dT%H%M%S"
# what a footer that no release wrote raises where it is used
_NOT_OURS: Final = (
    LakeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    pl.exceptions.PolarsError,
)


@dataclass(frozen=True)
class Span:
    """A part [start, end), UTC, of one symbol's tape, and the events whose windows it covers."""

    symbol: str
    wave: str
    start: datetime
    end: datetime
    events_merged: tuple[str, ...]

    @property
    def name(self) -> str:
        """Identifies the span within its symbol: its bounds, in UTC."""
        return f"{self.start:{SPAN_TIME_FORMAT}}_{self.end:{SPAN_TIME_FORMAT}}"


def spans_of(table: pl.DataFrame) -> list[Span]:
    """The rows of a table of spans (SPANS)."""
    return [Span(**row | {"events_merged": tuple(row["events_merged"])}) for row in table.to_dicts()]


def list_tape_files(lake: Lake, profile: str, kind: TapeKind, symbols: Sequence[str] | None = None) -> list[Path]:
    """Published files of one profile and kind, sorted; of all symbols if none are given.

    Raises:
        LakeError: a folder of them is closed to this user, or a file is in its place.
    """
    folder = lake.tape(profile, kind)
    if symbols is None:
        found = list_paths(folder, "wave=*/symbol=*/*.parquet")
    else:
        waves = [wave.name.removeprefix("wave=") for wave in list_paths(folder, "wave=*")]
        places = (lake.tape_wave(profile, kind, wave, symbol) for wave in waves for symbol in symbols)
        found = [path for place in places if not place.is_file() for path in list_paths(place, "*.parquet")]
    return sorted(path for path in found if not path.name.startswith("."))


def describe_damage(errors: Sequence[LakeError]) -> str | None:
    """The damaged files of tape, whose windows count as missing: how many, and the first one with its remedy."""
    if not errors:
        return None
    more = " `smallcaps verify` names all." if len(errors) > 1 else ""
    return f"{count_noun(len(errors), 'file')}, whose windows count as missing: {errors[0]}{more}"


@dataclass(frozen=True)
class FooterReader:
    """Reads what tape files say of themselves; opens nothing but their footers.

    Attributes:
        is_usable: whether a file with this provenance is good enough for the profile.
        missing_columns: the columns of the profile that a file with this provenance lacks.
    """

    is_usable: Callable[[Mapping[str, Any]], bool]
    missing_columns: Callable[[Mapping[str, Any]], list[str]]

    def read(self, paths: Iterable[Path]) -> pl.DataFrame:
        """One row per file (PUBLISHED).

        Files that cannot be read, that are not ours or whose footer `is_usable` rejects are left out: they are fetched
        again, in their place.
        """
        rows = [row for path in paths if (row := self._row_if_sound(path))]
        try:
            return _as_table(rows)
        except _NOT_OURS:  # a footer with a value of another type
            return _as_table([row for row in rows if _fits(row)])

    def damaged(self, paths: Iterable[Path], published: pl.DataFrame) -> list[LakeError]:
        """What is wrong with those files that are damaged or not ours, so that they are not among `published`."""
        known = set(published["path"])
        return [fault for path in paths if str(path) not in known and (fault := self._fault(path)) is not None]

    def _row_if_sound(self, path: Path) -> dict[str, Any] | None:
        try:
            return self._row(path)
        except _NOT_OURS:
            return None

    def _fault(self, path: Path) -> LakeError | None:
        """Why a file is no tape file of its place; None where it is one, or is not named as one."""
        if span_bounds(path) is None:
            return None
        try:
            if is_stored(path) and (row := self._row(path)) is not None:
                _as_table([row])
        except LakeError as error:
            return error if error.facts.get("file") else _damage(path, f"is damaged: {str(error).rstrip('.')}")
        except _NOT_OURS:
            return _damage(path, "is damaged: its footer has values that no tape file has")
        return None

    def _row(self, path: Path) -> dict[str, Any] | None:
        """The row (PUBLISHED) of a file; None where it is not named as one or not good enough.

        Raises:
            LakeError: it cannot be read, or is no tape file of its place.
            ValueError, KeyError, TypeError, AttributeError: its footer is none that a release wrote.
        """
        bounds = span_bounds(path)
        if bounds is None:
            return None
        provenance = provenance_of(path)
        if provenance is None:
            raise _damage(path, "is a table of another kind: its footer has nothing that tape files record")
        _require_place(path, provenance)
        if not self.is_usable(provenance):
            return None
        fetched_at = provenance.get("fetched_at")
        return {
            "symbol": symbol_of(path.parent.name),
            "wave": _wave_of(path),
            "start": bounds[0],
            "end": bounds[1],
            "path": str(path),
            "bytes": path.stat().st_size,
            "missing_columns": self.missing_columns(provenance),
            **{name: provenance.get(name) for name in CERTIFICATE},
            "fetched_at": datetime.fromisoformat(fetched_at) if fetched_at else None,
        }


def _as_table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=PUBLISHED, orient="row")


def _fits(row: Mapping[str, Any]) -> bool:
    try:
        _as_table([row])
    except _NOT_OURS:
        return False
    return True


def span_bounds(path: Path) -> tuple[datetime, datetime] | None:
    """Start and end that the name of a file states; None where it is not the name of a tape file."""
    try:
        start, end = (datetime.fromisoformat(f"{part}+0000") for part in path.stem.split("_"))
    except ValueError:
        return None
    return start, end


def _wave_of(path: Path) -> str:
    return path.parent.parent.name.removeprefix("wave=")


def pair_of(path: Path) -> tuple[str, str]:
    """Symbol and wave of a tape file, or of the record of its failure, by their folders."""
    return symbol_of(path.parent.name), _wave_of(path)


def _require_place(path: Path, provenance: Mapping[str, Any]) -> None:
    """Make sure that a file is of the wave and the symbol of its folders; imports of release 0.1 may not record them.

    Raises:
        LakeError: it is of another one.
    """
    place = {"symbol": symbol_of(path.parent.name), "wave": _wave_of(path)}
    for name, expected in place.items():
        if provenance.get(name, expected) != expected:
            raise _damage(path, f"is tape of {name} {provenance[name]}, not of {expected}")


def _damage(path: Path, what: str) -> LakeError:
    return LakeError(f"{path}: {what}. {how_to_restore(path)}", path).with_facts(what.partition(":")[0])
