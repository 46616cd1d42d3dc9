"""Bars of several month files, in one scan."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from smallcaps_assets.domain.bars.unknown import all_known
from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bar_files.month_files import DAY, scan_months
from smallcaps_assets.lake.files.stored_tables import naming_damaged


def scan_bars(files: Sequence[Path], columns: Collection[str]) -> pl.LazyFrame:
    """`columns` (of BARS) of month files, in their order; no rows where there are no files."""
    wanted = {name: BARS[name] for name in columns}
    if not files:
        return pl.LazyFrame(schema=wanted)
    return scan_months(files, columns, str(files[0])).with_columns(all_known(wanted))


def load_bars(files: Sequence[Path], columns: Collection[str], folder: Path) -> pl.DataFrame:
    """What `scan_bars` returns, read.

    Raises:
        LakeError: a file cannot be read; names it, or `folder` where it is not known which.
    """
    with naming_damaged(files, folder, _stored(columns)):
        return scan_bars(files, columns).collect()


def read_bars_between(
    files: Sequence[Path], columns: Collection[str], folder: Path, first: date | None, last: date | None
) -> pl.DataFrame:
    """The bars of the ET dates from `first` to `last`, both included, symbol by symbol, each sorted by timestamp.

    Args:
        files: month files, those of a symbol in order of their months.
        columns: columns of BARS, including `symbol` and `timestamp`.
        folder: what a failure names where it is not known which file failed.
        first: no lower bound if None.
        last: no upper bound if None.

    Raises:
        LakeError: a file cannot be read.
    """
    with naming_damaged(files, folder, _stored(columns)):
        bars = scan_bars(files, columns)
        if first is not None:
            bars = bars.filter(pl.col("timestamp") >= midnight(first))
        if last is not None:
            bars = bars.filter(pl.col("timestamp") < midnight(last + timedelta(days=1)))
        # with one chunk per file every later operation would run once per file
        found = bars.collect().rechunk()
    return _in_order(found)


def read_regular_minutes(files: Sequence[Path], folder: Path, sessions: pl.DataFrame) -> pl.DataFrame:
    """`symbol` and `timestamp` of the bars in regular hours of `sessions` (SESSION_TABLE).

    Raises:
        LakeError: a file cannot be read; names it, or `folder` where it is not known which.
    """
    wanted = ("symbol", "timestamp")
    with naming_damaged(files, folder, _stored(wanted)):
        inside = pl.col("timestamp").is_between(sessions["regular_open"].min(), sessions["regular_close"].max())
        bounds = sessions.lazy().select("date", "regular_open", "regular_close")
        regular = scan_bars(files, wanted).filter(inside).join(bounds, left_on=DAY, right_on="date")
        regular = regular.filter(pl.col("timestamp").is_between("regular_open", "regular_close", closed="left"))
        return regular.select(*wanted).collect(engine="streaming")


def _stored(columns: Collection[str]) -> dict[str, pl.DataType]:
    """Those of `columns` (of BARS) that are in month files, with their types."""
    return {name: BARS[name] for name in columns if name != "symbol"}


def _in_order(bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` sorted by symbol and timestamp; our files are sorted already, copied files may not be."""
    if bars["timestamp"].is_sorted():
        return bars
    timestamp, symbol = pl.col("timestamp"), pl.col("symbol")
    is_unsorted = (timestamp < timestamp.shift(1)) & (symbol == symbol.shift(1))
    if not bars.select(is_unsorted.any()).item():
        return bars
    return bars.sort("symbol", "timestamp", maintain_order=True)
