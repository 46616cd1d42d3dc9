"""Minute bars of the minutes and days of tape windows, read from the files of the months concerned only."""

from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.tape.contradictions import whole_minutes, with_volume
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.month_files import read_fingerprints, scan_months

_COUNTED: Final = ("symbol", "timestamp", "volume")
_DAYS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})


def read_minutes(lake: Lake, minutes: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """`columns` of the published bars of `minutes` (columns symbol, timestamp; repeats do not matter); streamed.

    Raises:
        LakeError: a file cannot be read.
    """
    schema = pl.Schema({name: BARS[name] for name in columns})
    wanted = minutes.select("symbol", "timestamp").unique()
    files = _files_of(lake, wanted.select("symbol", day=new_york_date(pl.col("timestamp"))))
    if not files:
        return schema.to_frame()
    folder = lake.minute_bars
    first, last = wanted.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
    stored = {name: dtype for name, dtype in schema.items() if name != "symbol"}
    with naming_damaged(files, folder, stored):
        return (
            scan_months(files, columns, str(files[0]))
            .filter(pl.col("timestamp").is_between(first, last))
            .join(wanted.lazy(), on=["symbol", "timestamp"], how="semi")
            .collect(engine="streaming")
        )


def read_days(lake: Lake, days: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """`columns` of the published bars of `days` (columns symbol, day), sorted by symbol and timestamp.

    Raises:
        LakeError: a file cannot be read.
    """
    schema = pl.Schema({name: BARS[name] for name in columns})
    files = _files_of(lake, days)
    if not files:
        return schema.to_frame()
    stored = {name: dtype for name, dtype in schema.items() if name != "symbol"}
    with naming_damaged(files, lake.minute_bars, stored):
        rows = scan_months(files, columns, str(files[0])).with_columns(day=new_york_date(pl.col("timestamp")))
        wanted = days.lazy().select("symbol", "day").unique()
        found = rows.join(wanted, on=["symbol", "day"], how="semi").select(*columns).collect()
    return found.with_columns(all_known(schema)).sort("symbol", "timestamp", maintain_order=True)


def fingerprint_days(lake: Lake, symbol: str, days: Iterable[date]) -> dict[date, str]:
    """Fingerprints of those of `days` whose bars are published; reads footers only.

    Raises:
        LakeError: a file cannot be read.
    """
    wanted = set(days)
    files = _files_of(lake, pl.DataFrame({"symbol": symbol, "day": sorted(wanted)}, schema=_DAYS))
    return {day: mark for file in files for day, mark in read_fingerprints(file).items() if day in wanted}


def _files_of(lake: Lake, days: pl.DataFrame) -> list[Path]:
    """The month files of `days` (columns symbol, day), sorted by symbol and month."""
    months = days.select("symbol", month=pl.col("day").dt.strftime("%Y-%m")).unique()
    folders = {symbol: lake.bars(symbol) for symbol in months["symbol"].unique()}
    files = [folders[symbol] / f"{month}.parquet" for symbol, month in months.sort("symbol", "month").iter_rows()]
    return [file for file in files if is_stored(file)]


def events_with_volume(lake: Lake, windows: pl.DataFrame) -> set[str]:
    """Events of windows (WINDOWS) that have volume according to the published bars; none where no bars are published.

    Raises:
        LakeError: a file cannot be read.
    """
    if windows.is_empty():
        return set()
    minutes = whole_minutes(windows)
    return with_volume(minutes, read_minutes(lake, minutes, _COUNTED))
