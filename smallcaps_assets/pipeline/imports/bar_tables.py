"""Tables of minute bars that people bring: opened whatever their form, and what is wrong told with the file's name."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import polars as pl
from pyarrow import ArrowException

from smallcaps_assets.domain.imports.bars import (
    OPTIONAL,
    BarForm,
    ambiguous_bar_times,
    ambiguous_time_error,
    as_bars,
    match_bar_columns,
    unparsable_bar_times,
    unparsable_time_error,
)
from smallcaps_assets.domain.symbols import canonical_symbol
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError

SUFFIXES: Final = (".csv.gz", ".csv", ".parquet")
# Of one batch: about 1 GB with what is made of them. A symbol of 750 sessions has a third of it.
ROWS_AT_ONCE: Final = 1_000_000
# what is raised by a file that is damaged, or no table at all
UNREADABLE: Final = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException, ArrowException),
    *(OSError, EOFError, UnicodeDecodeError, csv.Error),
)
# beside bars: the file; and, where times are text, the time where it leaves open what it means, and where it is in no
# form that is read
FILE: Final = " file"
UNSAID: Final = " unsaid"
SHAPELESS: Final = " shapeless"
_KEY: Final = "symbol="
Item = TypeVar("Item")


class Table(NamedTuple):
    """A table of bars (BARS) that is not read yet, the columns that hold them, and those of which nothing is made.

    `of_files` are the same bars with FILE; `asking`, where times are text, with UNSAID, SHAPELESS and FILE: text may
    leave open what it means.
    """

    bars: pl.LazyFrame
    columns: Mapping[str, str]
    extra: tuple[str, ...]
    of_files: pl.LazyFrame
    asking: pl.LazyFrame | None

    def require_said(self) -> None:
        """Make sure that no time leaves open what it means, and that one can be read; reads them where they are text.

        Raises:
            InputError: one does, or none can; the file is named.
        """
        for file, value in self._first(UNSAID):
            raise InputError(f"{file}: {ambiguous_time_error(self.columns, value)}")
        if not self._first("timestamp"):
            for file, value in self._first(SHAPELESS):
                raise InputError(f"{file}: {unparsable_time_error(self.columns, value)}")

    def _first(self, name: str) -> list[tuple[str, str]]:
        """The first value of a column of `asking`, and its file."""
        if self.asking is None:
            return []
        return (
            self.asking.filter(pl.col(name).is_not_null()).select(FILE, name).head(1).collect(engine="streaming").rows()
        )


def open_bars(files: Sequence[Path], form: BarForm, symbol: str | None, without: Sequence[str] = OPTIONAL) -> Table:
    """Bars of files of one schema; `symbol` fills in where no column says it, columns of `without` may be missing.

    Raises:
        InputError: the first file cannot be read, or is no table of bars; it is named.
    """
    first = files[0]
    try:
        frame = scanned(files)
        found = frame.collect_schema()
        names = match_bar_columns(found.names(), form, without if symbol is None else (*without, "symbol"))
        is_text = found[names["timestamp"]] == pl.String
        asked = (
            [ambiguous_bar_times(names, form).alias(UNSAID), unparsable_bar_times(names).alias(SHAPELESS)]
            if is_text
            else []
        )
        bars = scanned(files, FILE).select(*as_bars(found, names, form), FILE, *asked)
    except InputError as error:
        raise InputError(f"{first}: {error}") from None
    except UNREADABLE as error:
        raise unreadable(first, error) from error
    own = pl.col("symbol") if symbol is None else pl.col("symbol").fill_null(pl.lit(symbol))
    bars = bars.with_columns(symbol=canonical_symbol(own))
    extra = tuple(name for name in found if name not in names.values())
    return Table(bars.select(*BARS), names, extra, bars.select(*BARS, FILE), bars if is_text else None)


def timeless(file: Path, form: BarForm, symbol: str | None) -> str | None:
    """The first timestamp of a file of which nothing can be made, as the file has it; None where there is none.

    Raises:
        InputError: see `open_bars`.
    """
    table = open_bars([file], form, symbol)
    name, found = table.columns["timestamp"], scanned([file]).collect_schema()
    raw = scanned([file]).select(pl.col(name).alias(UNSAID))
    both = pl.concat([raw, table.bars.select("timestamp")], how="horizontal")
    first = both.filter(pl.col("timestamp").is_null()).head(1).collect()
    if first.is_empty():
        return None
    value = first.select(pl.col(UNSAID).to_physical() if found[name].is_temporal() else UNSAID).item()
    return f"{name} {value!r} ({found[name]})"


def scanned(files: Sequence[Path], name_in: str | None = None) -> pl.LazyFrame:
    """Files of one kind as they are; the column `name_in`, if given, says of which file a row is."""
    if suffix_of(files[0]).startswith(".csv"):
        # as text, so that a symbol such as NA or TRUE stays one; `as_bars` makes numbers of what is to be numbers
        return pl.scan_csv(list(files), infer_schema=False, glob=False, include_file_paths=name_in)
    return pl.scan_parquet(list(files), hive_partitioning=False, glob=False, include_file_paths=name_in)


def first_lines(file: Path) -> list[list[str]]:
    """Header and first row of a csv file."""
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
        return [values for values, _ in zip(csv.reader(lines), range(2), strict=False)]


def suffix_of(file: Path) -> str:
    """Which of SUFFIXES a name ends with."""
    return next((suffix for suffix in SUFFIXES if file.name.lower().endswith(suffix)), file.suffix)


def without_suffix(name: str, suffix: str) -> str:
    """`name` without `suffix`, in capitals or not."""
    return name[: len(name) - len(suffix)] if name.lower().endswith(suffix.lower()) else name


def symbol_of_path(file: Path) -> str | None:
    """The symbol that a folder or file names as `symbol=X`; None where none does."""
    named = [part.removeprefix(_KEY) for part in file.parts if part.startswith(_KEY)]
    return without_suffix(named[-1], suffix_of(file)) if named else None


def in_batches(sized: Iterable[tuple[Item, int]], rows: int) -> Iterator[list[tuple[Item, int]]]:
    """Consecutive items, each with how many rows it has, with at most `rows` together; a single one may have more."""
    together: list[tuple[Item, int]] = []
    total = 0
    for item, size in sized:
        if together and total + size > rows:
            yield together
            together, total = [], 0
        together.append((item, size))
        total += size
    if together:
        yield together


def unreadable(file: Path, error: BaseException) -> InputError:
    """What to say of a file that is no table."""
    kind = suffix_of(file).strip(".")
    return InputError(f"{file}: is not a readable {kind} file ({_reason(error)}). Convert it, or leave it out.")


def damaged(name: object, error: BaseException) -> InputError:
    """What to say of a file that is a table, of which a part cannot be read."""
    return InputError(f"{name}: cannot be read to its end ({_reason(error)}). Write the damaged file again.")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or ["empty"])[0]
