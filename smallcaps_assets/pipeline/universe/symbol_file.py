"""Symbols from a file that a person made: csv or parquet, read strictly; whatever is not understood is told."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.symbols import canonical_symbol
from smallcaps_assets.domain.universe import LISTED, SOURCE_REJECTION
from smallcaps_assets.errors import InputError

SYMBOL: Final = "symbol"
# what the vendor and most exports call it
SYMBOL_TOO: Final = "ticker"
NUMBERS: Final = ("market_cap_usd", "float_shares", "short_interest_shares", "days_to_cover")
TEXTS: Final = ("name", "ticker_type", "primary_exchange")
ACTIVE: Final = "active"
COLUMNS: Final = (SYMBOL, *TEXTS, *NUMBERS, ACTIVE)
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ROW: Final = "row in the file"
_SHOWN: Final = 10


class SymbolFile(NamedTuple):
    """What a file says."""

    rows: pl.DataFrame  # LISTED and REFUSED, one row per symbol, in the file's order
    sha256: str
    notes: tuple[str, ...]  # what was put right or left aside, for people


def read_symbols(path: Path) -> SymbolFile:
    """Read the symbols of a .csv (UTF-8, with a header, separated by commas) or .parquet file.

    Columns: symbol (or ticker), and any of COLUMNS. Spaces around values and blank lines mean nothing; a symbol that
    has no capital letter is written in capitals, since the vendor's have; of a repeated symbol one row stays.

    Raises:
        InputError: no such file, none of the two kinds, no column or no row of symbols, a value of the wrong type, a
            row without a symbol, or one symbol with two different rows. It names the file, the row and the value.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}). Correct universe.file or --symbols-from."
        ) from error
    read = {".csv": _from_csv, ".parquet": _from_parquet}.get(path.suffix.lower())
    if read is None:
        raise InputError(f"{path}: symbols are read from a .csv or a .parquet file.")
    try:
        raw = _named(read(content))
        notes = [*_unknown_columns(raw)]
        rows = _typed(raw).filter(~pl.all_horizontal(pl.exclude(_ROW).is_null()))
        rows, changed = in_capitals(_all_named(rows))
        rows, repeated = _once(rows)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    refused = pl.when(~pl.col(ACTIVE)).then(pl.lit(f"inactive in {path.name}"))
    known = rows.with_columns(refused.alias(SOURCE_REJECTION)).match_to_schema(
        pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()}), missing_columns="insert", extra_columns="ignore"
    )
    return SymbolFile(known, hashlib.sha256(content).hexdigest(), (*notes, *changed, *repeated))


