"""Many files of minute bars, read a few symbols at a time: what each file holds is known from its footer."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from pyarrow import parquet

from smallcaps_assets.domain.imports.bars import BarForm
from smallcaps_assets.domain.imports.columns import PLAUSIBLE_S
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.publish import disk_errors
from smallcaps_assets.pipeline.imports.bar_tables import (
    ROWS_AT_ONCE,
    UNREADABLE,
    Table,
    damaged,
    in_batches,
    open_bars,
    symbol_of_path,
    unreadable,
)
from smallcaps_assets.pipeline.progress import with_progress

# Where reading all batches would read more than so many times what there is, rows are sorted into batches first.
MOST_OVERREAD: Final = 3.0
# of a run sorted by symbol, that can be read apart from one another
MOST_PARTS: Final = 64
SYMBOL, TIMESTAMP = pl.col("symbol"), pl.col("timestamp")


class Group(NamedTuple):
    """A row group: bounds of its symbols and of its times in UTC; None where the footer does not say."""

    rows: int
    lowest: str | None
    highest: str | None
    first: datetime | None
    last: datetime | None
    nameless: bool  # rows without a symbol are possible

    def may_hold(self, symbols: Sequence[str]) -> bool:
        """Whether one of `symbols`, which are sorted, may be in it."""
        if self.lowest is None or self.highest is None:
            return True
        place = bisect_left(symbols, self.lowest)
        return place < len(symbols) and symbols[place] <= self.highest


class BarFile(NamedTuple):
    """What the footer of a file of bars says."""

    path: Path
    place: int  # among all files
    groups: tuple[Group, ...]
    first: datetime | None
    last: datetime | None
    nameless: bool  # rows without a symbol are possible

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(group.rows for group in self.groups)

    @property
    def only_symbol(self) -> str | None:
        """The symbol of all its rows; None where there may be several."""
        bounds = {bound for group in self.groups for bound in (group.lowest, group.highest)}
        return bounds.pop() if len(bounds) == 1 and not self.nameless else None

    def may_reach(self, first: date | None, last: date | None) -> bool:
        """Whether it may have bars on the ET dates from `first` to `last`."""
        day = timedelta(days=1)
        before = first is not None and self.last is not None and self.last.date() < first
        after = last is not None and self.first is not None and self.first.date() - day > last
        return not (before or after)


@dataclass(frozen=True)
class BarsBySymbol:
    """Files of bars. Rows of one symbol come in the order of files and of rows in them, wherever they lie."""

    own: dict[str, list[BarFile]]  # files of one symbol
    shared: list[BarFile]  # files of several, or of whom the footer does not say
    counted: dict[str, int]  # rows of each symbol in the shared files
    rows_at_once: int

    @classmethod
    def look_at(
        cls, paths: Sequence[Path], log: Callable[[str], None], rows_at_once: int = ROWS_AT_ONCE
    ) -> "BarsBySymbol":
        """Read the footers of `paths`, and the symbols of those that hold several.

        Raises:
            InputError: a file cannot be read, or holds no bars; see `open_bars`.
        """
        own: dict[str, list[BarFile]] = {}
        shared: list[BarFile] = []
        counted = Counter[str]()
        for place, path in enumerate(with_progress(paths, len(paths), "files looked at", log)):
            file = _footer(path, place)
            if file.only_symbol is not None:
                own.setdefault(file.only_symbol, []).append(file)
            else:
                shared.append(file)
                counted += _counted(path)
        return cls(own, shared, counted, rows_at_once)

    @property
    def symbols(self) -> list[str]:
        """Every symbol, sorted."""
        return sorted(self.own.keys() | self.counted.keys())

    def batches(
        self, symbols: Sequence[str], first: date | None = None, last: date | None = None
    ) -> Iterator[list[str]]:
        """`symbols`, in their order, in groups of about `rows_at_once` rows on the dates, one symbol at least."""
        for batch in in_batches(
            ((symbol, self._rows_of(symbol, first, last)) for symbol in symbols), self.rows_at_once
        ):
            yield [symbol for symbol, _ in batch]

    def _rows_of(self, symbol: str, first: date | None, last: date | None) -> int:
        """At most so many rows of a symbol are on the dates."""
        own = sum(file.rows for file in self.own.get(symbol, ()) if file.may_reach(first, last))
        return own + self.counted.get(symbol, 0)

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> pl.DataFrame:
        """Bars (BARS) of some symbols, sorted as given, on the ET dates from `first` to `last`, both included.

        Rows without a usable timestamp are always among them.

        Raises:
            InputError: a file is damaged.
        """
        wanted = SYMBOL.is_in(list(symbols))
        if first is not None or last is not None:
            day = new_york_date(TIMESTAMP)
            wanted &= day.is_between(first or date.min, last or date.max).fill_null(value=True)
        files = [file for symbol in symbols for file in self.own.get(symbol, ())]
        files += [file for file in self.shared if any(group.may_hold(symbols) for group in file.groups)]
        return _rows([file for file in files if file.may_reach(first, last)], wanted)

    def nameless(self) -> Iterator[pl.DataFrame]:
        """Rows without a symbol, file by file."""
        for file in self.shared:
            if file.nameless:
                yield _rows([file], SYMBOL.is_null())

    def is_scattered(self, batches: Sequence[Sequence[str]]) -> bool:
        """Whether reading `batches` one after the other would read far more than there is."""
        groups = [group for file in self.shared for group in file.groups]
        there = sum(group.rows for group in groups)
        read = 0
        for batch in batches:
            read += sum(group.rows for group in groups if group.may_hold(batch))
            if read > MOST_OVERREAD * there:
                return True
        return False

    def in_runs(self, batches: Sequence[Sequence[str]], folder: Path, log: Callable[[str], None]) -> "BarsBySymbol":
        """The same bars of `batches`, those of shared files written anew in `folder`, sorted by symbol in runs."""
        wanted, runs = SYMBOL.is_in([symbol for batch in batches for symbol in batch]), []
        parts = min(len(batches), MOST_PARTS)
        chunks = [(file, at) for file in self.shared for at in range(0, file.rows, self.rows_at_once)]
        for number, (file, at) in enumerate(with_progress(chunks, len(chunks), "runs sorted", log)):
            rows = _collected(_opened(file.path).bars.slice(at, self.rows_at_once).filter(wanted), file.path)
            if rows.is_empty():
                continue
            path = folder / f"{number:09}.parquet"
            with disk_errors("written", path):
                rows.sort("symbol", maintain_order=True).write_parquet(
                    path, statistics=True, row_group_size=rows.height // parts + 1
                )
            runs.append(_footer(path, file.place))
        return replace(self, shared=runs)


def _opened(path: Path) -> Table:
    """A file whose columns are all there, under our names or those of the vendor's files."""
    return open_bars([path], BarForm(), symbol_of_path(path), without=())


