"""Named frames for tests. Bars are defined minute by minute; comments explain unusual values."""

import os
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.files.publish import PROVENANCE
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import Settings, load_settings

NEW_YORK = ZoneInfo("America/New_York")

# open, high, low, close, volume, transactions
Row = tuple[float, float, float, float, float, int | None]


@cache
def default_settings() -> Settings:
    """The shipped settings."""
    return load_settings(overrides={})


def new_york(text: str) -> datetime:
    """`2025-11-05 09:30` by the New York clock."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK)


def bars_from(start: str, rows: Sequence[Row], symbol: str = "AEMD") -> pl.DataFrame:
    """Consecutive minutes from a New York time on."""
    first = new_york(start)
    return pl.DataFrame(
        [(symbol, first + timedelta(minutes=minute), *row[:5], row[3], row[5]) for minute, row in enumerate(rows)],
        schema=BARS,
        orient="row",
    )


def flat(minutes: int, price: float = 10.0, volume: float = 10_000.0, transactions: int | None = 40) -> list[Row]:
    """Minutes without a trend: a range of one cent up and down, open and close at the price."""
    return [(price, price + 0.01, price - 0.01, price, volume, transactions)] * minutes


def sessions_of(*days: str) -> pl.DataFrame:
    """Session bounds that cover some dates."""
    dates = [date.fromisoformat(day) for day in days]
    return sessions_between(min(dates), max(dates), default_settings().sessions)


def flip_bit(path: Path, place: int = 60) -> None:
    """Change one bit of a file in its place; its size and its modification time stay, as where a disk fails."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def without_hash(path: Path) -> None:
    """Write a parquet file as earlier releases did: the same rows and provenance, no hash."""
    provenance = {name: text for name, text in pl.read_parquet_metadata(path).items() if name == PROVENANCE}
    pl.read_parquet(path, hive_partitioning=False, glob=False).write_parquet(path, metadata=provenance)
