"""Trades and quotes of one event that were downloaded elsewhere: typed as our tape, and judged before they enter it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import polars as pl

from smallcaps_assets.domain.imports.columns import decimal, only_whole, plausible, text, utc, whole, wrong_type
from smallcaps_assets.domain.tables import UTC_NS, UTC_US
from smallcaps_assets.domain.tape.rules import UNIQUE_KEYS, tape_rules
from smallcaps_assets.errors import InputError

# the vendor's own names
_RAW: Final[Mapping[str, str]] = {"timestamp": "sip_timestamp", "trade_id": "id"}
# What the vendor leaves out of an answer where it has none: a file may lack the column, which is null then.
_OPTIONAL: Final = (
    *("conditions", "indicators", "correction", "tape", "trf_id", "trf_timestamp"),
    *("bid_exchange", "ask_exchange"),
)
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("timestamp", "sequence_number", "price", "size"),
    "quotes": ("timestamp", "sequence_number"),
}
# whole numbers also as 12.0; in a row with commas or blanks between them, with brackets around them or none
_NUMBER: Final = r"-?[0-9]+(?:\.0*)?"
_ROW: Final = rf"{_NUMBER}(?:(?:\s*,\s*|\s+){_NUMBER})*"
_LIST: Final = rf"^\s*(?:\[\s*(?:{_ROW})?\s*\]|(?:{_ROW})?)\s*$"
_FRACTION: Final = r"\.0*$"


def typed_tape(frame: pl.DataFrame, kind: str, schema: pl.Schema, timezone: str | None) -> pl.DataFrame:
    """Rows of a file as `schema` wants them, under our names or the vendor's, sorted, exact repeats removed.

    Args:
        frame: the file.
        kind: trades or quotes.
        schema: the columns that are kept; others are left out.
        timezone: where the clocks of timestamps without a zone stood; whole numbers are nanoseconds since the epoch.

    Raises:
        InputError: a column is missing or of another type, or values cannot be what they should.
    """
    here = {name: _RAW.get(name, name) if _RAW.get(name) in frame.columns else name for name in schema}
    missing = [name for name, own in here.items() if own not in frame.columns and name not in _OPTIONAL]
    if missing:
        raise InputError(f"no column {', '.join(missing)}; {kind} need {', '.join(schema)}")
    typed = frame.select(
        # what does not fit becomes null, which is seen
        _typed(own, frame.schema.get(own), schema[name], timezone).cast(schema[name], strict=False).alias(name)
        for name, own in here.items()
    )
    for name, own in here.items():
        if own in frame.columns:
            _require_kept(frame[own], typed[name])
    for name in _NEEDED[kind]:
        if typed[name].has_nulls():
            raise InputError(f"{name} is missing in {typed[name].null_count():,} of {typed.height:,} rows")
    return sorted_tape(typed, kind)


def tape_ends(frame: pl.LazyFrame, timezone: str | None) -> tuple[datetime, datetime] | None:
    """The first and the last time of a file as `typed_tape` reads them; None where there is none.

    Raises:
        InputError: there is no such column, or it cannot be times.
    """
    found = frame.collect_schema()
    own = _RAW["timestamp"] if _RAW["timestamp"] in found else "timestamp"
    if own not in found:
        raise InputError("no column timestamp")
    times = frame.select(_typed(own, found[own], UTC_NS, timezone).cast(UTC_NS).cast(UTC_US).alias("at"))
    first, last = times.select(first=pl.col("at").min(), last=pl.col("at").max()).collect().row(0)
    return None if first is None else (first, last)


def sorted_tape(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Rows sorted by (timestamp, sequence_number), exact repeats removed."""
    ordered = rows.sort(UNIQUE_KEYS[kind], maintain_order=True, nulls_last=True)
    repeats = ordered.select(pl.struct(UNIQUE_KEYS[kind]).is_duplicated().any()).item()
    return ordered.unique(maintain_order=True) if repeats else ordered


def tape_faults(rows: pl.DataFrame, kind: str, start: datetime, end: datetime) -> list[str]:
    """What must not be of the tape of [start, end), in words; empty where nothing is."""
    rules = tape_rules(kind, start, end)
    counts = rows.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules)).row(0)
    return [
        f"{rule.what}: {count:,} of {rows.height:,}, expected {rule.expected}"
        for rule, count in zip(rules, counts, strict=True)
        if count
    ]


def _typed(own: str, found: pl.DataType | None, wanted: pl.DataType, timezone: str | None) -> pl.Expr:
    if found is None or found == pl.Null:
        return pl.lit(None) if found is None else pl.col(own)
    if wanted == UTC_NS:
        number = pl.col(own)
        return plausible(number, number, "ns").cast(pl.Int64) if found.is_integer() else utc(own, found, timezone)
    if isinstance(wanted, pl.List):
        return _numbers(own, found)
    if wanted == pl.Float64:
        return decimal(own, found)
    if wanted == pl.String:
        return pl.col(own).cast(pl.String) if found.is_integer() else text(own, found)
    return whole(own, found)


def _numbers(own: str, found: pl.DataType) -> pl.Expr:
    """Lists of whole numbers, also as text such as `12,37`, `12 37` or `[12, 37]`; null where one is none."""
    column = pl.col(own)
    if found == pl.String:
        numbers = pl.when(column.str.contains(_LIST)).then(column.str.extract_all(_NUMBER))
        return numbers.list.eval(_whole_of_text())
    if isinstance(found, pl.List | pl.Array):
        lists = column.arr.to_list() if isinstance(found, pl.Array) else column
        if found.inner == pl.String:
            one = pl.when(pl.element().str.contains(rf"^\s*{_NUMBER}\s*$")).then(_whole_of_text())
            return lists.list.eval(one)
        if found.inner.is_float():
            return lists.list.eval(only_whole(pl.element()))
        if found.inner.is_integer() or found.inner == pl.Null:
            return lists
    raise wrong_type(own, found, "a list of whole numbers")


def _whole_of_text() -> pl.Expr:
    """Elements as whole numbers of text that is known to be such."""
    return pl.element().str.strip_chars().str.replace(_FRACTION, "").cast(pl.Int64, strict=False)


def _unknown(values: pl.Series) -> pl.Series:
    """How many elements of each list are null; 0 where there is no list."""
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if not isinstance(values.dtype, pl.List):
        return pl.zeros(values.len(), pl.UInt32, eager=True)
    return values.list.eval(pl.element().is_null()).list.sum().cast(pl.UInt32).fill_null(0)


def _require_kept(before: pl.Series, after: pl.Series) -> None:
    """Make sure that no value was lost; 0 is how the vendor's own files write that there is no time."""
    known = before.is_not_null()
    if before.dtype.is_float():
        known &= before.is_not_nan()
    if after.dtype == UTC_NS:
        known &= before.to_physical() != 0
    lost = known & after.is_null()
    if isinstance(after.dtype, pl.List):
        lost |= known & (_unknown(after) > _unknown(before))
    if lost.any():
        such_as = before.filter(lost).to_physical().to_list()[0]
        unit = ", nanoseconds read in another unit" if isinstance(before.dtype, pl.Datetime) else ""
        raise InputError(
            f"{after.name} cannot be {after.dtype} in {lost.sum():,} of {before.len():,} rows, such as {such_as} "
            f"({before.dtype}){unit}"
        )
