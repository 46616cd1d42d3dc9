"""Tables of users' minute bars, opened in any supported form; every error names the file."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import polars as pl
from pyarrow import ArrowException

from smallcaps_assets.domain.bars.quality import PRICES
from smallcaps_assets.domain.bars.unknown import OPTIONAL
from smallcaps_assets.domain.imports.bars import (
    BarForm,
    ambiguous_bar_times,
    ambiguous_time_error,
    as_bars,
    match_bar_columns,
    other_symbol_columns,
    unparsable_bar_times,
    unparsable_time_error,
)
from smallcaps_assets.domain.imports.prices import require_fractions
from smallcaps_assets.domain.symbols import canonical_symbol
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.files.content_hash import DAMAGE, is_altered
from smallcaps_assets.lake.files.remedies import remedy_of_lake_file, remedy_within_lake
from smallcaps_assets.pipeline.imports.symbol_names import suffix_of

# Rows of one batch, about 1 GB with intermediate results. A symbol of 750 sessions has a third of them.
ROWS_AT_ONCE: Final = 1_000_000
# exceptions that a damaged file raises, or one that is not a table
UNREADABLE: Final = (
    *(pl.exceptions.PolarsError, pl.exceptions.PanicException, ArrowException),
    *(OSError, EOFError, UnicodeDecodeError, csv.Error),
)
# further columns of bars: the file; and, where times are text, those that are ambiguous and those in no supported form
FILE: Final = " file"
AMBIGUOUS_TIME: Final = " ambiguous time"
UNPARSABLE_TIME: Final = " unparsable time"
Item = TypeVar("Item")


class Table(NamedTuple):
    """A lazy table of bars (BARS), the columns they are read from, and the ignored columns (`extra`).

    `of_files` are the same bars with FILE; `asking`, only where times are text, the same with FILE, AMBIGUOUS_TIME and
    UNPARSABLE_TIME.
    """

    bars: pl.LazyFrame
    columns: Mapping[str, str]
    extra: tuple[str, ...]
    of_files: pl.LazyFrame
    asking: pl.LazyFrame | None

    def require_readable_times(self) -> None:
        """Require that no time is ambiguous and that at least one can be parsed; reads the column where it is text.

        Raises:
            InputError: a time is ambiguous, or none can be parsed; names the file.
        """
        for file, value in self._first(AMBIGUOUS_TIME):
            raise InputError(f"{file}: {ambiguous_time_error(self.columns, value)}")
        if not self._first("timestamp"):
            for file, value in self._first(UNPARSABLE_TIME):
                raise InputError(f"{file}: {unparsable_time_error(self.columns, value)}")

    def _first(self, name: str) -> list[tuple[str, str]]:
        """The first value of a column of `asking`, and its file."""
        if self.asking is None:
            return []
        return (
            self.asking.filter(pl.col(name).is_not_null()).select(FILE, name).head(1).collect(engine="streaming").rows()
        )


def open_bars(files: Sequence[Path], form: BarForm, symbol: str | None, without: Sequence[str] = OPTIONAL) -> Table:
    """Open files of one schema as bars.

    Symbols without a capital letter are put in capitals. `symbol` replaces null symbols, or the missing column; the
    columns of `without` may be missing.

    Raises:
        InputError: the first file cannot be read, or is not a table of bars; names it.
    """
    first = files[0]
    try:
        frame = scanned(files)
        found = frame.collect_schema()
        names = match_bar_columns(found.names(), form, without if symbol is None else (*without, "symbol"))
        if form.scale is None:
            require_fractions(frame, [names[name] for name in PRICES], found)
        if "symbol" not in form.names:
            _require_one_symbol(scanned(files, FILE), other_symbol_columns(found, names))
        is_text = found[names["timestamp"]] == pl.String
        asked = (
            [ambiguous_bar_times(names, form).alias(AMBIGUOUS_TIME), unparsable_bar_times(names).alias(UNPARSABLE_TIME)]
            if is_text
            else []
        )
        bars = scanned(files, FILE).select(*as_bars(found, names, form), FILE, *asked)
    except InputError as error:
        raise InputError(f"{first}: {with_remedy(first, error)}") from None
    except UNREADABLE as error:
        raise unreadable(first, error) from error
    own = pl.col("symbol") if symbol is None else pl.col("symbol").fill_null(pl.lit(symbol))
    bars = bars.with_columns(symbol=canonical_symbol(own))
    extra = tuple(name for name in found if name not in names.values())
    return Table(bars.select(*BARS), names, extra, bars.select(*BARS, FILE), bars if is_text else None)


def _require_one_symbol(table: pl.LazyFrame, columns: Sequence[str]) -> None:
    """Require that columns which are known as symbols say the same symbol of each row; the first one is used.

    Raises:
        InputError: two of them do not.
    """
    for other in columns[1:]:
        ours, theirs = (canonical_symbol(pl.col(name).cast(pl.String)) for name in (columns[0], other))
        differing = table.select(FILE, ours=ours, theirs=theirs).filter(pl.col("ours") != pl.col("theirs")).head(1)
        for file, one, another in differing.collect(engine="streaming").iter_rows():
            raise InputError(
                f"columns {columns[0]} and {other} say different symbols, such as {one} and {another} in {file}. Say "
                f"which one is right: --columns symbol={columns[0]}, or --columns symbol={other}."
            )


def timeless(file: Path, form: BarForm, symbol: str | None) -> str | None:
    """The first timestamp of a file that cannot be parsed, as stored in the file; None if all can.

    Raises:
        InputError: see `open_bars`.
    """
    table = open_bars([file], form, symbol)
    name, found = table.columns["timestamp"], scanned([file]).collect_schema()
    raw = scanned([file]).select(pl.col(name).alias(AMBIGUOUS_TIME))
    both = pl.concat([raw, table.bars.select("timestamp")], how="horizontal")
    first = both.filter(pl.col("timestamp").is_null()).head(1).collect()
    if first.is_empty():
        return None
    value = first.select(pl.col(AMBIGUOUS_TIME).to_physical() if found[name].is_temporal() else AMBIGUOUS_TIME).item()
    return f"{name} {value!r} ({found[name]})"


def scanned(files: Sequence[Path], name_in: str | None = None) -> pl.LazyFrame:
    """Scan files of one kind unchanged; `name_in`, if given, is a column that names the file of each row."""
    if suffix_of(files[0]).startswith(".csv"):
        # as text, so that a symbol such as NA or TRUE stays a symbol; `as_bars` parses the numbers
        return pl.scan_csv(list(files), infer_schema=False, glob=False, include_file_paths=name_in)
    return pl.scan_parquet(list(files), hive_partitioning=False, glob=False, include_file_paths=name_in)


def first_lines(file: Path) -> list[list[str]]:
    """Read the header and the first row of a csv file."""
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as lines:
        return [values for values, _ in zip(csv.reader(lines), range(2), strict=False)]


def in_batches(sized: Iterable[tuple[Item, int]], rows: int) -> Iterator[list[tuple[Item, int]]]:
    """Group consecutive items, given with their rows, into batches of at most `rows`; a single item may have more."""
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
    """The error for a file that is not a table, or does not exist."""
    if not file.exists():
        if blocked := next((place for place in file.parents if place.is_file()), None):
            return in_place_of_folder(blocked)
        return InputError(f"{file}: does not exist. {remedy_within_lake(file) or 'Check the path.'}")
    kind = suffix_of(file).strip(".")
    remedy = remedy_of_lake_file(file) or "Convert it, or leave it out."
    return InputError(f"{file}: is not a readable {kind} file ({_reason(error)}). {remedy}")


def in_place_of_folder(file: Path) -> InputError:
    """The error of a file in whose place a folder belongs."""
    remedy = remedy_within_lake(file) or "Check the path."
    return InputError(f"{file}: is a file, where a folder belongs: move the file away. {remedy}")


def with_remedy(file: Path, error: InputError) -> str:
    """What is wrong with a table; of one in a lake its first sentence, with how to get the table back."""
    remedy = remedy_within_lake(file)
    return str(error) if remedy is None else f"{str(error).partition('. ')[0].rstrip('.')}. {remedy}"


def require_unaltered(file: Path) -> None:
    """Require that a file which carries a hash, as those of a lake do, is what was published.

    Raises:
        InputError: it is not; the message does not name the file.
        OSError: it cannot be read.
    """
    if is_altered(file):
        remedy = remedy_of_lake_file(file) or "Copy it again from the lake that it is of, or leave it out."
        raise InputError(f"is {DAMAGE}. {remedy}")


def damaged(name: object, error: BaseException) -> InputError:
    """The error for a table of which a part cannot be read."""
    remedy = remedy_within_lake(Path(str(name))) or "Write the damaged file again."
    return InputError(f"{name}: cannot be read to its end ({_reason(error)}). {remedy}")


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or (str(error).splitlines() or ["empty"])[0]
