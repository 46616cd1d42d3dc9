"""Anybody's parquet files as one table of known columns, read lazily; errors name file and column."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.symbol_paths import KEY, names_symbol, symbol_of
from smallcaps_assets.pipeline.imports.bar_tables import UNREADABLE, require_unaltered, unreadable

_SYMBOL: Final = "symbol"
TAPE_TRADES: Final = pl.Schema(
    {
        _SYMBOL: pl.String(),
        **{name: TRADES[name] for name in ("timestamp", "price", "size", "exchange", "conditions", "sequence_number")},
        "correction": pl.Int64(),
    }
)
TAPE_QUOTES: Final = pl.Schema(
    {
        _SYMBOL: pl.String(),
        **{
            name: QUOTES[name]
            for name in ("timestamp", "bid_price", "bid_size", "ask_price", "ask_size", "sequence_number")
        },
    }
)


# name of a column with the path of each row's file, which no file has
FILE_PATH: Final = ".file"


class AlikeFiles(NamedTuple):
    """Files whose columns are read in the same way.

    Attributes:
        files: the files, in order.
        columns: what makes the table's columns of theirs.
    """

    files: list[Path]
    columns: Sequence[pl.Expr]

    def scan(self) -> pl.LazyFrame:
        """Their rows, with the columns of the table."""
        return pl.scan_parquet(self.files, hive_partitioning=False, glob=False, extra_columns="ignore").select(
            self.columns
        )

    def scan_with_file(self, *names: str) -> pl.LazyFrame:
        """Some of the columns, and the path of each row's file in FILE_PATH."""
        found = pl.scan_parquet(
            self.files, hive_partitioning=False, glob=False, extra_columns="ignore", include_file_paths=FILE_PATH
        )
        return found.select(FILE_PATH, *(column for column in self.columns if column.meta.output_name() in names))


class InputTable(NamedTuple):
    """A table of users' files.

    Attributes:
        files: the files, in order.
        parts: the same, those together that are read in the same way.
        present: the columns that at least one of the files has.
    """

    files: Sequence[Path]
    parts: Sequence[AlikeFiles]
    present: frozenset[str]

    @property
    def rows(self) -> pl.LazyFrame:
        """The lazy table, with the columns of its schema."""
        return pl.concat(part.scan() for part in self.parts)

    def only(self, files: Collection[Path]) -> "InputTable":
        """The table of some of its files."""
        parts = [AlikeFiles([file for file in part.files if file in files], part.columns) for part in self.parts]
        kept = [part for part in parts if part.files]
        return InputTable([file for file in self.files if file in files], kept, self.present)

    def require_values(self, *columns: str) -> None:
        """Require that these columns are never null.

        Raises:
            InputError: one is; names the first file in which it is.
        """
        missing = collect(self.files, self.rows.select(pl.col(*columns).null_count())).row(0, named=True)
        for name in columns:
            if missing[name]:
                raise InputError(
                    f"{self._first_with_null(name)}: column {name} is null in {missing[name]:,} rows, where every row "
                    "needs it. Remove these rows, or complete them."
                )

    def _first_with_null(self, name: str) -> Path:
        for file in self.files if len(self.files) > 1 else ():
            column = pl.scan_parquet(file, hive_partitioning=False, glob=False)
            if name in column.collect_schema() and column.select(pl.col(name).null_count()).collect().item():
                return file
        return self.files[0]


def collect(files: Sequence[Path], rows: pl.LazyFrame) -> pl.DataFrame:
    """The rows of a lazy table of files.

    Raises:
        InputError: a file cannot be read.
    """
    try:
        return rows.collect(engine="streaming")
    except UNREADABLE as error:
        for file in files if len(files) > 1 else ():
            try:
                pl.scan_parquet(file, hive_partitioning=False, glob=False).select(pl.all().null_count()).collect()
            except UNREADABLE as cause:
                raise unreadable(file, cause) from cause
        raise unreadable(files[0], error) from error


