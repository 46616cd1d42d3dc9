"""Parts of a large table that are computed one after another, each small enough for memory."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Final, NamedTuple, TypeVar

import polars as pl

from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.pipeline.imports.bar_tables import in_batches

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_THREADS: Final = min(4, os.cpu_count() or 1)
_DAY: Final = timedelta(days=1)


class DayBatch(NamedTuple):
    """Whole days of some symbols: all days of each, or a range of days of one."""

    symbols: tuple[str, ...]
    first: date
    last: date

    def holds(self, symbol: str, day: str) -> pl.Expr:
        """Whether a symbol and a day, in columns of these names, are of the batch."""
        return pl.col(symbol).is_in(list(self.symbols)) & pl.col(day).is_between(self.first, self.last)

    def rows_of(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of a table with `symbol` and `timestamp` (UTC)."""
        start, end = (
            pl.lit(midnight(day), table.collect_schema()["timestamp"]) for day in (self.first, self.last + _DAY)
        )
        return table.filter(
            pl.col("symbol").is_in(list(self.symbols)) & (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
        )


def day_batches(counts: pl.DataFrame, rows: int) -> list[DayBatch]:
    """Batches of at most `rows` rows that together hold all of `counts`: `symbol`, `day` (ET) and `rows`.

    They are in the order of symbols, and those of one symbol in the order of days. Only a symbol with more rows is
    divided; a day never is.
    """
    per_day = counts.group_by("symbol", "day").agg(pl.col("rows").sum()).sort("symbol", "day")
    of_symbol = per_day.group_by("symbol", maintain_order=True).agg("day", "rows", total=pl.col("rows").sum())
    found = list[DayBatch]()
    for together in in_batches(zip(of_symbol.iter_rows(), of_symbol["total"], strict=True), rows):
        (symbol, days, sizes, total), *others = (row for row, _ in together)
        if not others and total > rows:
            parts = in_batches(zip(days, sizes, strict=True), rows)
            found += (DayBatch((symbol,), part[0][0], part[-1][0]) for part in parts)
        else:
            every = [day for (_, some, _, _), _ in together for day in some]
            found.append(DayBatch(tuple(row[0] for row, _ in together), min(every), max(every)))
    return found


def at_once(rows: int) -> int:
    """Rows of a batch, where batches of `rows` together may be in memory."""
    return max(rows // _THREADS, 1)


def on_all_cores(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """`work` of each item, in order, several at a time; an error ends the rest."""
    threads = ThreadPoolExecutor(_THREADS, "research")
    try:
        yield from threads.map(work, items)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
