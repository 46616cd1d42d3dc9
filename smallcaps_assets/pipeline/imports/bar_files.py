"""The reader of users' bar files: groups them, reads them within bounded memory, and reports files it cannot read."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

import polars as pl
from pyarrow import parquet

from smallcaps_assets.domain.bars.unknown import OPTIONAL
from smallcaps_assets.domain.imports.bars import (
    BarForm,
    ambiguous_time_error,
    match_bar_columns,
    unparsable_time_error,
)
from smallcaps_assets.domain.imports.columns import needs_unit
from smallcaps_assets.domain.symbols import canonical_name, check_symbol
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.errors import InputError, SmallcapsError, UnexpectedError
from smallcaps_assets.pipeline.imports.bar_tables import (
    AMBIGUOUS_TIME,
    FILE,
    ROWS_AT_ONCE,
    UNPARSABLE_TIME,
    UNREADABLE,
    Table,
    damaged,
    first_lines,
    in_batches,
    open_bars,
    require_unaltered,
    scanned,
    timeless,
    unreadable,
)
from smallcaps_assets.pipeline.imports.symbol_names import suffix_of, symbol_of_name, symbol_of_path
from smallcaps_assets.pipeline.imports.symbol_partitions import SymbolPartitions, count_symbols
from smallcaps_assets.pipeline.unexpected import UNFORESEEN, UnexpectedErrors

# a low estimate of the bytes of a row of text, so that the number of rows is never underestimated
BYTES_PER_ROW: Final = {".csv": 40, ".csv.gz": 8}
# given bars (BARS and FILE), the files to reject, each with the reason
FileRule = Callable[[pl.LazyFrame], Mapping[str, str]]
# files or sessions that a message lists
MOST_NAMES: Final = 5
# a column that may hold symbols under an unknown name, such as stock_symbol, sym_root, or S or T of live streams
_LIKE_SYMBOL: Final = re.compile(
    r".*(symbol|ticker).*|(.*[_ -])?(sym|stock|instrument|security|underlying|asset|ric|code)([_ -].*)?|(?-i:[ST])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """Files that are read together.

    `symbol` is that of their path, None where a column has it. `rows` is their estimated number of rows; 0 where the
    path has the symbol. `signature` changes with the files and with every option of reading them. A source with `left`
    holds the files that an earlier import could not read; it is never recorded as imported itself.
    """

    files: tuple[Path, ...]
    symbol: str | None
    signature: str
    size: int
    rows: int = 0
    left: bool = False

    def only(self, numbers: Sequence[int]) -> "Source":
        """The source of some of its files, by number: those that could not be read before."""
        files = tuple(self.files[number] for number in numbers)
        return replace(self, files=files, size=sum(file.stat().st_size for file in files), left=True)

    @property
    def name(self) -> str:
        """Its name in messages."""
        more = f" and {len(self.files) - 1:,} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"


@dataclass
class Faults:
    """Messages about files, and about their rows; `files` cannot be read, which `of_files` of the messages report."""

    messages: list[str] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    of_files: int = 0

    def add(self, files: Sequence[Path], what: str) -> None:
        """Add a message about the first of `files`; the others have the same fault."""
        names = ", ".join(map(str, files[1 : MOST_NAMES + 1])) + (", ..." if len(files) > MOST_NAMES + 1 else "")
        more = (
            f" {count_clause(len(files) - 1, 'more file is', 'more files are')} like it: {names}."
            if len(files) > 1
            else ""
        )
        self.messages.append(f"{what}{more}")
        self.files.update(files)
        self.of_files += 1


@dataclass
class BarReader:
    """Reads bar files.

    Attributes:
        form: what the files do not record themselves.
        only: symbols to read; None for all.
        rows_at_once: most rows in memory; a single symbol may have more.
        optional: columns of bars that may be missing.
        unexpected: keeps the stack traces of errors that nobody foresaw.
        extra: ignored columns of the files read so far.
        absent: by column of bars, the files read so far that lack it; it is null in their bars.
    """

    form: BarForm
    only: Collection[str] | None = None
    rows_at_once: int = ROWS_AT_ONCE
    optional: Sequence[str] = OPTIONAL
    unexpected: UnexpectedErrors = field(default_factory=partial(UnexpectedErrors, None, "read bars"))
    extra: set[str] = field(default_factory=set)
    absent: dict[str, set[Path]] = field(default_factory=dict)

    def sources(self, files: Sequence[Path], options: str, problems: list[str]) -> list[Source]:
        """Group files: those of one symbol where their paths name it, else as many as fit into memory.

        Args:
            files: in order; identified by names, sizes and modification times.
            options: further options that decide the result, for the signatures.
            problems: receives a message for each file that is not one of bars.
        """
        by_symbol: dict[str, list[Path]] = {}
        mixed: list[Path] = []
        for file in files:
            try:
                listed = self.unexpected.attempt(str(file), partial(self._symbol_of, file), UNREADABLE)
            except InputError as error:
                problems.append(f"{file}: {error}")
                continue
            except UNREADABLE as error:
                problems.append(str(unreadable(file, error)))
                continue
            if isinstance(listed, UnexpectedError):
                problems.append(f"{file}: {listed}")
                continue
            if listed is None:
                mixed.append(file)
            elif self.only is None or listed in self.only:
                by_symbol.setdefault(listed, []).append(file)
        known = f"{self.form} {options} {None if self.only is None else sorted(self.only)}"
        grouped = [_source(group, known, symbol) for symbol, group in sorted(by_symbol.items())]
        return grouped + [_source(group, known, None, rows) for group, rows in self._fit_into_memory(mixed)]

    def batches(self, source: Source, faults: Faults, rejecting: Sequence[FileRule] = ()) -> Iterator[pl.DataFrame]:
        """Read all bars of a source (BARS and FILE); in whole symbols where it has more than `rows_at_once` rows.

        Args:
            source: one of `sources`.
            faults: receives files that cannot be read, have ambiguous times, or are rejected.
            rejecting: rules for whole files, applied before the first batch is yielded.
        """
        if source.symbol is None and source.rows > self.rows_at_once:
            yield from self._whole_symbols(source, faults, rejecting)
            return
        frames = list(self._read(source.files, source.symbol, faults))
        if frames:
            bars = pl.concat(frames)
            for rule in rejecting:
                rejected = rule(bars.lazy())
                if rejected:
                    first = next(iter(rejected))
                    faults.add([Path(file) for file in rejected], f"{first}: {rejected[first]}")
                    bars = bars.filter(~pl.col(FILE).is_in(list(rejected)))
            yield bars

    def example(self, source: Source, row: pl.DataFrame) -> str:
        """Describe a rejected row (QUARANTINED_BARS) and its file; if its time is null, the time as stored."""
        if row["timestamp"][0] is not None:
            return f"{as_example(row)} in {source.name}"
        for file in source.files:
            try:
                stored = timeless(file, self.form, source.symbol)
            except (*UNREADABLE, InputError):
                continue
            if stored is not None:
                return f"{stored} in {file}"
        return f"{as_example(row)} in {source.name}"

    def _symbol_of(self, file: Path) -> str | None:
        """The symbol that the path of a file says; None where a column holds symbols."""
        require_unaltered(file)
        symbol = symbol_of_path(file) or self._symbol_of_name(file)
        return None if symbol is None else canonical_name(check_symbol(symbol))

    def _symbol_of_name(self, file: Path) -> str | None:
        """The symbol that a file name is; None where a column holds symbols."""
        suffix = suffix_of(file)
        names = (
            list(pl.scan_parquet(file, hive_partitioning=False, glob=False).collect_schema())
            if suffix == ".parquet"
            else next(iter(first_lines(file)), [])
        )
        columns = match_bar_columns(names, self.form, (*self.optional, "symbol"))
        if "symbol" in columns:
            return None
        like = [name for name in names if name not in columns.values() and _LIKE_SYMBOL.fullmatch(name)]
        return symbol_of_name(file, names, like)

    def _fit_into_memory(self, files: Sequence[Path]) -> Iterator[tuple[list[Path], int]]:
        """Consecutive files of one kind with at most `rows_at_once` rows together, or a single larger one."""
        for _, alike in groupby(files, suffix_of):
            for batch in in_batches(((file, _rows(file)) for file in alike), self.rows_at_once):
                yield [file for file, _ in batch], sum(rows for _, rows in batch)

    def _read(
        self, files: Sequence[Path], symbol: str | None, faults: Faults, *, alike: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Read files as one table if they have the same columns; a damaged file is found by bisection."""
        work = partial(self._read_together, files, symbol, faults)
        try:
            found = work() if len(files) > 1 else self.unexpected.attempt(str(files[0]), work, UNREADABLE)
        except (*UNREADABLE, InputError) as error:
            if len(files) == 1 or (alike and isinstance(error, InputError)):
                faults.add(files, _message(files[0], error))
                return
            groups = [files[: len(files) // 2], files[len(files) // 2 :]] if alike else _by_schema(files)
            for group in groups:
                yield from self._read(group, symbol, faults, alike=True)
            return
        except SmallcapsError:
            raise
        except UNFORESEEN:
            for group in (files[: len(files) // 2], files[len(files) // 2 :]):
                yield from self._read(group, symbol, faults, alike=True)
            return
        if isinstance(found, UnexpectedError):
            faults.add(files, f"{files[0]}: {found}")
        else:
            yield found

    def _read_together(self, files: Sequence[Path], symbol: str | None, faults: Faults) -> pl.DataFrame:
        return self._collect(self._open(files, symbol), faults)

    def _open(self, files: Sequence[Path], symbol: str | None) -> Table:
        table = open_bars(files, self.form, symbol, self.optional)
        self.extra.update(table.extra)
        for name in OPTIONAL:
            if name not in table.columns:
                self.absent.setdefault(name, set()).update(files)
        if symbol is not None or self.only is None:
            return table
        wanted = pl.col("symbol").is_in(list(self.only))
        asking = None if table.asking is None else table.asking.filter(wanted)
        return table._replace(of_files=table.of_files.filter(wanted), asking=asking)

    def _collect(self, table: Table, faults: Faults) -> pl.DataFrame:
        """Collect a table without the files whose times are ambiguous, or none of whose times can be parsed."""
        if table.asking is None:
            return table.of_files.collect()
        bars = table.asking.collect()
        ambiguous = _first_of_each(bars, AMBIGUOUS_TIME)
        questions: dict[bool, list[tuple[str, str]]] = {}
        for file, value in ambiguous.select(FILE, AMBIGUOUS_TIME).iter_rows():
            questions.setdefault(needs_unit(value), []).append((file, value))
        for alike in questions.values():
            faults.add(
                [Path(file) for file, _ in alike], f"{alike[0][0]}: {ambiguous_time_error(table.columns, alike[0][1])}"
            )
        bars = bars.filter(~pl.col(FILE).is_in(ambiguous[FILE].to_list()))
        unread = _first_of_each(bars, UNPARSABLE_TIME)
        if not unread.is_empty():
            unread = unread.join(bars.filter(pl.col("timestamp").is_not_null()), FILE, "anti", maintain_order="left")
        files = unread[FILE].to_list()
        if files:
            faults.add(
                [Path(file) for file in files],
                f"{files[0]}: {unparsable_time_error(table.columns, unread[UNPARSABLE_TIME][0])}",
            )
        return bars.filter(~pl.col(FILE).is_in(files)).select(*BARS, FILE)

    def _whole_symbols(self, source: Source, faults: Faults, rejecting: Sequence[FileRule]) -> Iterator[pl.DataFrame]:
        """Read a file that does not fit into memory, partitioned by symbol in a temporary folder."""
        try:
            bars = self.scan(source.files)
            for file, why in (found for rule in rejecting for found in rule(bars).items()):
                faults.add([Path(file)], f"{file}: {why}")
                return
            sizes = count_symbols(bars)
            batches = [
                [symbol for symbol, _ in batch] for batch in in_batches(sorted(sizes.items()), self.rows_at_once)
            ]
            with tempfile.TemporaryDirectory(prefix="smallcaps-import-", ignore_cleanup_errors=True) as folder:
                partitions = SymbolPartitions(bars, batches, Path(folder))
                nameless = partitions.read_nameless().collect()
                if nameless.height:
                    yield nameless
                for batch in batches:
                    yield partitions.read(batch).collect()
        except (*UNREADABLE, InputError) as error:
            faults.add(source.files, _message(source.files[0], error))

    def scan(self, files: Sequence[Path]) -> pl.LazyFrame:
        """Bars (BARS and FILE) of files that need not fit into memory, in the order of the files.

        Raises:
            InputError: a file is not readable, is not a table of bars, or has ambiguous times.
        """
        tables = []
        for _, alike in groupby(files, _schema_of):
            table = self._open(list(alike), None)
            table.require_readable_times()
            tables.append(table.of_files)
        return pl.concat(tables)


def _source(files: Sequence[Path], options: str, symbol: str | None, rows: int = 0) -> Source:
    states = [("/".join(file.parts[-3:]), file.stat()) for file in files]
    known = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    signature = hashlib.sha256(f"{options}\n{known}".encode()).hexdigest()[:16]
    return Source(tuple(files), symbol, signature, sum(state.st_size for _, state in states), rows)


def _first_of_each(bars: pl.DataFrame, name: str) -> pl.DataFrame:
    """The first row of each file whose value in a column is not null."""
    return bars.filter(pl.col(name).is_not_null()).unique(FILE, keep="first", maintain_order=True)


def _rows(file: Path) -> int:
    """The number of rows of a file; of text a high estimate."""
    if suffix_of(file) in BYTES_PER_ROW:
        return file.stat().st_size // BYTES_PER_ROW[suffix_of(file)]
    return int(parquet.read_metadata(file).num_rows)


def _message(file: Path, error: BaseException) -> str:
    return str(error if isinstance(error, InputError) else damaged(file, error))


def describe_absent(absent: Mapping[str, Collection[Path]]) -> list[str]:
    """A line about each column that files lack, see `BarReader.absent`."""
    effects = {
        "vwap": "no event needs it",
        "transactions": "tape_speed makes no event of their bars",
    }
    return [
        f"{len(absent[name]):,} {'file has' if len(absent[name]) == 1 else 'files have'} no column {name}: it is read "
        f"as unknown (null); {effects[name]}"
        for name in OPTIONAL
        if absent.get(name)
    ]


def as_example(row: pl.DataFrame) -> str:
    """Describe a row (QUARANTINED_BARS) in one line."""
    values_of = row.row(0, named=True)
    moment = values_of["timestamp"]
    when = "without a time" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    values = ", ".join(f"{name} {values_of[name]}" for name in ("open", "high", "low", "close", "volume"))
    return f"{values_of['symbol']} {when}, {values},"


def _by_schema(files: Sequence[Path]) -> list[list[Path]]:
    """Group files by kind and columns, in order; a file that cannot be opened is a group by itself."""
    groups: dict[object, list[Path]] = {}
    for file in files:
        groups.setdefault(_schema_of(file), []).append(file)
    return list(groups.values())


def _schema_of(file: Path) -> object:
    """A key that is the same for files that one scan can read."""
    try:
        return suffix_of(file), tuple(scanned([file]).collect_schema().items())
    except UNREADABLE:
        return file