def open_table(
    files: Sequence[Path], schema: Mapping[str, pl.DataType], optional: Sequence[str] = (), *, finite: bool = False
) -> InputTable:
    """Scan files as one table with the columns of `schema`; other columns are ignored.

    Numbers of any width and times of any unit and zone are converted. Files below a folder `symbol=X`, as those of a
    lake, need no column `symbol`.

    Args:
        files: parquet files.
        schema: what is read.
        optional: columns that may be missing; they are null then.
        finite: read NaN and infinite numbers as null.

    Raises:
        InputError: a file is not parquet, or a column is missing or cannot be what it must; names both.
    """
    alike: dict[tuple[str | None, tuple[tuple[str, pl.DataType], ...]], list[Path]] = {}
    for file in files:
        found = _schema_of(file)
        of_path = _symbol_of_path(file) if _SYMBOL in schema and _SYMBOL not in found else None
        read = tuple((name, found[name]) for name in schema if name in found)
        alike.setdefault((of_path, read), []).append(file)
    parts, present = [], set[str]()
    for (of_path, read), same in alike.items():
        types: dict[str, pl.DataType] = dict(read)
        needed = [name for name in schema if of_path is None or name != _SYMBOL]
        columns = {name: _column(same[0], name, types.get(name), schema, optional, finite=finite) for name in needed}
        if of_path is not None:
            types[_SYMBOL], columns[_SYMBOL] = pl.String(), pl.lit(of_path).alias(_SYMBOL)
        parts.append(AlikeFiles(same, [columns[name] for name in schema]))
        present |= types.keys()
    return InputTable(list(files), parts, frozenset(present))


def _schema_of(file: Path) -> pl.Schema:
    try:
        require_unaltered(file)
        return pl.scan_parquet(file, hive_partitioning=False, glob=False).collect_schema()
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except UNREADABLE as error:
        raise unreadable(file, error) from error


def _symbol_of_path(file: Path) -> str | None:
    names = [name for name in (file.stem, *(folder.name for folder in file.parents)) if name.startswith(KEY)]
    return next((symbol_of(name) for name in names if names_symbol(name)), None)


def _column(  # noqa: PLR0913 -- the facts of one column
    file: Path,
    name: str,
    found: pl.DataType | None,
    schema: Mapping[str, pl.DataType],
    optional: Sequence[str],
    *,
    finite: bool,
) -> pl.Expr:
    wanted, column = schema[name], pl.col(name)
    if found is None:
        if name in optional:
            return pl.lit(None, wanted).alias(name)
        raise InputError(
            f"{file}: has no column {name}. Needed are {', '.join(n for n in schema if n not in optional)}."
        )
    if isinstance(found, pl.Datetime) and found.time_zone is None and isinstance(wanted, pl.Datetime):
        raise InputError(
            f"{file}: column {name} has no time zone, and times are in UTC. Mark it as UTC, for instance with "
            'dt.replace_time_zone("UTC") in Polars.'
        )
    if not _can_be(found, wanted):
        raise InputError(f"{file}: column {name} is {found}, not {wanted}. Convert it.")
    if isinstance(wanted, pl.Datetime) and isinstance(found, pl.Datetime):
        return column.dt.convert_time_zone("UTC").cast(wanted)
    if wanted == pl.Float64() and finite and found.is_float():
        column = pl.when(column.is_finite()).then(column)
    return (column if found == wanted else column.cast(wanted)).alias(name)


def _can_be(found: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether every value of one type has an equal one of the other."""
    if isinstance(wanted, pl.List):
        return found == pl.Null or (isinstance(found, pl.List) and (found.inner.is_integer() or found.inner == pl.Null))
    if isinstance(wanted, pl.Datetime):
        return isinstance(found, pl.Datetime)
    if wanted == pl.Float64():
        return found.is_numeric() or found == pl.Null
    if wanted == pl.Int64():
        return found.is_integer() or found == pl.Null
    if wanted == pl.String():
        return found == pl.String or isinstance(found, (pl.Categorical, pl.Enum)) or found == pl.Null
    return found in (wanted, pl.Null())
