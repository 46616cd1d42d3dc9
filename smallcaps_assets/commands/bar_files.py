"""Many files of minute bars, read a few symbols at a time: what each file holds is known from its footer."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from pyarrow import ArrowException, parquet

from smallcaps_assets.commands.files import scan_bars
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.publish import disk_errors
from smallcaps_assets.pipeline.bar_files import symbol_of_path
from smallcaps_assets.pipeline.progress import with_progress

# About 1 GB with their features. A symbol of 750 sessions has a third of it.
ROWS_AT_ONCE: Final = 1_000_000
# Where reading all batches would read more than so many times what there is, rows are sorted into batches first.
MOST_OVERREAD: Final = 3.0
# of a run sorted by symbol, that can be read apart from one another
MOST_PARTS: Final = 64
SYMBOL, TIMESTAMP = pl.col("symbol"), pl.col("timestamp")


class Group(NamedTuple):
    """A row group: how many rows, and the lowest and the highest symbol; None where the footer does not say."""

    rows: int
    lowest: str | None
    highest: str | None

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
        bounds = {bound for group in self.groups for bound in group[1:]}
        return bounds.pop() if len(bounds) == 1 and not self.nameless else None

    def may_reach(self, first: date | None, last: date | None) -> bool:
        """Whether it may have bars on the ET dates from `first` to `last`."""
        day = timedelta(days=1)
        before = first is not None and self.last is not None and self.last.date() < first
        after = last is not None and self.first is not None and self.first.date() - day > last
        return not (before or after)


@dataclass(frozen=True)
class BarFiles:
    """Files of bars. Rows of one symbol come in the order of files and of rows in them, wherever they lie."""

    own: dict[str, list[BarFile]]  # files of one symbol
    shared: list[BarFile]  # files of several, or of whom the footer does not say
    counted: dict[str, int]  # rows of each symbol in the shared files
    rows_at_once: int

    @classmethod
    def look_at(cls, paths: Sequence[Path], log: Callable[[str], None], rows_at_once: int = ROWS_AT_ONCE) -> "BarFiles":
        """Read the footers of `paths`, and the symbols of those that hold several.

        Raises:
            InputError: a file cannot be read, or holds no bars; see `scan_bars`.
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
        together: list[str] = []
        rows = 0
        for symbol in symbols:
            own = sum(file.rows for file in self.own.get(symbol, ()) if file.may_reach(first, last))
            size = own + self.counted.get(symbol, 0)
            if together and rows + size > self.rows_at_once:
                yield together
                together, rows = [], 0
            together.append(symbol)
            rows += size
        if together:
            yield together

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

    def in_runs(self, batches: Sequence[Sequence[str]], folder: Path, log: Callable[[str], None]) -> "BarFiles":
        """The same bars of `batches`, those of shared files written anew in `folder`, sorted by symbol in runs."""
        wanted, runs = SYMBOL.is_in([symbol for batch in batches for symbol in batch]), []
        parts = min(len(batches), MOST_PARTS)
        chunks = [(file, at) for file in self.shared for at in range(0, file.rows, self.rows_at_once)]
        for number, (file, at) in enumerate(with_progress(chunks, len(chunks), "runs sorted", log)):
            rows = _collected(scan_bars(file.path).slice(at, self.rows_at_once).filter(wanted), file.path)
            if rows.is_empty():
                continue
            path = folder / f"{number:09}.parquet"
            with disk_errors("written", path):
                rows.sort("symbol", maintain_order=True).write_parquet(
                    path, statistics=True, row_group_size=rows.height // parts + 1
                )
            runs.append(_footer(path, file.place))
        return replace(self, shared=runs)


def _footer(path: Path, place: int) -> BarFile:
    """What a footer says, once the columns are known to be those of bars."""
    named = symbol_of_path(path)
    scan_bars(path)
    try:
        metadata = parquet.read_metadata(path)
    except (ArrowException, OSError) as error:
        raise InputError(f"{path}: its footer cannot be read ({error}). Write the file again.") from error
    groups, nameless = [], False
    firsts: list[Any] = []
    lasts: list[Any] = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        said = {(column := group.column(at)).path_in_schema: column.statistics for at in range(group.num_columns)}
        lowest = highest = named
        if "symbol" in said:
            lowest, highest = _bounds(said["symbol"], str)
            nameless |= not _without_nulls(said["symbol"])
        groups.append(Group(group.num_rows, lowest, highest))
        dated = _without_nulls(said["timestamp"])
        first, last = _bounds(said["timestamp"], datetime) if dated else (None, None)
        firsts.append(first)
        lasts.append(last)
    begin = None if None in firsts else min(firsts, default=None)
    end = None if None in lasts else max(lasts, default=None)
    return BarFile(path, place, tuple(groups), begin, end, nameless)


def _bounds(said: Any, kind: type) -> tuple[Any, Any]:  # noqa: ANN401 -- pyarrow has no types
    """The least and the greatest value of a column of a row group; None where the footer does not say."""
    try:
        bounds = (said.min, said.max) if said is not None and said.has_min_max else (None, None)
    except (ValueError, OverflowError):  # a timestamp beyond what Python knows: of another unit than its label
        return None, None
    return bounds if isinstance(bounds[0], kind) else (None, None)


def _without_nulls(said: Any) -> bool:  # noqa: ANN401 -- pyarrow has no types
    return said is not None and said.null_count == 0


def _counted(path: Path) -> Counter[str]:
    """How many rows each symbol has in a file."""
    rows = _collected(scan_bars(path).filter(SYMBOL.is_not_null()).group_by("symbol").len(), path)
    return Counter(dict(rows.iter_rows()))


def _rows(files: Sequence[BarFile], wanted: pl.Expr) -> pl.DataFrame:
    """The rows wanted of some files, in the order of files."""
    if not files:
        return BARS.to_frame()
    ordered = sorted(files, key=lambda file: (file.place, file.path))
    return _collected(pl.concat(scan_bars(file.path).filter(wanted) for file in ordered), *(f.path for f in ordered))


def _collected(rows: pl.LazyFrame, *paths: Path) -> pl.DataFrame:
    try:
        return rows.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).splitlines()[0]
        named = str(paths[0]) if len(paths) == 1 else f"{paths[0]} or a file up to {paths[-1]}"
        raise InputError(f"{named}: cannot be read to its end ({reason}). Write the damaged file again.") from error
