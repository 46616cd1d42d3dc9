"""Whole symbols of many bar files, a few symbols at a time, in any layout of the files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from pyarrow import parquet

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS, CleanBars
from smallcaps_assets.domain.imports.bars import match_bar_columns
from smallcaps_assets.domain.imports.columns import PLAUSIBLE_S
from smallcaps_assets.domain.imports.prices import scale_problems
from smallcaps_assets.domain.sessions import new_york_date
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.pipeline.imports.bar_files import BarReader, Faults, Source
from smallcaps_assets.pipeline.imports.bar_rules import find_other_symbols, reject_misplaced
from smallcaps_assets.pipeline.imports.bar_tables import FILE, UNREADABLE, damaged, in_batches, unreadable, with_remedy
from smallcaps_assets.pipeline.imports.symbol_partitions import SYMBOL, SymbolPartitions
from smallcaps_assets.pipeline.imports.symbol_ranges import FileSize, SymbolRanges
from smallcaps_assets.pipeline.progress import with_progress

ONE_DAY: Final = timedelta(days=1)


class _Extent(NamedTuple):
    """Size and first and last time (UTC) of a parquet file; the times are None where its footer does not have them."""

    size: FileSize
    first: datetime | None
    last: datetime | None

    def may_reach(self, first: date | None, last: date | None) -> bool:
        """Whether the file may have bars on the New York dates from `first` to `last`."""
        before = first is not None and self.last is not None and self.last.date() < first
        after = last is not None and self.first is not None and self.first.date() - ONE_DAY > last
        return not (before or after)


@dataclass(frozen=True)
class BarsBySymbol:
    """Bars of many parquet files. Rows of one symbol come in the order of files and of rows in them."""

    reader: BarReader
    named: Mapping[str, Source]  # files of one symbol, named by their path
    mixed: Sequence[Path]  # files whose symbols are in a column
    extents: Mapping[Path, _Extent]  # of every file, in order
    mixed_rows: Mapping[str, int]  # rows of each symbol in the mixed files
    ranges: SymbolRanges | None  # of the mixed files; None if there are none
    partitions: SymbolPartitions | None = None  # rows of the mixed files
    by_ranges: bool = False  # whether mixed files are read by ranges
    # about rows of another symbol than their path's, as they are read
    problems: list[str] = field(default_factory=list)

    @classmethod
    def scan(cls, reader: BarReader, paths: Sequence[Path], log: Callable[[str], None]) -> "BarsBySymbol":
        """Read the footers of parquet files `paths`, and the symbols of those that have a column for them.

        Raises:
            InputError: a file is not readable, is not a table of bars, or has ambiguous times.
        """
        extents = {path: _extent(path, reader) for path in with_progress(paths, len(paths), "files looked at", log)}
        problems: list[str] = []
        sources = reader.sources(paths, "", problems)
        if problems:
            raise InputError(problems[0])
        named = {source.symbol: source for source in sources if source.symbol is not None}
        mixed = [file for source in sources if source.symbol is None for file in source.files]
        ranges = _find_ranges(reader, {file: extents[file].size for file in mixed}) if mixed else None
        return cls(reader, named, mixed, extents, ranges.count_symbols() if ranges else {}, ranges)

    @property
    def symbols(self) -> list[str]:
        """Every symbol with rows, sorted."""
        named = {
            symbol
            for symbol, source in self.named.items()
            if any(self.extents[file].size.rows for file in source.files)
        }
        return sorted(named | self.mixed_rows.keys())

    def batches(
        self, symbols: Sequence[str], first: date | None = None, last: date | None = None
    ) -> Iterator[list[str]]:
        """Split `symbols` into batches of about `reader.rows_at_once` rows on the dates; one symbol at least."""
        sized = ((symbol, self._count_rows(symbol, first, last)) for symbol in symbols)
        for batch in in_batches(sized, self.reader.rows_at_once):
            yield [symbol for symbol, _ in batch]

    def partition(self, batches: Sequence[Sequence[str]], folder: Path) -> "BarsBySymbol":
        """Prepare that `batches` can be read without reading all mixed files again.

        Where the rows of each batch do not lie close together, the rows are written into `folder`, an empty folder.

        Raises:
            InputError: a file is damaged.
            DiskFull: there is no room in `folder`.
        """
        if self.ranges is None:
            return self
        if self.ranges.are_narrow(batches):
            return replace(self, by_ranges=True)
        if len(batches) <= 1:
            return self
        try:
            return replace(self, partitions=SymbolPartitions(self.reader.scan(self.mixed), batches, folder))
        except UNREADABLE as error:
            raise _damaged(self.mixed, error) from error

    def read(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> CleanBars:
        """Rows of `symbols` on the New York dates from `first` to `last` (inclusive), in the order of files.

        Rows without a usable timestamp are on every date. The good rows (BARS) are those of the symbols of their paths;
        they are not judged otherwise.

        Raises:
            InputError: a file is damaged, or has ambiguous times.
        """
        found = self.read_with_files(symbols, first, last)
        return CleanBars(found.good.select(*BARS), found.quarantined)

    def read_with_files(self, symbols: Sequence[str], first: date | None = None, last: date | None = None) -> CleanBars:
        """The same as `read`; the good rows have FILE as well.

        Raises:
            InputError: a file is damaged, or has ambiguous times or implausible prices.
        """
        parts = [self._read_named(symbol, first, last) for symbol in symbols if symbol in self.named]
        if not self.mixed_rows.keys().isdisjoint(symbols):
            parts.append(reject_misplaced(self._collect_mixed(symbols, first, last), None))
        good = [part.good for part in parts if part.good.height]
        rejected = pl.concat([QUARANTINED_BARS.to_frame(), *(part.quarantined for part in parts)])
        bars = pl.concat(good) if good else BARS.to_frame().with_columns(pl.lit("").alias(FILE))
        for file, why in scale_problems(bars.lazy(), FILE, self.reader.form.scale).items():
            raise InputError(f"{file}: {why}")
        if len(good) > 1 and self.mixed:
            places = {str(path): place for place, path in enumerate(self.extents)}
            bars = bars.sort(pl.col(FILE).replace_strict(places, return_dtype=pl.UInt32), maintain_order=True)
        is_asked = _on_dates(first, last)
        return CleanBars(bars.select(*BARS, FILE).filter(is_asked), rejected.filter(is_asked))

    def read_nameless(self) -> pl.DataFrame:
        """Rows (BARS) without a symbol."""
        return self._collect_mixed(None, None, None).select(*BARS) if self.mixed else BARS.to_frame()

    def _count_rows(self, symbol: str, first: date | None, last: date | None) -> int:
        """The most rows that a symbol can have on the dates."""
        files = self.named[symbol].files if symbol in self.named else ()
        named = sum(self.extents[file].size.rows for file in files if self.extents[file].may_reach(first, last))
        return named + self.mixed_rows.get(symbol, 0)

    def _read_named(self, symbol: str, first: date | None, last: date | None) -> CleanBars:
        source, faults = self.named[symbol], Faults()
        files = tuple(file for file in source.files if self.extents[file].may_reach(first, last))
        if not files:
            return CleanBars(BARS.to_frame().with_columns(pl.lit("").alias(FILE)), QUARANTINED_BARS.to_frame())
        frames = list(self.reader.batches(replace(source, files=files), faults))
        if faults.messages:
            raise InputError(faults.messages[0])
        bars = pl.concat(frames)
        self.problems.extend(find_other_symbols(bars, symbol))
        return reject_misplaced(bars, symbol)

    def _collect_mixed(self, symbols: Sequence[str] | None, first: date | None, last: date | None) -> pl.DataFrame:
        """Rows (BARS and FILE) of `symbols` in mixed files; of None, rows without a symbol."""
        files = [file for file in self.mixed if self.extents[file].may_reach(first, last)]
        if self.ranges is None or not files:
            return BARS.to_frame().with_columns(pl.lit("").alias(FILE))
        wanted = SYMBOL.is_null() if symbols is None else SYMBOL.is_in(list(symbols))
        try:
            if self.partitions is not None:
                rows = self.partitions.read_nameless() if symbols is None else self.partitions.read(symbols)
            elif self.by_ranges or symbols is None:
                rows = self.ranges.read(wanted, files)
            else:
                rows = self.reader.scan(files).filter(wanted)
            return rows.filter(_on_dates(first, last)).collect(engine="streaming")
        except UNREADABLE as error:
            raise _damaged(files, error) from error


def _on_dates(first: date | None, last: date | None) -> pl.Expr:
    """Whether a row is on the New York dates, or has no usable timestamp."""
    if first is None and last is None:
        return pl.lit(value=True)
    return new_york_date(pl.col("timestamp")).is_between(first or date.min, last or date.max).fill_null(value=True)


def _find_ranges(reader: BarReader, files: Mapping[Path, FileSize]) -> SymbolRanges:
    try:
        return SymbolRanges(reader.scan, files)
    except UNREADABLE as error:
        raise _damaged(list(files), error) from error


def _damaged(files: Sequence[Path], error: BaseException) -> InputError:
    return damaged(files[0] if len(files) == 1 else f"{files[0]} or a file up to {files[-1]}", error)


def _extent(path: Path, reader: BarReader) -> _Extent:
    """Read the footer of a file, whose columns must be those of bars."""
    try:
        metadata = parquet.read_metadata(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    names = [metadata.schema.column(at).path for at in range(metadata.num_columns)]
    try:
        column = names.index(match_bar_columns(names, reader.form, (*reader.optional, "symbol"))["timestamp"])
    except InputError as error:
        raise InputError(f"{path}: {with_remedy(path, error)}") from None
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    size = FileSize(metadata.num_rows, max((group.num_rows for group in groups), default=0))
    times = [_times(group.column(column).statistics) for group in groups]
    known = [pair for pair in times if pair is not None]
    if len(known) < len(times) or not known:
        return _Extent(size, None, None)
    return _Extent(size, min(first for first, _ in known), max(last for _, last in known))


def _times(statistics: Any) -> tuple[datetime, datetime] | None:  # noqa: ANN401 -- pyarrow has no types
    """First and last time of a row group in UTC; None where not every row is known to have one."""
    if statistics is None or statistics.null_count != 0 or not statistics.has_min_max:
        return None
    try:
        first, last = statistics.min, statistics.max
    except (ValueError, OverflowError):  # beyond what Python knows: of another unit than its label
        return None
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    if not PLAUSIBLE_S[0] <= first.timestamp() <= last.timestamp() <= PLAUSIBLE_S[1]:
        return None
    return first.astimezone(UTC), last.astimezone(UTC)