def _footer(path: Path, place: int) -> BarFile:
    """What a footer says, once the columns are known to be those of bars."""
    table, named = _opened(path), symbol_of_path(path)
    columns = table.columns
    try:
        table.require_said()
        metadata = parquet.read_metadata(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    groups = tuple(_group(metadata.row_group(at), columns, named) for at in range(metadata.num_row_groups))
    firsts = [group.first for group in groups if group.first is not None]
    lasts = [group.last for group in groups if group.last is not None]
    dated = len(firsts) == len(groups) > 0
    nameless = any(group.nameless for group in groups)
    return BarFile(path, place, groups, min(firsts) if dated else None, max(lasts) if dated else None, nameless)


def _group(group: Any, columns: Mapping[str, str], named: str | None) -> Group:  # noqa: ANN401 -- pyarrow has no types
    """What a footer says of a row group, whose symbol is `named` where no column says it."""
    said = {(column := group.column(at)).path_in_schema: column.statistics for at in range(group.num_columns)}
    first, last = _times(said[columns["timestamp"]])
    if "symbol" not in columns:
        return Group(group.num_rows, named, named, first, last, nameless=False)
    symbols = said[columns["symbol"]]
    nameless = not _without_nulls(symbols)
    # what the path says stands where the column is null
    lowest, highest = (None, None) if nameless and named is not None else _bounds(symbols, str)
    return Group(group.num_rows, lowest, highest, first, last, nameless and named is None)


def _bounds(said: Any, kind: type) -> tuple[Any, Any]:  # noqa: ANN401 -- pyarrow has no types
    """The least and the greatest value of a column of a row group; None where the footer does not say."""
    try:
        bounds = (said.min, said.max) if said is not None and said.has_min_max else (None, None)
    except (ValueError, OverflowError):  # a timestamp beyond what Python knows: of another unit than its label
        return None, None
    return bounds if isinstance(bounds[0], kind) else (None, None)


def _times(said: Any) -> tuple[datetime | None, datetime | None]:  # noqa: ANN401 -- pyarrow has no types
    """The first and the last time of a row group, in UTC; None where not every row is known to have one."""
    first, last = _bounds(said, datetime) if _without_nulls(said) else (None, None)
    if first is None or last is None:
        return None, None
    if not PLAUSIBLE_S[0] <= first.timestamp() <= last.timestamp() <= PLAUSIBLE_S[1]:
        return None, None
    return first.astimezone(UTC), last.astimezone(UTC)


def _without_nulls(said: Any) -> bool:  # noqa: ANN401 -- pyarrow has no types
    return said is not None and said.null_count == 0


def _counted(path: Path) -> Counter[str]:
    """How many rows each symbol has in a file."""
    rows = _collected(_opened(path).bars.filter(SYMBOL.is_not_null()).group_by("symbol").len(), path)
    return Counter(dict(rows.iter_rows()))


def _rows(files: Sequence[BarFile], wanted: pl.Expr) -> pl.DataFrame:
    """The rows wanted of some files, in the order of files."""
    if not files:
        return BARS.to_frame()
    ordered = sorted(files, key=lambda file: (file.place, file.path))
    return _collected(pl.concat(_opened(file.path).bars.filter(wanted) for file in ordered), *(f.path for f in ordered))


def _collected(rows: pl.LazyFrame, *paths: Path) -> pl.DataFrame:
    try:
        return rows.collect()
    except UNREADABLE as error:
        name = paths[0] if len(paths) == 1 else f"{paths[0]} or a file up to {paths[-1]}"
        raise damaged(name, error) from error
