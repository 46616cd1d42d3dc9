"""Conversions of imported columns to the types of our schemas: lossless, and without guessing."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.errors import InputError

Unit = Literal["s", "ms", "us", "ns"]
PER_SECOND: Final[Mapping[str, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# 1990 to 2100, in seconds since the epoch. A timestamp outside has another unit than its label: today's seconds read as
# nanoseconds lie in 1970. It becomes null, and nulls are counted.
PLAUSIBLE_S: Final = (631_152_000, 4_102_444_800)
# New York's offset from UTC in winter and in summer, in hours
_NEW_YORK: Final = (-5, -4)
TEXT_TYPES: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_ZONE: Final = r"(Z|[+-]\d{2}(:?\d{2})?)$"
_DIGITS: Final = r"^\s*-?\d+\s*$"
_ISO: Final = r"^\s*\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.0+)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?\s*$"
_UP_TO_THE_MINUTE: Final = 16
_BEYOND: Final = 2.0**63
# +HHMM
_OFFSET: Final = 5


def require_timezone(timezone: str | None) -> None:
    """Check that a time zone exists and is not a fixed offset that matches New York for half of the year only.

    Raises:
        InputError: the zone is unknown, or it is such a fixed offset (EST).
    """
    if timezone is None:
        return
    try:
        zone = ZoneInfo(timezone)
        # Polars does not know names that only this machine defines, such as localtime
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


def wrong_type_error(name: str, found: object, wanted: object) -> InputError:
    """The error for a column whose type cannot be converted."""
    return InputError(f"column {name} is {found}, not {wanted}. Convert it and write the file again.")


def null_if_implausible(value: pl.Expr, number: pl.Expr, unit: str) -> pl.Expr:
    """`value` where `number`, in `unit` since the epoch, lies within 1990 to 2100; else null."""
    first, last = (bound * PER_SECOND[unit] for bound in PLAUSIBLE_S)
    return pl.when(number.is_between(first, last)).then(value)


def as_utc(name: str, found: pl.DataType, timezone: str | None) -> pl.Expr:
    """A timestamp column converted to UTC in its present unit; null where implausible or not a valid local time.

    Args:
        name: the column.
        found: its type.
        timezone: the zone of timestamps without one; timestamps with a zone keep theirs.

    Raises:
        InputError: the column holds no timestamps, or timestamps without a zone while `timezone` is None.
    """
    if not isinstance(found, pl.Datetime):
        raise wrong_type_error(name, found, UTC_US)
    column = pl.col(name)
    moment = null_if_implausible(column, column.to_physical(), found.time_unit)
    if found.time_zone is not None:
        return moment.dt.convert_time_zone("UTC")
    return _local_as_utc(moment, _require_zone(timezone, f"column {name}"))


def text_as_utc(name: str, timezone: str | None, unit: Unit | None) -> pl.Expr:
    """Text parsed as UTC timestamps, each value on its own: an integer since the epoch, or an ISO timestamp.

    ISO timestamps have `T` or a space between date and time, minutes or seconds, and an optional offset, which may be
    hours only. Values that cannot be parsed are null, and so are ambiguous ones: see `ambiguous_times` and
    `unparsable_times`.
    """
    iso = _iso_as_utc(name, timezone)
    if unit is None:
        return iso
    number = pl.col(name).str.strip_chars().cast(pl.Int64, strict=False)
    return pl.when(pl.col(name).str.contains(_DIGITS)).then(epoch_as_utc(number, unit)).otherwise(iso)


def ambiguous_times(name: str, timezone: str | None, unit: Unit | None) -> pl.Expr:
    """Values of a text column that need a time zone or a unit that was not given; the others are null."""
    column = pl.col(name)
    is_ambiguous = pl.lit(value=False)
    if unit is None:
        is_ambiguous |= column.str.contains(_DIGITS)
    if timezone is None:
        naive, rest = _minute_and_rest(name)
        is_ambiguous |= (
            column.str.contains(_ISO) & _to_the_second(naive, rest).is_not_null() & ~rest.str.contains(_ZONE)
        )
    return pl.when(is_ambiguous).then(column)


def unparsable_times(name: str) -> pl.Expr:
    """Values of a text column that are timestamps under no zone and no unit; the others are null."""
    column = pl.col(name)
    return pl.when(~column.str.contains(_ISO) & ~column.str.contains(_DIGITS)).then(column)


def needs_unit(value: str) -> bool:
    """Whether a value of `ambiguous_times` is a number, so that its unit is missing and not its time zone."""
    return value.strip().lstrip("-").isdecimal()


def missing_zone_error(what: str) -> InputError:
    """The error for timestamps without a zone where none was given."""
    return InputError(
        f"{what} has no time zone. Give the zone of its clock to `smallcaps import`: --timezone UTC, or "
        '--timezone America/New_York; or add it in Polars, .dt.replace_time_zone("UTC"), and write the file again.'
    )


def unknown_form_error(what: str) -> InputError:
    """The error for values of `unparsable_times`."""
    return InputError(
        f"{what} is not a known timestamp format. Write times as YYYY-MM-DD HH:MM[:SS], with an offset such as "
        "+00:00 or with --timezone, or as whole numbers with --unit."
    )


def _minute_and_rest(name: str) -> tuple[pl.Expr, pl.Expr]:
    """The part of a text timestamp up to the minute, and the rest."""
    stripped = pl.col(name).str.strip_chars()
    upto = stripped.str.slice(0, _UP_TO_THE_MINUTE).str.replace("T", " ", literal=True)
    return upto, stripped.str.slice(_UP_TO_THE_MINUTE)


def _iso_as_utc(name: str, timezone: str | None) -> pl.Expr:
    upto, rest = _minute_and_rest(name)
    naive = _to_the_second(upto, rest)
    offset = rest.str.extract(_ZONE, 1).str.replace("Z", "+00", literal=True).str.replace(":", "", literal=True)
    offset = offset.str.pad_end(_OFFSET, "0")
    minutes = offset.str.slice(1, 2).cast(pl.Int64) * 60 + offset.str.slice(3, 2).cast(pl.Int64)
    signed = pl.when(offset.str.starts_with("-")).then(-minutes).otherwise(minutes)
    with_offset = (naive - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")
    without = pl.lit(None, dtype=UTC_US) if timezone is None else _local_as_utc(naive, timezone)
    return (
        pl.when(~pl.col(name).str.contains(_ISO))
        .then(None)
        .when(offset.is_not_null())
        .then(with_offset)
        .otherwise(without)
    )


def epoch_as_utc(number: pl.Expr, unit: Unit) -> pl.Expr:
    """Integers since the epoch as UTC timestamps in microseconds; null where implausible."""
    number = number.cast(pl.Int64)
    per_us = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 1
    microseconds = number // 1_000 if unit == "ns" else number * per_us
    return null_if_implausible(microseconds, number, unit).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def as_decimal(name: str, found: pl.DataType) -> pl.Expr:
    """A numeric column as Float64; a 32-bit float becomes its shortest decimal, such as 12.34.

    Raises:
        InputError: the column is not numeric.
    """
    column = pl.col(name)
    if found == pl.Float32:
        return column.cast(pl.String).cast(pl.Float64)
    if found.is_numeric() or found == pl.Null:
        return column.cast(pl.Float64)
    raise wrong_type_error(name, found, "a number")


def as_whole(name: str, found: pl.DataType) -> pl.Expr:
    """A numeric column as integers; null where a float or a decimal has a fraction.

    Raises:
        InputError: the column is not numeric.
    """
    if found.is_integer() or found == pl.Null:
        return pl.col(name)
    if found.is_float():
        return null_if_fractional(pl.col(name))
    if found.is_decimal():
        column = pl.col(name)
        return pl.when(column.round(0) == column).then(column.cast(pl.Int64, strict=False))
    raise wrong_type_error(name, found, "a whole number")


def null_if_fractional(number: pl.Expr) -> pl.Expr:
    """Floats whose value is a 64-bit integer; else null."""
    return pl.when((number.abs() < _BEYOND) & (number.round(0) == number)).then(number)


def as_text(name: str, found: pl.DataType) -> pl.Expr:
    """A text column as String.

    Raises:
        InputError: the column is not text.
    """
    if found in TEXT_TYPES:
        return pl.col(name).cast(pl.String)
    raise wrong_type_error(name, found, "text")


def _require_zone(timezone: str | None, what: str) -> str:
    """`timezone`, which must have been given."""
    if timezone is None:
        raise missing_zone_error(what)
    return timezone


def _local_as_utc(naive: pl.Expr, zone: str) -> pl.Expr:
    """Local times of `zone` in UTC; null where a time occurs twice or never because of daylight saving."""
    return naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")


def _to_the_second(minute: pl.Expr, rest: pl.Expr) -> pl.Expr:
    """The local time of the two parts of a text timestamp; null where implausible."""
    second = pl.when(rest.str.starts_with(":")).then(rest.str.slice(1, 2)).otherwise(pl.lit("00"))
    naive = (minute + ":" + second).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    return null_if_implausible(naive, naive.to_physical(), "us")
