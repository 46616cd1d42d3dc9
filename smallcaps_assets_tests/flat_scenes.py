"""Flat files for tests: the CSV of bars, as the vendor writes it."""

import gzip
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.flat_files import HEADER
from smallcaps_assets.lake.flat_bars.store import FlatFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def line_of(row: dict[str, Any]) -> str:
    """One line: the fields of a bar in the order of the vendor, whole volumes without a fraction; null is empty."""
    since = row["timestamp"] - _EPOCH
    start = (since.days * 86_400 + since.seconds) * 1_000_000_000
    prices = (row[name] for name in ("open", "close", "high", "low"))
    volume = row["volume"]
    whole = f"{int(volume)}" if volume is not None and volume == int(volume) else volume
    fields = (row["symbol"], whole, *prices, start, row["transactions"])
    return ",".join("" if field is None else f"{field}" for field in fields)


def flat_text(bars: pl.DataFrame) -> str:
    """The CSV of bars (BARS), by ticker and time."""
    return "\n".join([HEADER, *map(line_of, bars.sort("symbol", "timestamp").to_dicts()), ""])


def flat_content(bars: pl.DataFrame) -> bytes:
    """The file of bars (BARS)."""
    return gzip.compress(flat_text(bars).encode(), mtime=0)


def flat_file(day: date, etag: str = "abc", *, rows: int, rejected: int = 0, repeats: int = 0) -> FlatFile:
    """What the lake records of a file."""
    key = f"us_stocks_sip/minute_aggs_v1/{day:%Y/%m/%Y-%m-%d}.csv.gz"
    modified = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)
    return FlatFile(day, etag, key, 1_000, modified, "http://127.0.0.1/flatfiles", rows, rejected, repeats)
