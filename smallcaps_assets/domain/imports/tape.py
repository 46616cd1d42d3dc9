"""Trades and quotes that people downloaded themselves: typed as our tape, and checked before they are imported."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import polars as pl

from smallcaps_assets.domain.imports.columns import (
    as_decimal,
    as_text,
    as_utc,
    as_whole,
    null_if_fractional,
    null_if_implausible,
    wrong_type_error,
)
from smallcaps_assets.domain.imports.prices import PriceScale, known_number, other_price_problem
from smallcaps_assets.domain.tables import UTC_NS, UTC_US
from smallcaps_assets.domain.tape.repeats import WithoutRepeats, drop_repeats, merge_overlapping
from smallcaps_assets.domain.tape.rules import TAPE_PRICES, UNIQUE_KEYS, tape_rules
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError

# names in the vendor's answers
_RAW: Final[Mapping[str, str]] = {"timestamp": "sip_timestamp", "trade_id": "id"}
# not in every file: the vendor leaves most of these out of an answer without values. A missing column is null
_OPTIONAL: Final = (
    *("conditions", "indicators", "correction", "tape", "trf_id", "trf_timestamp"),
    *("bid_exchange", "ask_exchange", "participant_timestamp"),
)
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "trades": ("timestamp", "sequence_number", "price", "size"),
    "quotes": ("timestamp", "sequence_number"),
}
# lists of integers, also as 12.0, separated by commas or blanks, with or without brackets
_NUMBER: Final = r"-?[0-9]+(?:\.0*)?"
_ROW: Final = rf"{_NUMBER}(?:(?:\s*,\s*|\s+){_NUMBER})*"
_LIST: Final = rf"^\s*(?:\[\s*(?:{_ROW})?\s*\]|(?:{_ROW})?)\s*$"
_FRACTION: Final = r"\.0*$"


def typed_tape(
    frame: pl.DataFrame, kind: str, schema: pl.Schema, timezone: str | None, scale: PriceScale | None = None
) -> WithoutRepeats:
    """Rows of a file converted to `schema`, from our column names or the vendor's; sorted, without exact repeats.

    Args:
        frame: the file.
        kind: trades or quotes.
        schema: the columns to keep; others are ignored.
        timezone: the zone of timestamps without one; integers are nanoseconds since the epoch.
        scale: the unit of prices; None for dollars.

    Raises:
        InputError: a column is missing, has another type, or holds values that cannot be converted.
    """
    names = {name: _RAW.get(name, name) if _RAW.get(name) in frame.columns else name for name in schema}
    missing = [name for name, theirs in names.items() if theirs not in frame.columns and name not in _OPTIONAL]
    if missing:
        raise InputError(f"no column {', '.join(missing)}; {kind} need {', '.join(schema)}")
    typed = frame.select(
        # a value that does not fit becomes null, which `_require_kept` finds
        _typed(theirs, frame.schema.get(theirs), schema[name], timezone).cast(schema[name], strict=False).alias(name)
        for name, theirs in names.items()
    )
    for name, theirs in names.items():
        if theirs in frame.columns:
            _require_kept(frame[theirs], typed[name])
    prices = frame.select(known_number(name, frame.schema[name], scale).alias(name) for name in TAPE_PRICES[kind])
    typed = typed.with_columns(prices.get_columns())
    for name in _NEEDED[kind]:
        if typed[name].has_nulls():
            raise InputError(f"{name} is missing in {typed[name].null_count():,} of {count_noun(typed.height, 'row')}")
    ordered = _sort(typed, kind)
    repeats = ordered.select(pl.struct(UNIQUE_KEYS[kind]).is_duplicated().any()).item()
    return drop_repeats(ordered) if repeats else WithoutRepeats(ordered, 0)


def require_dollars(rows: pl.DataFrame, kind: str, close: float) -> None:
    """Require that the prices of a file lie near the close of the event's bar.

    Raises:
        InputError: most of them do not; names the likely scale.
    """
    medians = [rows[name].filter(rows[name] > 0).median() for name in TAPE_PRICES[kind]]
    found = [float(median) for median in medians if isinstance(median, float)]
    problems = [other_price_problem(median, close) for median in found]
    # an empty side of the book is quoted at any price
    if found and all(problems):
        raise InputError(problems[0])


def tape_ends(frame: pl.LazyFrame, timezone: str | None) -> tuple[datetime, datetime] | None:
    """First and last timestamp of a file as `typed_tape` reads them; None for an empty file.

    Raises:
        InputError: the column is missing or holds no timestamps.
    """
    found = frame.collect_schema()
    theirs = _RAW["timestamp"] if _RAW["timestamp"] in found else "timestamp"
    if theirs not in found:
        raise InputError("no column timestamp")
    times = frame.select(_typed(theirs, found[theirs], UTC_NS, timezone).cast(UTC_NS).cast(UTC_US).alias("at"))
    first, last = times.select(first=pl.col("at").min(), last=pl.col("at").max()).collect().row(0)
    return None if first is None else (first, last)


def merge_tape(files: Sequence[pl.DataFrame], kind: str) -> pl.DataFrame:
    """The rows of files whose minutes may overlap, each row once, sorted by (timestamp, sequence_number).

    Each file has every row of the minutes that it covers, without repeats.
    """
    return _sort(merge_overlapping(files), kind) if len(files) > 1 else files[0]


def _sort(rows: pl.DataFrame, kind: str) -> pl.DataFrame:
    return rows.sort(UNIQUE_KEYS[kind], maintain_order=True, nulls_last=True)


def tape_faults(rows: pl.DataFrame, kind: str, start: datetime, end: datetime) -> list[str]:
    """Violations of the rules of tape in [start, end), one sentence each; empty if there are none."""
    rules = tape_rules(kind, start, end, rows.columns)
    counts = rows.select(rule.broken.alias(str(number)) for number, rule in enumerate(rules)).row(0)
    return [
        f"{rule.what}: {count:,} of {rows.height:,}, expected {rule.expected}"
        for rule, count in zip(rules, counts, strict=True)
        if count
    ]


def _typed(theirs: str, found: pl.DataType | None, wanted: pl.DataType, timezone: str | None) -> pl.Expr:
    if found is None or found == pl.Null:
        return pl.lit(None) if found is None else pl.col(theirs)
    if wanted == UTC_NS:
        number = pl.col(theirs)
        return (
            null_if_implausible(number, number, "ns").cast(pl.Int64)
            if found.is_integer()
            else as_utc(theirs, found, timezone)
        )
    if isinstance(wanted, pl.List):
        return _numbers(theirs, found)
    if wanted == pl.Float64:
        return as_decimal(theirs, found)
    if wanted == pl.String:
        return pl.col(theirs).cast(pl.String) if found.is_integer() else as_text(theirs, found)
    return as_whole(theirs, found)


def _numbers(theirs: str, found: pl.DataType) -> pl.Expr:
    """Lists of integers, also as text such as `12,37`, `12 37` or `[12, 37]`; null where an element is no integer."""
    column = pl.col(theirs)
    if found == pl.String:
        numbers = pl.when(column.str.contains(_LIST)).then(column.str.extract_all(_NUMBER))
        return numbers.list.eval(_whole_of_text())
    if isinstance(found, pl.List | pl.Array):
        lists = column.arr.to_list() if isinstance(found, pl.Array) else column
        if found.inner == pl.String:
            one = pl.when(pl.element().str.contains(rf"^\s*{_NUMBER}\s*$")).then(_whole_of_text())
            return lists.list.eval(one)
        if found.inner.is_float():
            return lists.list.eval(null_if_fractional(pl.element()))
        if found.inner.is_integer() or found.inner == pl.Null:
            return lists
    raise wrong_type_error(theirs, found, "a list of whole numbers")


def _whole_of_text() -> pl.Expr:
    """Text elements, known to be integers, as integers."""
    return pl.element().str.strip_chars().str.replace(_FRACTION, "").cast(pl.Int64, strict=False)


def _unknown(values: pl.Series) -> pl.Series:
    """Number of null elements of each list; 0 where there is no list."""
    if isinstance(values.dtype, pl.Array):
        values = values.arr.to_list()
    if not isinstance(values.dtype, pl.List):
        return pl.zeros(values.len(), pl.UInt32, eager=True)
    return values.list.eval(pl.element().is_null()).list.sum().cast(pl.UInt32).fill_null(0)


def _require_kept(before: pl.Series, after: pl.Series) -> None:
    """Check that no value was lost; a time of 0 means no time in the vendor's files."""
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
            f"{after.name} cannot be {after.dtype} in {lost.sum():,} of {count_noun(before.len(), 'row')}, "
            f"such as {such_as} "
            f"({before.dtype}){unit}"
        )
