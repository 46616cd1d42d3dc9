"""Tape files: one per span and kind, named by what it covers, described by its footer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets.domain.tape.tables import CERTIFICATE, PUBLISHED
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import provenance_of
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_of

SPAN_TIME_FORMAT: Final = "%Y%m%dT%H%M%S"


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
    """Published files of one profile and kind, sorted; of all symbols if none are given."""
    folder = lake.tape(profile, kind)
    if symbols is None:
        found = list(folder.glob("wave=*/symbol=*/*.parquet"))
    else:
        waves = [wave.name.removeprefix("wave=") for wave in folder.glob("wave=*")]
        places = (lake.tape_wave(profile, kind, wave, symbol) for wave in waves for symbol in symbols)
        found = [path for place in places for path in place.glob("*.parquet")]
    return sorted(path for path in found if not path.name.startswith("."))


def read_footers(
    paths: Iterable[Path],
    is_usable: Callable[[Mapping[str, Any]], bool],
    missing_columns: Callable[[Mapping[str, Any]], list[str]],
) -> pl.DataFrame:
    """One row per file (PUBLISHED).

    Files that cannot be read, that are not ours or whose footer `is_usable` rejects are left out: they are fetched
    again, in their place.
    """
    rows = [row for path in paths if (row := _footer_row(path, is_usable, missing_columns))]
    return pl.DataFrame(rows, schema=PUBLISHED, orient="row")


def _is_in_its_place(path: Path, provenance: Mapping[str, Any]) -> bool:
    """Whether a file is of the wave and the symbol of its folders; imports of release 0.1 may not record them."""
    wave, symbol = path.parent.parent.name.removeprefix("wave="), symbol_of(path.parent.name)
    place = {"wave": wave, "symbol": symbol}
    return all(provenance.get(name, expected) == expected for name, expected in place.items())


def damage_of(paths: Iterable[Path], published: pl.DataFrame) -> list[LakeError]:
    """The errors of those files that cannot be read at all, so that they are not among `published` (PUBLISHED)."""
    known = set(published["path"])
    errors = []
    for path in paths:
        if str(path) not in known:
            try:
                if is_stored(path):
                    provenance_of(path)
            except LakeError as error:
                errors.append(error)
    return errors


def _footer_row(
    path: Path,
    is_usable: Callable[[Mapping[str, Any]], bool],
    missing_columns: Callable[[Mapping[str, Any]], list[str]],
) -> dict[str, Any] | None:
    try:
        start, end = (datetime.fromisoformat(f"{part}+0000") for part in path.stem.split("_"))
        provenance = provenance_of(path)
        if provenance is None or not (is_usable(provenance) and _is_in_its_place(path, provenance)):
            return None
        missing = missing_columns(provenance)
    except (LakeError, ValueError, KeyError, TypeError, AttributeError):  # what no footer of ours makes
        return None
    fetched_at = provenance.get("fetched_at")
    return {
        "symbol": symbol_of(path.parent.name),
        "wave": path.parent.parent.name.removeprefix("wave="),
        "start": start,
        "end": end,
        "path": str(path),
        "bytes": path.stat().st_size,
        "missing_columns": missing,
        **{name: provenance.get(name) for name in CERTIFICATE},
        "fetched_at": datetime.fromisoformat(fetched_at) if fetched_at else None,
    }
