"""Minute bars as others keep them: columns by other names, other widths and units, times without a zone, text."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets.errors import InputError

Unit = Literal["s", "ms", "us", "ns"]
PER_SECOND: Final[Mapping[str, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# a timestamp outside is of another unit than its label: it becomes null, which the quarantine counts
PLAUSIBLE_S: Final = (-2_208_988_800, 7_258_118_400)  # 1900 to 2200, seconds since the epoch
# what the vendor's flat files call them; the timestamp is nanoseconds since the epoch
FLAT_FILE_SYMBOL: Final = "ticker"
FLAT_FILE_TIMESTAMP: Final = "window_start"
# vendors leave them out; a bar without them is whole
OPTIONAL: Final = ("vwap", "transactions")
_OTHER_NAMES: Final = {"symbol": FLAT_FILE_SYMBOL, "timestamp": FLAT_FILE_TIMESTAMP}
_NAIVE: Final = pl.Datetime("us")
_ZONE: Final = r"(Z|[+-]\d{2}:?\d{2})$"
_AFTER_THE_MINUTE: Final = r"^(:\d{2}(\.0+)?)? ?(Z|[+-]\d{2}:?\d{2})?$"
_UP_TO_THE_MINUTE: Final = 16


@dataclass(frozen=True)
class BarForm:
    """What a person says of files that the files do not say themselves.

    `timezone` is that of times without one, `unit` that of integers; `names` maps columns of BARS to those of the
    files; `labels` says whether a timestamp is the start of its minute or the end.
    """

    timezone: str | None = None
    unit: Unit | None = None
    labels: Literal["start", "end"] = "start"
    names: Mapping[str, str] = field(default_factory=dict)


def columns_of_bars(found: Collection[str], form: BarForm, without: Sequence[str] = ()) -> dict[str, str]:
    """Which of the columns that were found holds which column of BARS; those of `without` may be missing.

    Raises:
        InputError: one is missing, or not there under the name that was said.
    """
    wanted = {ours: form.names.get(ours) or (ours if ours in found else _OTHER_NAMES.get(ours, ours)) for ours in BARS}
    names = {ours: theirs for ours, theirs in wanted.items() if theirs in found}
    lacking = [f"{theirs} (said to be {ours})" for ours, theirs in form.names.items() if theirs not in found]
    lacking += [name for name in BARS if name not in (*names, *without, *form.names)]
    if lacking:
        raise InputError(
            f"no column {', '.join(lacking)}. Bars need {', '.join(BARS)}; vwap and transactions may be null. Found: "
            f"{', '.join(found)}."
        )
    return names


def as_bars(
    found: Mapping[str, pl.DataType], names: Mapping[str, str], form: BarForm, example: str | None = None
) -> list[pl.Expr]:
    """Expressions that make BARS of a table; columns that `names` does not hold become null.

    Prices of 32 bits become the shortest decimal that they stand for: 12.34, not 12.340000152587890625. Text is read
    as numbers where the timestamp is text as well, as in csv. A value that cannot be read becomes null.

    Args:
        found: the columns of the table.
        names: which of them holds which column of BARS.
        form: what the table does not say itself.
        example: a timestamp of the table, where those are text.

    Raises:
        InputError: a column is of a type that cannot be one of bars, or times leave open what they mean.
    """
    is_text = found[names["timestamp"]] == pl.String
    columns = []
    for ours, wanted in BARS.items():
        if ours not in names:
            columns.append(pl.lit(None, dtype=wanted).alias(ours))
        elif ours == "timestamp":
            columns.append(_moment(names[ours], found[names[ours]], form, example).alias(ours))
        else:
            columns.append(_value(names[ours], found[names[ours]], wanted, is_text=is_text).alias(ours))
    return columns


def _value(name: str, found: pl.DataType, wanted: pl.DataType, *, is_text: bool) -> pl.Expr:
    """A column as BARS wants it; only conversions that lose nothing."""
    column, integers = pl.col(name), wanted.is_integer()
    if found == wanted:
        return column
    if found == pl.Null or (wanted == pl.String and found in (pl.Categorical, pl.Enum)):
        return column.cast(wanted)
    if found == pl.String and is_text:
        column, found = column.str.strip_chars().cast(pl.Float64, strict=False), pl.Float64()
    if found == pl.Float32:
        column = column.cast(pl.String).cast(pl.Float64)
    if found.is_numeric() and wanted == pl.Float64:
        return column.cast(pl.Float64)
    if found.is_integer() and integers:
        return column.cast(wanted)
    if found.is_float() and integers:
        whole = column.round(0) == column
        return pl.when(whole & column.is_finite()).then(column).cast(wanted)
    raise InputError(f"column {name} is {found}, not {wanted}. Convert it and write the file again.")


def _moment(name: str, found: pl.DataType, form: BarForm, example: str | None) -> pl.Expr:
    """The start of the minute in UTC."""
    column = pl.col(name)
    if isinstance(found, pl.Datetime):
        moment = _zoned(_plausible(column, column.to_physical(), found.time_unit), found.time_zone, name, form)
    elif found.is_integer():
        moment = _since_epoch(column, name, found, form)
    elif found == pl.String and re.fullmatch(r"\s*-?\d+\s*", example or ""):
        moment = _since_epoch(column.str.strip_chars().cast(pl.Int64, strict=False), name, example, form)
    elif found == pl.String:
        moment = _of_text(column, name, form, example)
    else:
        raise InputError(f"column {name} is {found}, not {UTC_US}. Convert it and write the file again.")
    return moment - timedelta(minutes=1) if form.labels == "end" else moment


def _plausible(value: pl.Expr, number: pl.Expr, unit: str) -> pl.Expr:
    first, last = (bound * PER_SECOND[unit] for bound in PLAUSIBLE_S)
    return pl.when(number.is_between(first, last)).then(value)


def _zoned(naive_or_zoned: pl.Expr, zone: str | None, name: str, form: BarForm) -> pl.Expr:
    if zone is not None:
        return naive_or_zoned.dt.convert_time_zone("UTC").cast(UTC_US)
    if form.timezone is None:
        raise InputError(
            f'{name} has no time zone. Say which it is: `--timezone "America/New_York"` or `--timezone UTC` of '
            '`smallcaps import bars`, or in Polars pl.col("timestamp").dt.replace_time_zone("UTC") and write the file '
            "again."
        )
    return _by_clock(naive_or_zoned.cast(_NAIVE), form.timezone)


def _by_clock(naive: pl.Expr, zone: str) -> pl.Expr:
    """What a clock of `zone` shows, in UTC; null where it shows that twice, or never, when summer time changes."""
    return naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


def _since_epoch(number: pl.Expr, name: str, found: object, form: BarForm) -> pl.Expr:
    unit = form.unit or ("ns" if name == FLAT_FILE_TIMESTAMP else None)
    if unit is None:
        raise InputError(
            f"column {name} is {found}: since 1970, but in which unit? Say it: --unit s, ms, us or ns of "
            "`smallcaps import bars`."
        )
    number = number.cast(pl.Int64)
    per_us = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 1
    microseconds = number // 1_000 if unit == "ns" else number * per_us
    return _plausible(microseconds, number, unit).cast(_NAIVE).dt.replace_time_zone("UTC")


def _of_text(column: pl.Expr, name: str, form: BarForm, example: str | None) -> pl.Expr:
    """ISO text, with `T` or a space between, up to the minute or the second, with or without an offset."""
    if example is not None and re.search(_ZONE, example.strip()) is None and form.timezone is None:
        raise InputError(
            f"{name}, such as {example.strip()!r}, has no time zone. Say which it is: "
            '`--timezone "America/New_York"` or `--timezone UTC` of `smallcaps import bars`.'
        )
    text = column.str.strip_chars()
    rest = text.str.slice(_UP_TO_THE_MINUTE)
    minute = text.str.slice(0, _UP_TO_THE_MINUTE).str.replace("T", " ", literal=True)
    second = pl.when(rest.str.starts_with(":")).then(rest.str.slice(1, 2)).otherwise(pl.lit("00"))
    naive = (minute + ":" + second).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    naive = _plausible(naive, naive.to_physical(), "us")
    offset = rest.str.extract(_ZONE, 1).str.replace("Z", "+00:00", literal=True).str.replace(":", "", literal=True)
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    with_offset = (naive - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")
    without = pl.lit(None, dtype=UTC_US) if form.timezone is None else _by_clock(naive, form.timezone)
    return (
        pl.when(~rest.str.contains(_AFTER_THE_MINUTE))
        .then(None)
        .when(offset.is_not_null())
        .then(with_offset)
        .otherwise(without)
    )
