"""Parquet files of a replayed market: columns are checked when opened, rows are read on request only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import BARS, QUOTES, QUOTES_ALL, TRADES, TRADES_ALL
from smallcaps_assets.errors import InputError
from smallcaps_assets.runtime.user_files import find_user_files

_NS_PER_UNIT: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000}
_SYMBOL: Final = {"symbol": pl.String()}


@dataclass(frozen=True)
class ReplayTable:
    """One kind of file: the schema of its rows, and the required columns. The others have defaults."""

    name: str
    schema: Mapping[str, pl.DataType]
    required: tuple[str, ...]
    order: tuple[str, ...]


BARS_TABLE: Final = ReplayTable(
    "bars", BARS, tuple(name for name in BARS if name not in ("vwap", "transactions")), ("timestamp",)
)
# of the tape's columns, those with a default
_OPTIONAL: Final = ("participant_timestamp", "correction")
TRADES_TABLE: Final = ReplayTable(
    "trades",
    {**_SYMBOL, **TRADES_ALL},
    ("symbol", *(name for name in TRADES if name not in _OPTIONAL)),
    ("timestamp", "sequence_number"),
)
QUOTES_TABLE: Final = ReplayTable(
    "quotes",
    {**_SYMBOL, **QUOTES_ALL},
    ("symbol", *(name for name in QUOTES if name not in _OPTIONAL)),
    ("timestamp", "sequence_number"),
)


_UNREADABLE: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


@dataclass(frozen=True)
class _File:
    path: Path
    stamps: pl.Datetime
    columns: Mapping[str, pl.DataType]

    def within(self, symbol: str, start_ns: int, end_ns: int) -> pl.LazyFrame:
        """Rows of a symbol in [start_ns, end_ns), compared in the time unit of the file: row groups can be skipped."""
        unit = _NS_PER_UNIT[self.stamps.time_unit]
        low, high = (pl.lit(-(-bound // unit)).cast(self.stamps) for bound in (start_ns, end_ns))
        stamp = pl.col("timestamp")
        return pl.scan_parquet(self.path, glob=False).filter(
            (pl.col("symbol") == symbol) & (stamp >= low) & (stamp < high)
        )


class Files:
    """All files of one table in a folder; `note` tells of backup copies that were left out.

    Raises:
        InputError: a file cannot be read, lacks a column or has one of a wrong type. It names file, column and remedy.
    """

    def __init__(self, folder: Path, table: ReplayTable) -> None:
        self.table = table
        found = find_user_files(Path(escape(str(folder)), f"{table.name}*.parquet"))
        self.note = found.note()
        # a market without some of its files would answer with too little
        for path in sorted(folder.glob(f"{table.name}*.parquet")):
            if path in found.broken or path.is_dir():
                what = "is a folder, where a file belongs" if path.is_dir() else "is a link to a file that is gone"
                raise InputError(f"{path} {what}. Put the file in its place or remove it.")
        self._files = [_opened(path, table) for path in found.files]

    def __len__(self) -> int:
        return len(self._files)

    def rows(self, symbol: str, start_ns: int, end_ns: int) -> pl.DataFrame:
        """Rows of one symbol in [start_ns, end_ns) in the table's schema, by time; ties in the order of the files."""
        parts = [file.within(symbol, start_ns, end_ns).select(_columns(file, self.table)) for file in self._files]
        if not parts or start_ns >= end_ns:
            return pl.Schema(self.table.schema).to_frame()
        return self._collect(parts).sort(self.table.order, maintain_order=True)

    def symbols(self) -> list[str]:
        """Every symbol in the files, sorted."""
        found = [
            pl.scan_parquet(file.path, glob=False).select(pl.col("symbol").cast(pl.String).unique())
            for file in self._files
        ]
        return self._collect(found)["symbol"].drop_nulls().unique().sort().to_list() if found else []

    def new_york_dates(self, symbol: str | None = None) -> pl.Series:
        """The New York dates that hold rows (of one symbol), ascending."""
        local = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date()
        scans = [pl.scan_parquet(file.path, glob=False) for file in self._files]
        chosen = [scan if symbol is None else scan.filter(pl.col("symbol") == symbol) for scan in scans]
        if not chosen:
            return pl.Series("timestamp", [], dtype=pl.Date)
        dates = self._collect([scan.select(local.unique()) for scan in chosen])["timestamp"]
        return dates.drop_nulls().unique().sort()

    def _collect(self, parts: Sequence[pl.LazyFrame]) -> pl.DataFrame:
        """Rows of all files, one part for each.

        Raises:
            InputError: a file cannot be read to its end; names it.
        """
        try:
            return pl.concat(parts).collect()
        except _UNREADABLE:
            for file, part in zip(self._files, parts, strict=True):
                _require_readable(file.path, part)
            raise


def _opened(path: Path, table: ReplayTable) -> _File:
    try:
        found = pl.scan_parquet(path, glob=False).collect_schema()
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read as Parquet: {_reason(error)}. Write it again or remove it.") from error
    missing = [name for name in table.required if name not in found]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}. A {table.name} file needs {', '.join(table.required)}: "
            "add or rename the column."
        )
    for name, dtype in table.schema.items():
        if name in found and not _fits(found[name], dtype):
            raise InputError(f"{path}: column {name} is {found[name]}; {_remedy(name, dtype)}.")
    stamps = found["timestamp"]
    assert isinstance(stamps, pl.Datetime)  # noqa: S101 -- checked just above
    return _File(path, stamps, found)


def _require_readable(path: Path, rows: pl.LazyFrame) -> None:
    try:
        rows.collect()
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read to its end: {_reason(error)}. Write it again or remove it.") from error


def _reason(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _fits(found: pl.DataType, wanted: pl.DataType) -> bool:
    if isinstance(wanted, pl.Datetime):
        return isinstance(found, pl.Datetime) and found.time_zone is not None
    if isinstance(wanted, pl.List):
        return isinstance(found, pl.List) and (found.inner == pl.Null or found.inner.is_integer())
    if wanted == pl.String:
        return isinstance(found, pl.String | pl.Categorical | pl.Enum)
    return found == pl.Null or (found.is_integer() if wanted == pl.Int64 else found.is_numeric())


def _remedy(name: str, wanted: pl.DataType) -> str:
    if isinstance(wanted, pl.Datetime):
        return f'it must know its time zone: write it with .dt.replace_time_zone("UTC") if {name} is UTC'
    if isinstance(wanted, pl.List):
        return "it must be a list of integers, such as [12, 37]"
    if wanted == pl.String:
        return "it must be text: write it with .cast(pl.String)"
    kind = "an integer" if wanted == pl.Int64 else "a number"
    return f"it must be {kind}: write it with .cast(pl.{wanted})"


def _columns(file: _File, table: ReplayTable) -> list[pl.Expr]:
    return [_column(file, name, dtype).alias(name) for name, dtype in table.schema.items()]


def _column(file: _File, name: str, dtype: pl.DataType) -> pl.Expr:
    if name not in file.columns:
        if name == "participant_timestamp":
            return _column(file, "timestamp", dtype)
        return pl.lit(None, dtype)
    if isinstance(dtype, pl.Datetime):
        return pl.col(name).dt.convert_time_zone("UTC").dt.cast_time_unit(dtype.time_unit)
    return pl.col(name).cast(dtype)
