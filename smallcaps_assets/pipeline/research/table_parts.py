"""Tables that may be larger than memory: computed in parts, which lie on disk until the table is written."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl
from polars.io.plugins import register_io_source

# a part is read back in groups of rows that lie together
_ROWS_OF_GROUP: Final = 20_000


@dataclass(frozen=True)
class OrderedTable:
    """A table whose rows come in their order, some at a time.

    Attributes:
        schema: its columns.
        height: number of rows.
        frames: the rows, from the first on.
    """

    schema: pl.Schema
    height: int
    frames: Callable[[], Iterator[pl.DataFrame]]

    def lazy(self) -> pl.LazyFrame:
        """The table, to be written in a stream; its frames follow each other in their order."""

        def read(
            columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            if predicate is not None or rows is not None:
                raise NotImplementedError("only the whole table is written")
            for frame in self.frames():
                yield frame if columns is None else frame.select(columns)

        return register_io_source(read, schema=self.schema)


def ordered_frame(frame: pl.DataFrame) -> OrderedTable:
    """A table that is in memory."""
    return OrderedTable(frame.schema, frame.height, lambda: iter([frame]))


class TableParts:
    """Parts of one table in a folder. Threads may add at the same time."""

    def __init__(self, folder: Path, name: str, schema: pl.Schema) -> None:
        """`folder` exists; what lies in it is the caller's to remove."""
        self._folder, self._name, self._schema = folder, name, schema
        self._heights: dict[int, int] = {}

    def add(self, number: int, rows: pl.DataFrame) -> None:
        """Store part `number`, counted from 0, with the columns of the table and perhaps more."""
        ordered = rows.select(*self._schema).match_to_schema(self._schema)
        if ordered.height:
            file = self._file(number)
            ordered.write_parquet(file, compression="lz4", row_group_size=_ROWS_OF_GROUP, mkdir=False)
            self._heights[number] = ordered.height

    def one_after_another(self) -> OrderedTable:
        """The table whose parts follow each other in the order of their numbers."""
        return self._ordered(lambda: (_read(self._file(number)).collect() for number in sorted(self._heights)))

    def merged(self, key: str, values: pl.Series, at_once: int, order: Sequence[str | pl.Expr]) -> OrderedTable:
        """The table sorted by `order`, which begins with `key`.

        Args:
            key: a column of text.
            values: its values, ascending; it has no others.
            at_once: how many of the values are in memory together.
            order: by what the rows are sorted.
        """
        files = [self._file(number) for number in sorted(self._heights)]
        rows = _read(files) if files else self._schema.to_frame().lazy()

        def frames() -> Iterator[pl.DataFrame]:
            for some in values.to_frame().iter_slices(at_once):
                low, high = pl.lit(some[key][0]), pl.lit(some[key][-1])
                yield rows.filter(pl.col(key).is_between(low, high)).collect().sort(order)

        return self._ordered(frames)

    def _ordered(self, frames: Callable[[], Iterator[pl.DataFrame]]) -> OrderedTable:
        return OrderedTable(self._schema, sum(self._heights.values()), frames)

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._name}.{number}.parquet"


def _read(files: Path | list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(files, hive_partitioning=False, glob=False)
