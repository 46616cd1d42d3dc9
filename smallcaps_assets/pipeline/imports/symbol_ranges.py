"""Bars of many symbols that lie close together in their files: a few symbols are read from the files themselves."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.pipeline.imports.bar_tables import FILE, in_batches
from smallcaps_assets.pipeline.imports.symbol_partitions import SYMBOL

# Writing and reading partitions costs as much as reading all rows so many times.
MOST_READ: Final = 3
# Opening a file costs as much as reading so many rows.
ROWS_TO_OPEN: Final = 20_000
# Rows that Polars can number.
MOST_NUMBERED: Final = 2**32 - 1
_ROW: Final = " row"
_SIZES: Final = ("all", "row_group")
# of several ranges in one file, the range that has them all
_WIDEST: Final = (pl.col("first").min(), pl.col("last").max())
_LENGTH: Final = (pl.col("last") - pl.col("first") + 1).alias("length")


class FileSize(NamedTuple):
    """Rows of a parquet file and of its largest row group."""

    rows: int
    row_group: int


class SymbolRanges:
    """For each symbol, the range of rows of each file that its rows are in.

    Ranges are positions of rows that were read, so that neither statistics in the files nor the spelling of symbols
    matter.
    """

    def __init__(self, scan: Callable[[Sequence[Path]], pl.LazyFrame], files: Mapping[Path, FileSize]) -> None:
        """Read the symbols of all rows.

        Args:
            scan: returns bars (BARS and FILE) of files, in the order of files and of rows in them.
            files: parquet files, larger than memory or not; at least one.

        Raises:
            InputError: raised by `scan`.
            OSError, PolarsError: a file is damaged.
        """
        groups = in_batches(((file, size.rows) for file, size in files.items()), MOST_NUMBERED)
        self._ranges = pl.concat([_find_ranges(scan([file for file, _ in group])) for group in groups])
        self._sizes = files
        self._open = cache(lambda file: scan([file]))

    def count_symbols(self) -> dict[str, int]:
        """The rows of each symbol in all files; rows without a symbol are ignored."""
        counts = self._ranges.filter(SYMBOL.is_not_null()).group_by("symbol").agg(pl.col("rows").sum())
        return dict(counts.iter_rows())

    def are_narrow(self, batches: Sequence[Sequence[str]]) -> bool:
        """Whether reading `batches` of symbols by their ranges costs less than in any other way."""
        numbers = [(symbol, number) for number, batch in enumerate(batches) for symbol in batch]
        numbered = pl.DataFrame(numbers, {"symbol": pl.String, "batch": pl.Int64}, orient="row")
        sizes = pl.DataFrame([(str(file), *size) for file, size in self._sizes.items()], [FILE, *_SIZES], orient="row")
        ranges = self._ranges.join(numbered, "symbol").group_by(FILE, "batch").agg(*_WIDEST).join(sizes, FILE)
        # a range begins and ends within row groups: about one is read in addition
        read = pl.min_horizontal(_LENGTH + pl.col("row_group"), "all") + ROWS_TO_OPEN
        limit = MOST_READ if len(batches) > 1 else 1
        return bool(ranges.select(read.sum()).item() <= limit * sizes["all"].sum())

    def read(self, wanted: pl.Expr, files: Sequence[Path]) -> pl.LazyFrame:
        """Rows (BARS and FILE) of some of the files, in their order.

        Args:
            wanted: whether a row is read; depends on `symbol` alone.
            files: some of the files.
        """
        ranges = self._ranges.filter(wanted).group_by(FILE).agg(*_WIDEST).select(FILE, "first", _LENGTH)
        slices = {file: (first, length) for file, first, length in ranges.iter_rows()}
        parts = [self._open(file).slice(*slices[str(file)]) for file in files if str(file) in slices]
        return pl.concat(parts or [self._open(files[0]).clear()]).filter(wanted)


def _find_ranges(bars: pl.LazyFrame) -> pl.DataFrame:
    """Rows of each symbol in each file: how many, and the positions of the first and the last."""
    row = pl.col(_ROW)
    numbered = bars.with_row_index(_ROW).group_by(FILE, "symbol")
    found = numbered.agg(pl.len().alias("rows"), first=row.min(), last=row.max()).collect(engine="streaming")
    return found.with_columns(pl.col("first", "last").cast(pl.Int64) - pl.col("first").min().over(FILE))
