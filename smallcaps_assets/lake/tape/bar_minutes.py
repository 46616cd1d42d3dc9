"""Minute bars of the minutes of tape windows, read from the files of the months concerned only."""

from collections.abc import Collection
from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.tape.contradictions import whole_minutes, with_volume
from smallcaps_assets.lake.files.stored_tables import is_stored, naming_damaged
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.month_files import scan_months

_COUNTED: Final = ("symbol", "timestamp", "volume")


def read_minutes(lake: Lake, minutes: pl.DataFrame, columns: Collection[str]) -> pl.DataFrame:
    """`columns` of the published bars of `minutes` (columns symbol, timestamp; repeats do not matter); streamed.

    Raises:
        LakeError: a file cannot be read.
    """
    schema = pl.Schema({name: BARS[name] for name in columns})
    wanted = minutes.select("symbol", "timestamp").unique()
    months = wanted.select("symbol", month=new_york_date(pl.col("timestamp")).dt.strftime("%Y-%m")).unique()
    folders = {symbol: lake.bars(symbol) for symbol in months["symbol"].unique()}
    files = [folders[symbol] / f"{month}.parquet" for symbol, month in months.sort("symbol", "month").iter_rows()]
    files = [file for file in files if is_stored(file)]
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


def events_with_volume(lake: Lake, windows: pl.DataFrame) -> set[str]:
    """Events of windows (WINDOWS) that have volume according to the published bars; none where no bars are published.

    Raises:
        LakeError: a file cannot be read.
    """
    if windows.is_empty():
        return set()
    minutes = whole_minutes(windows)
    return with_volume(minutes, read_minutes(lake, minutes, _COUNTED))
