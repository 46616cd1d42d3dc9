"""Bars of many symbols in any order of rows: partitioned by symbol on disk, then read a few symbols at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.errors import DiskFull, LakeError
from smallcaps_assets.lake.files.publish import disk_errors

# Each partition that is open while rows are written takes a few MB.
MOST_PARTITIONS: Final = 64
SYMBOL: Final = pl.col("symbol")
_PARTITION: Final = " partition"


class SymbolPartitions:
    """A table on disk, partitioned by consecutive symbols. Rows of one symbol keep their order."""

    def __init__(self, bars: pl.LazyFrame, batches: Sequence[Sequence[str]], folder: Path) -> None:
        """Write `bars` in one pass.

        Args:
            bars: any table with a column `symbol`, larger than memory or not.
            batches: sorted symbols, in the batches in which they will be read. Rows of other symbols are filtered.
            folder: an empty folder; the partitions stay in it.

        Raises:
            DiskFull: there is no room in `folder`.
            OSError, PolarsError: `bars` cannot be read.
        """
        per_partition = max(1, -(-len(batches) // MOST_PARTITIONS))
        self._schema = bars.collect_schema()
        self._folder = folder
        self._firsts = [batch[0] for batch in batches[per_partition::per_partition]]
        wanted = SYMBOL.is_in([symbol for batch in batches for symbol in batch]) | SYMBOL.is_null()
        # a sum of comparisons stays in the streaming engine, which a look-up does not
        number = pl.sum_horizontal(pl.lit(0), *((first <= SYMBOL).cast(pl.Int32) for first in self._firsts))
        with _full_disk(folder):
            bars.filter(wanted).with_columns(number.alias(_PARTITION)).sink_parquet(
                pl.PartitionBy(
                    folder,
                    key=_PARTITION,
                    include_key=False,
                    file_path_provider=lambda file: f"{file.partition_keys.item()}.parquet",
                    approximate_bytes_per_file=None,
                ),
                compression="lz4",
                maintain_order=True,
                mkdir=True,
            )

    def read(self, symbols: Sequence[str]) -> pl.LazyFrame:
        """The rows of `symbols`."""
        numbers = {sum(symbol >= first for first in self._firsts) for symbol in symbols}
        return self._scan(sorted(numbers)).filter(SYMBOL.is_in(list(symbols)))

    def read_nameless(self) -> pl.LazyFrame:
        """The rows without a symbol."""
        return self._scan([0]).filter(SYMBOL.is_null())

    def _scan(self, numbers: Sequence[int]) -> pl.LazyFrame:
        paths = [path for number in numbers if (path := self._folder / f"{number}.parquet").exists()]
        return pl.scan_parquet(paths, hive_partitioning=False, glob=False) if paths else self._schema.to_frame().lazy()


def count_symbols(bars: pl.LazyFrame) -> dict[str, int]:
    """The rows of each symbol of a table, larger than memory or not; rows without a symbol are ignored."""
    counts = bars.filter(SYMBOL.is_not_null()).group_by("symbol").len().collect(engine="streaming")
    return dict(counts.iter_rows())


@contextmanager
def _full_disk(folder: Path) -> Iterator[None]:
    """Raise DiskFull where there is no room; every other error of reading and writing in one pass stays as it is."""
    try:
        with disk_errors("written", folder):
            yield
    except DiskFull:
        raise
    except LakeError as error:
        raise (error.__cause__ or error) from None
