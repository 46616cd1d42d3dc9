"""Symbols from a user's csv or parquet file, parsed strictly; ignored columns and corrections are reported."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.symbols import canonical_symbol
from smallcaps_assets.domain.universe import LISTED, SOURCE_REJECTION, known_reference
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError

_SYMBOL: Final = "symbol"
# The name in the vendor's data and in most exports.
_SYMBOL_ALIAS: Final = "ticker"
NUMBERS: Final = ("market_cap_usd", "float_shares", "short_interest_shares", "days_to_cover")
TEXTS: Final = ("name", "ticker_type", "primary_exchange")
ACTIVE: Final = "active"
SYMBOL_FILE_COLUMNS: Final = (_SYMBOL, *TEXTS, *NUMBERS, ACTIVE)
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ROW: Final = "row in the file"
_SHOWN: Final = 10


class SymbolFile(NamedTuple):
    """The content of a file."""

    rows: pl.DataFrame  # LISTED and REFUSED, one row per symbol, in the file's order
    sha256: str
    notes: tuple[str, ...]  # corrections and ignored columns, for the log


def read_symbols(path: Path) -> SymbolFile:
    """Read the symbols of a .csv (UTF-8, with a header, separated by commas) or .parquet file.

    Columns: symbol (or ticker), and any of SYMBOL_FILE_COLUMNS. Spaces around values and blank lines are
    ignored; a symbol without capital letters is converted to capitals, as the vendor writes it; of equal rows one is
    kept.

    Raises:
        InputError: the file does not exist or has another format, no column or no row of symbols, a value of the wrong
            type, a row without a symbol, or two different rows of one symbol; names file, row and value.
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
        raw = _normalize_names(read(content))
        notes = [*_unknown_columns(raw)]
        rows = _convert_columns(raw).filter(~pl.all_horizontal(pl.exclude(_ROW).is_null()))
        rows, changed = capitalize_symbols(_require_symbols(rows))
        rows, repeated = _drop_repeats(rows)
        rows, unknown = _without_unknown(rows)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    rejection = pl.when(~pl.col(ACTIVE)).then(pl.lit(f"inactive in {path.name}"))
    listed = rows.with_columns(rejection.alias(SOURCE_REJECTION)).match_to_schema(
        pl.Schema({**LISTED, SOURCE_REJECTION: pl.String()}), missing_columns="insert", extra_columns="ignore"
    )
    return SymbolFile(listed, hashlib.sha256(content).hexdigest(), (*notes, *changed, *repeated, *unknown))


