"""Parts of a large table that are computed one after another, each small enough for memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Final, NamedTuple, TypeVar

import polars as pl

from smallcaps_assets.domain.sessions import midnight, new_york_date
from smallcaps_assets.pipeline.imports.bar_tables import in_batches

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_MOST_THREADS: Final = 4
_DAY: Final = timedelta(days=1)


class DayBatch(NamedTuple):
    """Whole days of some symbols: all days of each, or a range of days of one."""

    symbols: tuple[str, ...]
    first: date
    last: date

    def rows_of(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """The rows of a table with `symbol` and `timestamp` (UTC)."""
        start, end = (
            pl.lit(midnight(day), table.collect_schema()["timestamp"]) for day in (self.first, self.last + _DAY)
        )
        return table.filter(
            pl.col("symbol").is_in(list(self.symbols)) & (pl.col("timestamp") >= start) & (pl.col("timestamp") < end)
        )


def rows_per_day(table: pl.LazyFrame) -> pl.LazyFrame:
    """Number of rows (`rows`) of each `symbol` and `day` (ET)."""
    return table.group_by("symbol", day=new_york_date(pl.col("timestamp"))).agg(rows=pl.len())


def day_batches(counts: pl.DataFrame, rows: int) -> list[DayBatch]:
    """Batches of at most `rows` rows that together hold all of `counts` (see `rows_per_day`).

    A symbol is only divided where it has more rows, a day never.
    """
    per_day = counts.group_by("symbol", "day").agg(pl.col("rows").sum()).sort("symbol", "day")
    of_symbol = per_day.group_by("symbol", maintain_order=True).agg("day", "rows", total=pl.col("rows").sum())
    found = list[DayBatch]()
    small = of_symbol.filter(pl.col("total") <= rows)
    for together in in_batches(zip(small["symbol"], small["total"], strict=True), rows):
        names = [symbol for symbol, _ in together]
        days = per_day.filter(pl.col("symbol").is_in(names))["day"]
        found.append(DayBatch(tuple(names), days.min(), days.max()))  # type: ignore[arg-type]  # dates
    for symbol, days, sizes, _ in of_symbol.filter(pl.col("total") > rows).iter_rows():
        for part in in_batches(zip(days, sizes, strict=True), rows):
            found.append(DayBatch((symbol,), part[0][0], part[-1][0]))
    return found


def on_all_cores(work: Callable[[_Item], _Result], items: Sequence[_Item] | Iterable[_Item]) -> Iterator[_Result]:
    """`work` of each item, in order, several at a time; an error ends the rest."""
    threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "research")
    try:
        yield from threads.map(work, items)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
