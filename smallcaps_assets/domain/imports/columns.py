"""Columns of tables from elsewhere as our schemas want them; conversions lose nothing, and nothing is guessed."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.errors import InputError

Unit = Literal["s", "ms", "us", "ns"]
PER_SECOND: Final[Mapping[str, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# 1990 to 2100, seconds since the epoch. A timestamp outside is of another unit than its label: read as a finer one,
# today is in 1970. It becomes null, which is counted.
PLAUSIBLE_S: Final = (631_152_000, 4_102_444_800)
# New York's offset from UTC in winter and in summer, in hours
_NEW_YORK: Final = (-5, -4)
_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_ZONE: Final = r"(Z|[+-]\d{2}(:?\d{2})?)$"
_DIGITS: Final = r"^\s*-?\d+\s*$"
_ISO: Final = r"^\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.0+)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?\s*$"
_UP_TO_THE_MINUTE: Final = 16
_BEYOND: Final = 2.0**63
# +HHMM
_OFFSET: Final = 5


def require_timezone(timezone: str | None) -> None:
    """Make sure that a time zone exists, and is none that is New York's for half of the year only.

    Raises:
        InputError: it does not, or it is.
    """
    if timezone is None:
        return
    try:
        zone = ZoneInfo(timezone)
        # names such as localtime, which only this machine knows, are none of Polars'
        pl.Series([datetime(2000, 1, 1, tzinfo=UTC)]).dt.convert_time_zone(timezone)
    except (ZoneInfoNotFoundError, pl.exceptions.ComputeError, ValueError, OSError) as error:
        raise InputError(
            f"--timezone {timezone or repr(timezone)}: there is no such time zone. Give a name of the zone database, "
            "such as America/New_York or UTC."
        ) from error
    winter, summer = (datetime(2024, month, 1, tzinfo=zone).utcoffset() for month in (1, 7))
    if winter == summer and winter in [timedelta(hours=hours) for hours in _NEW_YORK]:
        raise InputError(
            f"--timezone {timezone}: is without summer time, and so an hour off New York's for half of the year. "
            "Give --timezone America/New_York if the times are those of the exchange. If the clocks did stand so all "
            "year, convert the times to UTC, write the file again and give --timezone UTC."
        )


def wrong_type(name: str, found: object, wanted: object) -> InputError:
    """What is wrong with a column of which nothing can be made."""
    return InputError(f"column {name} is {found}, not {wanted}. Convert it and write the file again.")


def plausible(value: pl.Expr, number: pl.Expr, unit: str) -> pl.Expr:
    """`value` where `number`, since the epoch in `unit`, is a time that can be; else null."""
    first, last = (bound * PER_SECOND[unit] for bound in PLAUSIBLE_S)
    return pl.when(number.is_between(first, last)).then(value)


def utc(name: str, found: pl.DataType, timezone: str | None) -> pl.Expr:
    """A column of times in UTC, in its own unit; null where implausible or not on the clocks of `timezone`.

    Args:
        name: the column.
        found: its type.
        timezone: where the clocks stood of times without a zone; those with one keep theirs.

    Raises:
        InputError: no times, or times without a zone and none is given.
    """
    if not isinstance(found, pl.Datetime):
        raise wrong_type(name, found, UTC_US)
    column = pl.col(name)
    moment = plausible(column, column.to_physical(), found.time_unit)
    if found.time_zone is not None:
        return moment.dt.convert_time_zone("UTC")
    return _by_clock(moment, _said(timezone, f"column {name}"))


def utc_of_text(name: str, timezone: str | None, unit: Unit | None) -> pl.Expr:
    """Times in UTC of text, each value by its own form: whole numbers since the epoch, or ISO.

    ISO is with `T` or a space between, up to the minute or the second, with or without an offset, which may be of hours
    alone. What cannot be read is null, and so is what leaves open what it means: see `unsaid` and `shapeless`.
    """
    iso = _utc_of_iso(name, timezone)
    if unit is None:
        return iso
    number = pl.col(name).str.strip_chars().cast(pl.Int64, strict=False)
    return pl.when(pl.col(name).str.contains(_DIGITS)).then(utc_since_epoch(number, unit)).otherwise(iso)


def unsaid(name: str, timezone: str | None, unit: Unit | None) -> pl.Expr:
    """The values of a column of text that need a time zone or a unit that nobody said; the others are null."""
    column = pl.col(name)
    wanting = pl.lit(value=False)
    if unit is None:
        wanting |= column.str.contains(_DIGITS)
    if timezone is None:
        naive, rest = _parts(name)
        wanting |= column.str.contains(_ISO) & _to_the_second(naive, rest).is_not_null() & ~rest.str.contains(_ZONE)
    return pl.when(wanting).then(column)


def shapeless(name: str) -> pl.Expr:
    """The values of a column of text that no time zone and no unit make times; the others are null."""
    column = pl.col(name)
    return pl.when(~column.str.contains(_ISO) & ~column.str.contains(_DIGITS)).then(column)


def needs_unit(value: str) -> bool:
    """Whether a value of `unsaid` is a number, and so lacks a unit and not a time zone."""
    return value.strip().lstrip("-").isdecimal()


def without_zone(what: str) -> InputError:
    """What to say of times without a zone where none is given."""
    return InputError(
        f"{what} has no time zone. Say where its clocks stood: --timezone UTC if they were UTC clocks, or "
        '--timezone America/New_York, of `smallcaps import`; or in Polars .dt.replace_time_zone("UTC") and write '
        "the file again."
    )


def without_shape(what: str) -> InputError:
    """What to say of values of `shapeless`."""
    return InputError(
        f"{what} is in no form that is read. Write times as YYYY-MM-DD HH:MM[:SS], with an offset such as +00:00 or "
        "with --timezone, or as whole numbers with --unit."
    )


def _parts(name: str) -> tuple[pl.Expr, pl.Expr]:
    """What text tells up to the minute, and after it."""
    told = pl.col(name).str.strip_chars()
    upto = told.str.slice(0, _UP_TO_THE_MINUTE).str.replace("T", " ", literal=True)
    return upto, told.str.slice(_UP_TO_THE_MINUTE)


def _utc_of_iso(name: str, timezone: str | None) -> pl.Expr:
    upto, rest = _parts(name)
    naive = _to_the_second(upto, rest)
    offset = rest.str.extract(_ZONE, 1).str.replace("Z", "+00", literal=True).str.replace(":", "", literal=True)
    offset = offset.str.pad_end(_OFFSET, "0")
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    with_offset = (naive - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")
    without = pl.lit(None, dtype=UTC_US) if timezone is None else _by_clock(naive, timezone)
    return (
        pl.when(~pl.col(name).str.contains(_ISO))
        .then(None)
        .when(offset.is_not_null())
        .then(with_offset)
        .otherwise(without)
    )


def utc_since_epoch(number: pl.Expr, unit: Unit) -> pl.Expr:
    """Times in UTC, in microseconds, of whole numbers since the epoch; null where implausible."""
    number = number.cast(pl.Int64)
    per_us = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 1
    microseconds = number // 1_000 if unit == "ns" else number * per_us
    return plausible(microseconds, number, unit).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def decimal(name: str, found: pl.DataType) -> pl.Expr:
    """A column of numbers as Float64; one of 32 bits as the shortest decimal that it stands for, such as 12.34.

    Raises:
        InputError: no numbers.
    """
    column = pl.col(name)
    if found == pl.Float32:
        return column.cast(pl.String).cast(pl.Float64)
    if found.is_numeric() or found == pl.Null:
        return column.cast(pl.Float64)
    raise wrong_type(name, found, "a number")


def whole(name: str, found: pl.DataType) -> pl.Expr:
    """A column of whole numbers; null where a float or a decimal is none.

    Raises:
        InputError: no numbers.
    """
    if found.is_integer() or found == pl.Null:
        return pl.col(name)
    if found.is_float():
        return only_whole(pl.col(name))
    if found.is_decimal():
        column = pl.col(name)
        return pl.when(column.round(0) == column).then(column.cast(pl.Int64, strict=False))
    raise wrong_type(name, found, "a whole number")


def only_whole(number: pl.Expr) -> pl.Expr:
    """Floats that are whole numbers of 64 bits; else null."""
    return pl.when((number.abs() < _BEYOND) & (number.round(0) == number)).then(number)


def text(name: str, found: pl.DataType) -> pl.Expr:
    """A column of words as String.

    Raises:
        InputError: no words.
    """
    if found in _TEXTS:
        return pl.col(name).cast(pl.String)
    raise wrong_type(name, found, "text")


def _said(timezone: str | None, what: str) -> str:
    """The time zone that a person said."""
    if timezone is None:
        raise without_zone(what)
    return timezone


def _by_clock(naive: pl.Expr, zone: str) -> pl.Expr:
    """What a clock of `zone` shows, in UTC; null where it shows that twice, or never, when summer time changes."""
    return naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


def _to_the_second(minute: pl.Expr, rest: pl.Expr) -> pl.Expr:
    """What a clock showed, of text up to the minute and after it; null where implausible."""
    second = pl.when(rest.str.starts_with(":")).then(rest.str.slice(1, 2)).otherwise(pl.lit("00"))
    naive = (minute + ":" + second).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    return plausible(naive, naive.to_physical(), "us")