def _from_csv(content: bytes) -> pl.DataFrame:
    """All values as text, null where there is none, with the number of their line."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [value.strip() or None for value in values]) for values in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"is no csv: {error} in line {reader.line_num}.") from error
    filled = [(number, values) for number, values in lines if any(values)]
    if not filled:
        raise InputError("is empty. Its first line names the columns, such as symbol,ticker_type,market_cap_usd.")
    (_, header), *rows = filled
    for number, values in rows:
        if len(values) != len(header):
            raise InputError(
                f"line {number} has {len(values)} values, the header {len(header)}. Separate values by commas, and put "
                "quotes around those that contain one."
            )
    names = [_ROW, *(name or "" for name in header)]
    _refuse_repeated(names)
    columns = zip(*((number, *values) for number, values in rows), strict=True) if rows else ((),) * len(names)
    return pl.DataFrame(
        [pl.Series(name, values, pl.Int64 if name == _ROW else pl.String) for name, values in zip(names, columns)]  # noqa: B905
    )


def _from_parquet(content: bytes) -> pl.DataFrame:
    """The columns as they are, with the number of the row."""
    try:
        return pl.read_parquet(io.BytesIO(content)).with_row_index(_ROW, offset=1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise InputError(f"is no parquet file ({str(error).splitlines()[0]}).") from error


def _named(raw: pl.DataFrame) -> pl.DataFrame:
    """Column names without spaces and capitals; the column of symbols under its name."""
    names = [name.strip().lower() for name in raw.columns]
    if SYMBOL not in names:
        names = [SYMBOL if name == SYMBOL_TOO else name for name in names]
    _refuse_repeated(names)
    if SYMBOL not in names:
        found = ", ".join(name for name in names if name != _ROW)
        raise InputError(f"has no column {SYMBOL} (or {SYMBOL_TOO}), but {found!r}. Columns are separated by commas.")
    return raw.rename(dict(zip(raw.columns, names, strict=True)))


def _refuse_repeated(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"has the column {twice[0]!r} more than once. Leave one.")


def _unknown_columns(raw: pl.DataFrame) -> list[str]:
    unknown = [name for name in raw.columns if name not in (*COLUMNS, _ROW)]
    return [f"columns not known and not used: {', '.join(unknown)}; known are {', '.join(COLUMNS)}"] if unknown else []


def _typed(raw: pl.DataFrame) -> pl.DataFrame:
    """The known columns, each of its type; text without spaces around it, null where nothing is left."""
    present = [name for name in COLUMNS if name in raw.columns]
    columns = [_column(raw, name) for name in present]
    rows = pl.DataFrame([raw[_ROW].cast(pl.Int64), *columns])
    return rows if ACTIVE in present else rows.with_columns(pl.lit(None, dtype=pl.Boolean).alias(ACTIVE))


def _column(raw: pl.DataFrame, name: str) -> pl.Series:
    values = raw[name]
    wanted = pl.Float64() if name in NUMBERS else pl.Boolean() if name == ACTIVE else pl.String()
    if isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
        values = values.cast(pl.String).str.strip_chars().replace("", None)
        typed = _parsed(values, wanted)
    elif values.dtype in (wanted, pl.Null) or (wanted == pl.Float64 and values.dtype.is_numeric()):
        typed = values.cast(wanted)
    else:
        raise InputError(f"column {name} is {values.dtype}, not {wanted}. Write it with that type.")
    _refuse_wrong(raw[_ROW], values, typed)
    return typed


def _parsed(text: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Text as values of a type; null where it is none of them."""
    if wanted == pl.Boolean:
        return text.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    return text.cast(wanted, strict=False)


def _refuse_wrong(rows: pl.Series, values: pl.Series, typed: pl.Series) -> None:
    """Refuse values that the type of their column does not hold: no number, not finite, negative; no yes or no."""
    wrong = typed.is_null() & values.is_not_null()
    kind = "one of true, false, yes, no, 1, 0"
    if typed.dtype == pl.Float64:
        wrong |= (~(typed.is_finite() & (typed >= 0))).fill_null(value=False)
        kind = "a number of 0 and more, without separators or units"
    if wrong.any():
        first = wrong.arg_max() or 0
        raise InputError(f"row {rows[first]}, column {values.name}: {values[first]!r} is not {kind}.")


def _all_named(rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        raise InputError("has no row below its header. Name a symbol in each.")
    nameless = rows.filter(pl.col(SYMBOL).is_null())[_ROW].to_list()
    if nameless:
        raise InputError(f"row {nameless[0]} has values but no symbol ({len(nameless)} such rows).")
    return rows


def in_capitals(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Symbols that have no capital letter in capitals: no symbol of the vendor's is written so."""
    listed = canonical_symbol(pl.col(SYMBOL))
    changed = rows.filter(pl.col(SYMBOL) != listed)[SYMBOL].to_list()
    return rows.with_columns(listed.alias(SYMBOL)), [
        f"{len(changed):,} symbols in small letters read as capitals: {_named_few(changed)}"
    ] if changed else []


def _once(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """One row per symbol; rows that say the same of it are one."""
    said = [name for name in rows.columns if name != _ROW]
    different = rows.unique(said, maintain_order=True).filter(pl.col(SYMBOL).is_duplicated())
    if different.height:
        symbol = different[SYMBOL][0]
        lines = ", ".join(str(row) for row in different.filter(pl.col(SYMBOL) == symbol)[_ROW])
        raise InputError(f"rows {lines} say different things of {symbol}. Leave one of them.")
    repeated = rows.filter(pl.col(SYMBOL).is_duplicated())[SYMBOL].unique(maintain_order=True).to_list()
    note = [f"{len(repeated):,} symbols stand there more than once: {_named_few(repeated)}"] if repeated else []
    return rows.unique(SYMBOL, keep="first", maintain_order=True), note


def _named_few(symbols: list[str]) -> str:
    more = f" and {len(symbols) - _SHOWN:,} more" if len(symbols) > _SHOWN else ""
    return ", ".join(symbols[:_SHOWN]) + more
