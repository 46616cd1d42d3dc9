"""Minute bars of the minutes and days of tape windows, read from the files of the months concerned only."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.tape.contradictions import whole_minutes, with_volume
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import month_footer, read_fingerprints, scan_months
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged, read_table
from smallcaps_assets.lake.layout import Lake

_COUNTED: Final = ("symbol", "timestamp", "volume")
_DAYS: Final = pl.Schema({"symbol": pl.String(), "day": pl.Date()})


def read_minutes(
    lake: Lake, minutes: pl.DataFrame, columns: Collection[str], damaged: list[LakeError] | None = None
) -> pl.DataFrame:
    """`columns` of the published bars of `minutes` (columns symbol, timestamp; repeats do not matter); streamed.

    Args:
        lake: the lake.
        minutes: the minutes.
        columns: columns of BARS.
        damaged: receives what is wrong with files that are damaged or cannot be read, whose bars are then left out.

    Raises:
        LakeError: a file is damaged or cannot be read; never with `damaged`, unless no single file is at fault.
    """
    schema = pl.Schema({name: BARS[name] for name in columns})
    wanted = minutes.select("symbol", "timestamp").unique()
    files = _files_of(lake, wanted.select("symbol", day=new_york_date(pl.col("timestamp"))), damaged)
    stored = {name: dtype for name, dtype in schema.items() if name != "symbol"}
    try:
        return _minutes_in(files, lake, wanted, schema)
    except LakeError:
        sound = [] if damaged is None else [file for file in files if _is_sound(file, stored, damaged)]
        if damaged is None or len(sound) == len(files):
            raise
        return _minutes_in(sound, lake, wanted, schema)


def _minutes_in(files: list[Path], lake: Lake, wanted: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The bars of `wanted` in month files."""
    if not files:
        return schema.to_frame()
    columns = tuple(schema)
    first, last = wanted.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max()).row(0)
    stored = {name: dtype for name, dtype in schema.items() if name != "symbol"}
    with naming_damaged(files, lake.minute_bars, stored):
        return (
            scan_months(files, columns, str(files[0]))
            .filter(pl.col("timestamp").is_between(first, last))
            .join(wanted.lazy(), on=["symbol", "timestamp"], how="semi")
            .collect(engine="streaming")
        )


def _is_sound(file: Path, stored: Mapping[str, pl.DataType], damaged: list[LakeError]) -> bool:
    """Whether a month file can be used; where not, `damaged` receives why."""
    try:
        month_footer(file)
        read_table(file, stored)
    except LakeError as error:
        damaged.append(error)
        return False
    return True


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


def _files_of(lake: Lake, days: pl.DataFrame, damaged: list[LakeError] | None = None) -> list[Path]:
    """The month files of `days` (columns symbol, day), sorted by symbol and month; `damaged` as for `read_minutes`."""
    months = days.select("symbol", month=pl.col("day").dt.strftime("%Y-%m")).unique()
    folders = {symbol: lake.bars(symbol) for symbol in months["symbol"].unique()}
    files = [folders[symbol] / f"{month}.parquet" for symbol, month in months.sort("symbol", "month").iter_rows()]
    if damaged is None:
        return [file for file in files if is_stored(file)]
    found = []
    for file in files:
        try:
            found += [file] if is_stored(file) else []
        except LakeError as error:
            damaged.append(error)
    return found


def events_with_volume(lake: Lake, windows: pl.DataFrame) -> set[str]:
    """Events of windows (WINDOWS) that have volume according to the published bars; none where no bars are published.

    Raises:
        LakeError: a file cannot be read.
    """
    if windows.is_empty():
        return set()
    minutes = whole_minutes(windows)
    return with_volume(minutes, read_minutes(lake, minutes, _COUNTED))
