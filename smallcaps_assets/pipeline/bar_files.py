"""Files of minute bars that people bring: which belong together, and how they are read, however large."""

import csv
import gzip
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
from pyarrow import ArrowException, parquet

from smallcaps_assets.domain.foreign_bars import OPTIONAL, BarForm, as_bars, columns_of_bars
from smallcaps_assets.domain.tables import as_listed, as_listed_name, check_symbol
from smallcaps_assets.errors import InputError

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
# of one batch: up to about 1 GB with what is made of them
ROWS_AT_ONCE: Final = 1_000_000
# about what a row of text takes at least, so that few bytes never turn out to be too many rows
BYTES_PER_ROW: Final = {".csv": 40, ".csv.gz": 8}
_KEY: Final = "symbol="
# a bare file name that is a symbol, such as BRK.B.parquet, and not bars.parquet or 2024-01-02.parquet
_SYMBOL_AS_NAME: Final = r"[A-Z][A-Za-z]{0,9}([.+-][A-Za-z]{1,4})?"
_LEAVE_OUT: Final = "Convert it, or leave it out."
_UNREADABLE: Final = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException, ArrowException),
    *(OSError, EOFError, UnicodeDecodeError, csv.Error),
)


class Table(NamedTuple):
    """A table of bars (BARS) that is not read yet, and what its files hold beside."""

    bars: pl.LazyFrame
    extra: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Files that are read together.

    `symbol` is what their path says, None where a column says it; `rows` is about how many rows they have, where that
    decides anything; `signature` changes with the files and with what is made of them.
    """

    files: tuple[Path, ...]
    symbol: str | None
    signature: str
    size: int
    rows: int = 0

    @property
    def name(self) -> str:
        """What to call it in a message."""
        more = f" and {len(self.files) - 1:,} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"


def symbol_of_path(file: Path) -> str | None:
    """The symbol that a folder or file names as `symbol=X`; None where none does."""
    named = [part.removeprefix(_KEY) for part in file.parts if part.startswith(_KEY)]
    return named[-1].removesuffix(_suffix(file)) if named else None


def open_bars(files: Sequence[Path], form: BarForm, symbol: str | None, without: Sequence[str] = OPTIONAL) -> Table:
    """Bars of files of one schema; `symbol` fills in where no column says it, columns of `without` may be missing.

    Raises:
        InputError: the first file cannot be read, or is no table of bars; it is named.
    """
    first = files[0]
    try:
        frame = _scanned(files)
        found = frame.collect_schema()
        names = columns_of_bars(found.names(), form, without if symbol is None else (*without, "symbol"))
        bars = frame.select(as_bars(found, names, form, _example(first, frame, names["timestamp"])))
    except InputError as error:
        raise InputError(f"{first}: {error}") from None
    except _UNREADABLE as error:
        raise InputError(f"{first}: {_unreadable(first, error)}") from error
    if symbol is not None:
        bars = bars.with_columns(pl.col("symbol").fill_null(pl.lit(symbol)))
    return Table(bars, tuple(name for name in found if name not in names.values()))


@dataclass
class BarFiles:
    """How files of bars are read; with `only`, bars of other symbols are left aside.

    What is wrong with a file is told to whoever asked and does not keep the others from being read; `extra` are the
    columns that nothing is made of.
    """

    form: BarForm
    only: Collection[str] | None = None
    extra: set[str] = field(default_factory=set)

    def sources(self, files: Sequence[Path], options: str, problems: list[str]) -> list[Source]:
        """Which files are read together: those of one symbol, where paths name symbols, else as many as fit in memory.

        Args:
            files: in order; known by their names, sizes and times.
            options: what else decides what is made of them.
            problems: takes the files that are none of bars, with the reason.
        """
        by_symbol: dict[str, list[Path]] = {}
        mixed: list[Path] = []
        for file in files:
            try:
                symbol = symbol_of_path(file) or self._symbol_of_name(file)
                listed = None if symbol is None else as_listed_name(check_symbol(symbol))
            except InputError as error:
                problems.append(f"{file}: {error}")
                continue
            if listed is None:
                mixed.append(file)
            elif self.only is None or listed in self.only:
                by_symbol.setdefault(listed, []).append(file)
        known = f"{self.form} {options} {None if self.only is None else sorted(self.only)}"
        grouped = [_source(group, known, symbol) for symbol, group in sorted(by_symbol.items())]
        return grouped + [_source(group, known, None, rows) for group, rows in self._fitting(mixed)]

    def batches(self, source: Source, problems: list[str]) -> Iterator[pl.DataFrame]:
        """All bars of a source (BARS), whole symbols together where it is larger than memory should hold.

        `problems` takes the files that cannot be read, with the reason.
        """
        if source.symbol is None and source.rows > ROWS_AT_ONCE:
            yield from self._whole_symbols(source, problems)
            return
        frames = list(self._read(source.files, source.symbol, problems))
        if frames:
            yield pl.concat(frames)

    def _symbol_of_name(self, file: Path) -> str | None:
        """The symbol that the bare name of a file is; None where a column holds symbols."""
        suffix = _suffix(file)
        try:
            names = list(pl.read_parquet_schema(file)) if suffix == ".parquet" else _first_lines(file)[0]
        except (*_UNREADABLE, IndexError) as error:
            raise InputError(_unreadable(file, error)) from error
        if "symbol" in columns_of_bars(names, self.form, (*OPTIONAL, "symbol")):
            return None
        stem = file.name.removesuffix(suffix)
        if re.fullmatch(_SYMBOL_AS_NAME, stem) is None:
            raise InputError(
                f"no column symbol, and its name is none. Put it into a folder `symbol=X`, name it `symbol=X{suffix}`, "
                "or say which column it is: --columns symbol=NAME."
            )
        return stem

    def _fitting(self, files: Sequence[Path]) -> Iterator[tuple[list[Path], int]]:
        """Consecutive files of one kind with at most ROWS_AT_ONCE rows together, or a single larger one."""
        together: list[Path] = []
        total = 0
        for file in files:
            rows = _rows(file)
            if together and (total + rows > ROWS_AT_ONCE or _suffix(file) != _suffix(together[0])):
                yield together, total
                together, total = [], 0
            together.append(file)
            total += rows
        if together:
            yield together, total

    def _read(
        self, files: Sequence[Path], symbol: str | None, problems: list[str], *, alike: bool = False
    ) -> Iterator[pl.DataFrame]:
        """Bars of files, as one table where their columns are the same; a damaged one is found by halves."""
        try:
            yield self._opened(files, symbol).collect()
        except (*_UNREADABLE, InputError) as error:
            if len(files) == 1 or (alike and isinstance(error, InputError)):
                problems.append(_told(files, error))
                return
            groups = [files[: len(files) // 2], files[len(files) // 2 :]] if alike else _by_schema(files)
            for group in groups:
                yield from self._read(group, symbol, problems, alike=True)

    def _opened(self, files: Sequence[Path], symbol: str | None) -> pl.LazyFrame:
        table = open_bars(files, self.form, symbol)
        self.extra.update(table.extra)
        if symbol is not None or self.only is None:
            return table.bars
        return table.bars.filter(as_listed(pl.col("symbol")).is_in(list(self.only)))

    def _whole_symbols(self, source: Source, problems: list[str]) -> Iterator[pl.DataFrame]:
        """Bars of one large file; row groups that hold none of the symbols of a batch are not decoded."""
        symbol = pl.col("symbol")
        try:
            bars = self._opened(source.files, None)
            sizes = bars.group_by("symbol").len().sort("symbol").collect(engine="streaming")
            numbered = sizes.with_columns(batch=(pl.col("len").cast(pl.Int64).cum_sum() - 1) // ROWS_AT_ONCE)
            for batch in numbered.partition_by("batch"):
                named = batch["symbol"].drop_nulls()
                wanted = symbol.is_between(pl.lit(named.min(), pl.String), pl.lit(named.max(), pl.String))
                nameless = bool(batch["symbol"].null_count())
                yield bars.filter(wanted | symbol.is_null() if nameless else wanted).collect(engine="streaming")
        except (*_UNREADABLE, InputError) as error:
            problems.append(_told(source.files, error))


def _suffix(file: Path) -> str:
    return next((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), file.suffix)


def _unreadable(file: Path, error: BaseException) -> str:
    return f"is not a readable {_suffix(file).strip('.')} file ({_reason(error)}). {_LEAVE_OUT}"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or ["empty"])[0]


def _scanned(files: Sequence[Path]) -> pl.LazyFrame:
    if _suffix(files[0]).startswith(".csv"):
        # as text, so that a symbol such as NA or TRUE stays one; `as_bars` makes numbers of what is to be numbers
        return pl.scan_csv(list(files), infer_schema=False, glob=False)
    return pl.scan_parquet(list(files), hive_partitioning=False, glob=False)


def _example(file: Path, frame: pl.LazyFrame, column: str) -> str | None:
    """The first timestamp of a file, where they are text."""
    if frame.collect_schema()[column] != pl.String:
        return None
    if not _suffix(file).startswith(".csv"):
        first = frame.select(pl.col(column).drop_nulls().head(1)).collect(engine="streaming")
        return None if first.is_empty() else str(first.item())
    header, *rows = _first_lines(file)
    return rows[0][header.index(column)] if rows and len(rows[0]) == len(header) else None


def _first_lines(file: Path) -> list[list[str]]:
    """Header and first row of a csv file."""
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as text:
        return [values for values, _ in zip(csv.reader(text), range(2), strict=False)]


def _source(files: Sequence[Path], options: str, symbol: str | None, rows: int = 0) -> Source:
    states = [("/".join(file.parts[-3:]), file.stat()) for file in files]
    known = "\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states)
    signature = hashlib.sha256(f"{options}\n{known}".encode()).hexdigest()[:16]
    return Source(tuple(files), symbol, signature, sum(state.st_size for _, state in states), rows)


def _rows(file: Path) -> int:
    """How many rows a file has; of text about, rather more than less."""
    if _suffix(file) in BYTES_PER_ROW:
        return file.stat().st_size // BYTES_PER_ROW[_suffix(file)]
    return int(parquet.read_metadata(file).num_rows)


def _told(files: Sequence[Path], error: BaseException) -> str:
    more = f" {len(files) - 1:,} more files are like it." if len(files) > 1 else ""
    if isinstance(error, InputError):
        return f"{error}{more}"
    return f"{files[0]}: cannot be read to its end ({_reason(error)}). Write the damaged file again.{more}"


def _by_schema(files: Sequence[Path]) -> list[list[Path]]:
    """Files of one kind and with the same columns, in order; one that cannot be opened stands alone."""
    groups: dict[object, list[Path]] = {}
    for number, file in enumerate(files):
        try:
            key: object = (_suffix(file), tuple(_scanned([file]).collect_schema().items()))
        except _UNREADABLE:
            key = number
        groups.setdefault(key, []).append(file)
    return list(groups.values())