def _from_csv(content: bytes) -> pl.DataFrame:
    """All values as text, null where empty, with their line numbers."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, [value.strip() or None for value in values]) for values in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8.") from error
    except csv.Error as error:
        raise InputError(f"is not valid csv: {error} in line {reader.line_num}.") from error
    filled = [(number, values) for number, values in lines if any(values)]
    if not filled:
        raise InputError("is empty. Its first line names the columns, such as symbol,ticker_type,market_cap_usd.")
    (_, header), *rows = filled
    for number, values in rows:
        if len(values) != len(header):
            raise InputError(
                f"line {number} has {count_noun(len(values), 'value')}, the header {len(header)}. Separate "
                f"values by commas, and put "
                "quotes around those that contain one."
            )
    names = [_ROW, *(name or "" for name in header)]
    _reject_repeated(names)
    columns = zip(*((number, *values) for number, values in rows), strict=True) if rows else ((),) * len(names)
    return pl.DataFrame(
        [pl.Series(name, values, pl.Int64 if name == _ROW else pl.String) for name, values in zip(names, columns)]  # noqa: B905
    )


def _from_parquet(content: bytes) -> pl.DataFrame:
    """The columns as stored, with row numbers."""
    try:
        return pl.read_parquet(io.BytesIO(content)).with_row_index(_ROW, offset=1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise InputError(f"is not a parquet file ({str(error).splitlines()[0]}).") from error


def _normalize_names(raw: pl.DataFrame) -> pl.DataFrame:
    """Columns renamed to lower case without spaces, and the alias to `symbol`."""
    names = [name.strip().lower() for name in raw.columns]
    if _SYMBOL not in names:
        names = [_SYMBOL if name == _SYMBOL_ALIAS else name for name in names]
    _reject_repeated(names)
    if _SYMBOL not in names:
        found = ", ".join(name for name in names if name != _ROW)
        raise InputError(
            f"has no column {_SYMBOL} (or {_SYMBOL_ALIAS}), but {found!r}. Columns are separated by commas."
        )
    return raw.rename(dict(zip(raw.columns, names, strict=True)))


def _reject_repeated(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"has the column {twice[0]!r} more than once. Leave one.")


def _unknown_columns(raw: pl.DataFrame) -> list[str]:
    unknown = [name for name in raw.columns if name not in (*SYMBOL_FILE_COLUMNS, _ROW)]
    return (
        [f"ignored columns: {', '.join(unknown)}; known columns are {', '.join(SYMBOL_FILE_COLUMNS)}"]
        if unknown
        else []
    )


def _convert_columns(raw: pl.DataFrame) -> pl.DataFrame:
    """The known columns in their types; text is stripped, and null where empty."""
    present = [name for name in SYMBOL_FILE_COLUMNS if name in raw.columns]
    columns = [_column(raw, name) for name in present]
    rows = pl.DataFrame([raw[_ROW].cast(pl.Int64), *columns])
    return rows if ACTIVE in present else rows.with_columns(pl.lit(None, dtype=pl.Boolean).alias(ACTIVE))


def _column(raw: pl.DataFrame, name: str) -> pl.Series:
    values = raw[name]
    wanted = pl.Float64() if name in NUMBERS else pl.Boolean() if name == ACTIVE else pl.String()
    if isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum):
        values = values.cast(pl.String).str.strip_chars().replace("", None)
        typed = _parse_text(values, wanted)
    elif values.dtype in (wanted, pl.Null) or (wanted == pl.Float64 and values.dtype.is_numeric()):
        typed = values.cast(wanted)
    else:
        raise InputError(f"column {name} is {values.dtype}, not {wanted}. Write it with that type.")
    _reject_invalid(raw[_ROW], values, typed)
    return typed


def _parse_text(text: pl.Series, wanted: pl.DataType) -> pl.Series:
    """Text converted to a type; null where it is not a value of it."""
    if wanted == pl.Boolean:
        return text.str.to_lowercase().replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    return text.cast(wanted, strict=False)


def _reject_invalid(rows: pl.Series, values: pl.Series, typed: pl.Series) -> None:
    """Raise InputError for a value that its column cannot hold: not a number, not finite, negative, or not Boolean."""
    wrong = typed.is_null() & values.is_not_null()
    kind = "one of true, false, yes, no, 1, 0"
    if typed.dtype == pl.Float64:
        wrong |= (~(typed.is_finite() & (typed >= 0))).fill_null(value=False)
        kind = "a number of 0 or more, without separators or units (leave it empty where it is unknown)"
    if wrong.any():
        first = wrong.arg_max() or 0
        raise InputError(f"row {rows[first]}, column {values.name}: {values[first]!r} is not {kind}.")


def _require_symbols(rows: pl.DataFrame) -> pl.DataFrame:
    if rows.is_empty():
        raise InputError("has no row below its header. Add one row per symbol.")
    nameless = rows.filter(pl.col(_SYMBOL).is_null())[_ROW].to_list()
    if nameless:
        raise InputError(f"row {nameless[0]} has values but no symbol ({count_noun(len(nameless), 'such row')}).")
    return rows


def capitalize_symbols(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Rows with symbols without capital letters converted to capitals, and a note that lists them.

    No symbol of the vendor is written without a capital letter.
    """
    listed = canonical_symbol(pl.col(_SYMBOL))
    changed = rows.filter(pl.col(_SYMBOL) != listed)[_SYMBOL].to_list()
    return rows.with_columns(listed.alias(_SYMBOL)), [
        f"{count_noun(len(changed), 'lower-case symbol')} read as capitals: {_list_some(changed)}"
    ] if changed else []


def _drop_repeats(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """One row per symbol, and a note about dropped equal rows."""
    values = [name for name in rows.columns if name != _ROW]
    different = rows.unique(values, maintain_order=True).filter(pl.col(_SYMBOL).is_duplicated())
    if different.height:
        symbol = different[_SYMBOL][0]
        lines = ", ".join(str(row) for row in different.filter(pl.col(_SYMBOL) == symbol)[_ROW])
        raise InputError(f"rows {lines} contradict each other on {symbol}. Leave one of them.")
    repeated = rows.filter(pl.col(_SYMBOL).is_duplicated())[_SYMBOL].unique(maintain_order=True).to_list()
    note = [f"in more than one row: {count_noun(len(repeated), 'symbol')}, {_list_some(repeated)}"] if repeated else []
    return rows.unique(_SYMBOL, keep="first", maintain_order=True), note


def _without_unknown(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Rows with null in place of figures that mean "not known", such as a float of 0, and a note about each column."""
    known = rows.with_columns(known_reference(rows.columns))
    lost = {name: known[name].null_count() - rows[name].null_count() for name in NUMBERS if name in rows.columns}
    return known, [
        f"a {name} of 0, read as unknown: {count_noun(count, 'symbol')}" for name, count in lost.items() if count
    ]


def _list_some(symbols: list[str]) -> str:
    more = f" and {len(symbols) - _SHOWN:,} more" if len(symbols) > _SHOWN else ""
    return ", ".join(symbols[:_SHOWN]) + more
