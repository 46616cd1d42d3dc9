"""Files of minute bars: one per symbol and ET month, with the fingerprints of its sessions in the footer."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.versions import digest
from smallcaps_assets.lake.import_records import IMPORTS, Imports
from smallcaps_assets.lake.publish import disk_errors, provenance_of

DAY: Final = new_york_date(pl.col("timestamp"))
# fingerprint of a covered session without bars
NO_BARS: Final = "0-0000000000000000"


class PublishedMonth(NamedTuple):
    """Contents of a month file."""

    bars: pl.DataFrame
    sessions: dict[date, str]
    imports: Imports


def read_month(path: Path) -> PublishedMonth:
    """Read a month file; empty if there is none."""
    if not path.is_file():
        return PublishedMonth(BARS.to_frame(), {}, {})
    with disk_errors("read", path):
        bars = pl.read_parquet(path, hive_partitioning=False, glob=False)
    return PublishedMonth(bars, read_fingerprints(path), month_provenance(path).get(IMPORTS, {}))


def month_provenance(path: Path) -> dict[str, Any]:
    """Provenance in the footer of a month file, without sessions where a file has none."""
    return provenance_of(path) or {"sessions": {}}


def read_fingerprints(path: Path) -> dict[date, str]:
    """Covered sessions of a month file and their fingerprints; without provenance, the dates of its bars."""
    provenance = provenance_of(path)
    if provenance is not None:
        return parse_sessions(provenance["sessions"])
    with disk_errors("read", path):
        return fingerprint_sessions(pl.read_parquet(path, hive_partitioning=False, glob=False))


def parse_sessions(sessions: Mapping[str, str]) -> dict[date, str]:
    """Sessions of a footer by date."""
    return {date.fromisoformat(day): mark for day, mark in sessions.items()}


def combine_fingerprints(fingerprints: Mapping[date, str]) -> str:
    """Fingerprint of all bars of a symbol, from those of its sessions."""
    return digest(f"{day} {fingerprints[day]}" for day in sorted(fingerprints))


def count_bars(mark: str) -> int:
    """Number of bars of a session, from its fingerprint."""
    return int(mark.partition("-")[0])


def fingerprint_sessions(bars: pl.DataFrame) -> dict[date, str]:
    """Fingerprints of sessions: number of bars and a sum of bit patterns, equal in every version of Polars."""
    bits = [
        pl.col(name).reinterpret(dtype=pl.Int64).fill_null(weight) * (2 * weight + 1)
        for weight, name in enumerate(("open", "high", "low", "close", "volume"), start=1)
    ]
    minute = pl.col("timestamp").dt.epoch("us") // 60_000_000
    digest = (pl.sum_horizontal(*bits, pl.col("transactions").fill_null(-1)) * minute).sum()
    marks = bars.group_by(day=DAY).agg(rows=pl.len(), digest=digest.reinterpret(signed=False))
    return {day: f"{rows}-{digest:016x}" for day, rows, digest in marks.iter_rows()}
