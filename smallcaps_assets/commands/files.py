"""Tables that users hand over as files: found, read lazily, and held against their schema with the file's name."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from smallcaps_assets.domain.quality import master_problems
from smallcaps_assets.domain.tables import BARS, EVENTS, UTC_US, matched
from smallcaps_assets.errors import InputError

INTEGERS: Final = pl.Int64()
# a timestamp outside is of another unit than its label: it becomes null, which the quarantine counts
PLAUSIBLE_S: Final = (-2_208_988_800, 7_258_118_400)  # 1900 to 2200, seconds since the epoch
PER_SECOND: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def parquet_files(path: str, but: Sequence[Path]) -> list[Path]:
    """The parquet files that a path, a folder (searched to its depths) or a glob pattern names, sorted.

    Files of `but`, which a command writes itself, are left out.

    Raises:
        InputError: there is none, or the one named would be overwritten.
    """
    named, written = Path(path), {file.resolve() for file in but}
    if named.is_file():
        if named.resolve() in written:
            raise InputError(f"{path}: would be overwritten by its own result. Choose another --out.")
        return [named]
    try:
        found = list(_matching(named, path))
    except ValueError as error:
        raise InputError(f"{path}: is no pattern ({error}). Use * within a name and ** for any folders.") from error
    files = sorted(
        file for file in found if file.is_file() and not file.name.startswith(".") and file.resolve() not in written
    )
    if not files:
        raise InputError(
            f"{path}: no parquet file there. Give a file, a folder that holds some, or a pattern in quotes."
        )
    return files


def _matching(named: Path, pattern: str) -> Iterator[Path]:
    if named.is_dir():
        return named.rglob("*.parquet")
    anchor = Path(named.anchor) if named.anchor else Path()
    return anchor.glob(str(named.relative_to(anchor)) if named.anchor else pattern)


def _scan(file: Path) -> tuple[pl.LazyFrame, Mapping[str, pl.DataType]]:
    try:
        frame = pl.scan_parquet(file, hive_partitioning=False)
        return frame, frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: is not a readable parquet file ({reason}). Convert it, or leave it out.") from error


def symbol_of_path(file: Path) -> str | None:
    """The symbol that a path names, as in `symbol=AEMD/2025-11.parquet` and `symbol=AEMD.parquet`."""
    named = [part.removeprefix("symbol=") for part in file.parts if part.startswith("symbol=")]
    return named[-1].removesuffix(".parquet") if named else None


def scan_bars(file: Path) -> pl.LazyFrame:
    """Bars (BARS) of one file, whatever its numeric widths and time unit; the symbol may stand in its path.

    Raises:
        InputError: not parquet, a column is missing, prices are text, timestamps have no time zone.
    """
    frame, schema = _scan(file)
    named = symbol_of_path(file)
    if "symbol" not in schema and named is not None:
        frame = frame.with_columns(symbol=pl.lit(named))
        schema = frame.collect_schema()
    missing = [name for name in BARS if name not in schema]
    if missing:
        raise InputError(
            f"{file}: no column {', '.join(missing)}. Bars need {', '.join(BARS)}; vwap and transactions may be null."
        )
    return frame.select(_converted(file, name, schema[name], dtype) for name, dtype in BARS.items())


def _converted(file: Path, name: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """The column as its schema wants it; only conversions that lose nothing."""
    column = pl.col(name)
    if found in (wanted, pl.Null):
        return column.cast(wanted)
    if isinstance(found, pl.Datetime) and wanted == UTC_US:
        if found.time_zone is None:
            raise InputError(
                f"{file}: timestamp has no time zone. Say which it is, e.g. in Polars "
                'pl.col("timestamp").dt.replace_time_zone("UTC"), and write the file again.'
            )
        per_second = PER_SECOND[found.time_unit]
        first, last = (bound * per_second for bound in PLAUSIBLE_S)
        plausible = column.to_physical().is_between(first, last)
        return pl.when(plausible).then(column).dt.convert_time_zone("UTC").cast(UTC_US)
    if wanted == pl.String and found in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if found.is_numeric() and wanted == pl.Float64:
        return column.cast(pl.Float64)
    if found.is_integer() and wanted == INTEGERS:
        return column.cast(INTEGERS)
    if found.is_float() and wanted == INTEGERS:
        whole = column.round(0) == column
        return pl.when(whole & column.is_finite()).then(column).cast(INTEGERS)
    raise InputError(f"{file}: column {name} is {found}, not {wanted}. Convert it and write the file again.")


def read_master(file: Path) -> pl.DataFrame:
    """MASTER (EVENTS) from a file.

    Raises:
        InputError: not parquet, not the columns of MASTER, or rows that would poison a ranking.
    """
    frame, _ = _scan(file)
    remedy = f"`smallcaps import events {file}` makes a MASTER of events that another program found."
    try:
        master = matched(frame, EVENTS, str(file)).collect()
    except InputError as error:
        raise InputError(f"{error} {remedy}") from None
    problems = master_problems(master)
    if problems:
        raise InputError(f"{file}: {'; '.join(problems)}. Only clean MASTER tables are used. {remedy}")
    return master
