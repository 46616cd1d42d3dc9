"""Ranges of event_id over the files of many symbols, so that rows by event_id need not be sorted in memory.

Files hold one symbol each and an id begins with its symbol, but ids of different symbols may interleave: imported ones,
and those of symbols of which one begins with the other.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl


class EventRange(NamedTuple):
    """Ids from `first` on and, unless it is None, below `end`; `files` are all that have one of them."""

    first: str
    end: str | None
    files: list[Path]

    def holds(self) -> pl.Expr:
        """Whether a row's event_id is in the range."""
        event_id = pl.col("event_id")
        from_first = event_id >= pl.lit(self.first)
        return from_first if self.end is None else from_first & (event_id < pl.lit(self.end))


def event_ranges(files: Sequence[Path], rows_at_once: int) -> list[EventRange]:
    """Ranges in order, which together hold every id of the files, each of about `rows_at_once` rows.

    A range is larger where one file alone is, since ranges begin where files do. Only the ids are read, in a stream.

    Args:
        files: each with a column event_id, in any order.
        rows_at_once: the rows after which a range ends.
    """
    if not files:
        return []
    by_path = {f"{path}": path for path in files}
    rows = pl.scan_parquet(
        list(files), hive_partitioning=False, glob=False, extra_columns="ignore", include_file_paths="path"
    )
    ids = pl.col("event_id")
    of_files = (
        rows.select("path", "event_id")
        .group_by("path")
        .agg(first=ids.min(), last=ids.max(), rows=pl.len())
        .sort("first", "path")
        .collect(engine="streaming")
    )
    firsts = list(_starts(of_files.select("first", "rows").iter_rows(), rows_at_once))
    ranges = []
    for number, first in enumerate(firsts):
        end = firsts[number + 1] if number + 1 < len(firsts) else None
        begins_before = pl.lit(value=True) if end is None else pl.col("first") < end
        found = of_files.filter(begins_before & (pl.col("last") >= first))["path"]
        ranges.append(EventRange(first, end, [by_path[path] for path in found]))
    return ranges


def in_slices(parts: Iterable[pl.DataFrame], height: int) -> Iterator[pl.DataFrame]:
    """The rows of parts in slices of `height` rows, the last of fewer: a written file does not depend on the parts."""
    kept: pl.DataFrame | None = None
    for part in parts:
        rows = part if kept is None else pl.concat([kept, part])
        whole = rows.height - rows.height % height
        yield from rows.head(whole).iter_slices(height)
        kept = rows.slice(whole)
    if kept is not None and kept.height:
        yield kept


def _starts(files: Iterable[tuple[str, int]], rows_at_once: int) -> Iterator[str]:
    """Where ranges begin, of the first id and the rows of each file, sorted."""
    rows, start = 0, None
    for first, height in files:
        if start is None or (rows >= rows_at_once and first != start):
            yield first
            rows, start = 0, first
        rows += height
