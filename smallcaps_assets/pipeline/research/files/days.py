"""Which days of which symbols each file of a table holds, so that some days are read from their files alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.pipeline.research.batches import DayBatch
from smallcaps_assets.pipeline.research.files.input_tables import FILE_PATH, InputTable, collect

_DAY: Final = ("symbol", "day")
_KEYS: Final = ("symbol", "timestamp")
# New York is a whole number of hours from UTC since 1883, so that an hour lies in one day
_HOUR: Final = "hour"
_S_PER_H: Final = 3_600


class DayIndex(NamedTuple):
    """A table, and how many rows each of its files has of each day.

    Attributes:
        table: the table.
        counts: FILE_PATH, `symbol`, `day` (ET) and `rows`; symbol or day is null where the rows have none.
    """

    table: InputTable
    counts: pl.DataFrame

    @property
    def per_day(self) -> pl.DataFrame:
        """`symbol`, `day` and `rows`; nulls are left out."""
        return self.counts.drop_nulls(_DAY).group_by(_DAY).agg(pl.col("rows").sum())

    def read(self, batch: DayBatch) -> pl.DataFrame:
        """The rows of a batch.

        Raises:
            InputError: a file cannot be read.
        """
        is_in = batch.holds("symbol", "day")
        return self._read(is_in, batch.rows_of)

    def read_symbols(self, symbols: Sequence[str]) -> pl.DataFrame:
        """All rows of some symbols, those without a time too.

        Raises:
            InputError: a file cannot be read.
        """
        is_in = pl.col("symbol").is_in(list(symbols))
        return self._read(is_in, lambda rows: rows.filter(is_in))

    def _read(self, is_in: pl.Expr, only: Callable[[pl.LazyFrame], pl.LazyFrame]) -> pl.DataFrame:
        inside = is_in.fill_null(value=False)
        files = self.counts.filter(inside)[FILE_PATH].unique()
        if files.is_empty():
            return self.table.rows.collect_schema().to_frame()
        others = self.counts.filter(pl.col(FILE_PATH).is_in(files.implode()) & ~inside)
        own = self.table.only({Path(file) for file in files})
        return collect(own.files, own.rows if others.is_empty() else only(own.rows))


def index_days(table: InputTable, never_null: Sequence[str] = ()) -> DayIndex:
    """Read of what symbol and when the rows of a table are, once.

    Args:
        table: with `symbol` and `timestamp`.
        never_null: which of both must not be null.

    Raises:
        InputError: a file cannot be read, or a value is null that must not be; names the file.
    """
    hour = pl.col("timestamp").dt.epoch("s").floordiv(_S_PER_H).alias(_HOUR)
    parts = [part.scan_with_file(*_KEYS).group_by(FILE_PATH, "symbol", hour).agg(rows=pl.len()) for part in table.parts]
    hours = collect(table.files, pl.concat(parts))
    for name, column in (("symbol", "symbol"), ("timestamp", _HOUR)):
        if name in never_null and hours[column].has_nulls():
            table.require_values(name)
    day = new_york_date((pl.col(_HOUR) * (_S_PER_H * 1_000_000)).cast(UTC_US))
    return DayIndex(table, hours.group_by(FILE_PATH, "symbol", day=day).agg(pl.col("rows").sum()))
