"""Suspect prints of the bars of a lake, with the events of MASTER that may owe something to them."""

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from smallcaps_assets.domain.bars.suspect_prints import (
    COLUMNS_READ,
    SUSPECT_PRINTS,
    SuspectPrintParams,
    suspect_print,
    suspect_prints,
    with_events,
)
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.stored_tables import is_stored
from smallcaps_assets.lake.layout import Lake

# month files read together: bounds memory
_FILES_AT_ONCE: Final = 200


def list_prints(prints: Sequence[pl.DataFrame], lake: Lake) -> pl.DataFrame:
    """Suspect prints (SUSPECT_PRINTS) with the events of MASTER after them (LISTED_PRINTS); none before MASTER exists.

    Raises:
        LakeError: MASTER is damaged or cannot be read.
    """
    found = pl.concat([SUSPECT_PRINTS.to_frame(), *prints])
    schema = pl.Schema({name: EVENTS[name] for name in ("symbol", "timestamp", "event_id")})
    if found.is_empty() or not is_stored(lake.master):
        return with_events(found, schema.to_frame())
    symbols = found["symbol"].unique().implode()
    return with_events(found, load_master(lake, schema).filter(pl.col("symbol").is_in(symbols)))


def recent_suspect_prints(bars: BarsStore, params: SuspectPrintParams) -> Finding:
    """The check of the last `recent_months` months of bars of every symbol, also of symbols that are not followed.

    Raises:
        LakeError: a file of bars cannot be read.
    """
    rows, prints = 0, []
    for read in _recent_bars(bars, params.recent_months):
        rows += read.height
        prints.append(suspect_prints(read, params))
    return suspect_print(list_prints(prints, bars.lake), rows)


def _recent_bars(bars: BarsStore, months: int) -> Iterator[pl.DataFrame]:
    """COLUMNS_READ of the last month files of each symbol, some symbols at a time."""
    with disk_errors("read", bars.lake.minute_bars):
        newest = {
            symbol: sorted(list_paths(bars.lake.bars(symbol), "[0-9]*.parquet"))[-months:] for symbol in bars.symbols()
        }
    batch: list[str] = []
    for symbol in newest:
        batch.append(symbol)
        if len(batch) * months >= _FILES_AT_ONCE:
            yield _read(bars, batch, {file.stem for one in batch for file in newest[one]})
            batch = []
    if batch:
        yield _read(bars, batch, {file.stem for one in batch for file in newest[one]})


def _read(bars: BarsStore, symbols: Sequence[str], months: set[str]) -> pl.DataFrame:
    return bars.load(symbols, COLUMNS_READ, months)
