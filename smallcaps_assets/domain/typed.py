"""Columns of tables from elsewhere as our schemas want them; conversions lose nothing, and nothing is guessed."""

from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from smallcaps_assets.errors import InputError

# a timestamp outside is of another unit than its label: it becomes null, which is counted
PLAUSIBLE_S: Final = (946_684_800, 4_102_444_800)  # 2000 to 2100, seconds since the epoch
PER_SECOND: Final = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def require_timezone(timezone: str | None) -> None:
    """Make sure that a time zone exists.

    Raises:
        InputError: it does not.
    """
    try:
        ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InputError(f"--timezone {timezone}: no such time zone. Give one as UTC or America/New_York.") from error


def utc(what: str, name: str, found: pl.DataType, timezone: str | None) -> pl.Expr:
    """A column of times in UTC, in its own unit; null where implausible or not on the clocks of `timezone`.

    Args:
        what: the table, for errors.
        name: the column.
        found: its type.
        timezone: where the clocks stood of times without a zone; those with one keep theirs.

    Raises:
        InputError: no times, or times without a zone and none is given.
    """
    if not isinstance(found, pl.Datetime):
        raise InputError(f"{what}: column {name} is {found}, not a Datetime. Convert it and write the file again.")
    per_second = PER_SECOND[found.time_unit]
    first, last = (bound * per_second for bound in PLAUSIBLE_S)
    column = pl.col(name)
    plausible = pl.when(column.to_physical().is_between(first, last)).then(column)
    if found.time_zone is not None:
        return plausible.dt.convert_time_zone("UTC").alias(name)
    if timezone is None:
        raise InputError(
            f"{what}: column {name} has no time zone. Say where its clocks stood: --timezone UTC if they were UTC "
            "clocks, as those of the earlier system, or --timezone America/New_York."
        )
    local = plausible.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
    return local.dt.convert_time_zone("UTC").alias(name)


def decimal(what: str, name: str, found: pl.DataType) -> pl.Expr:
    """A column of numbers as Float64; one of 32 bits as the shortest decimal that it stands for, such as 12.34.

    Raises:
        InputError: no numbers.
    """
    column = pl.col(name)
    if found == pl.Float32:
        return column.cast(pl.String).cast(pl.Float64)
    if found.is_numeric() or found == pl.Null:
        return column.cast(pl.Float64)
    raise InputError(f"{what}: column {name} is {found}, not a number. Convert it and write the file again.")


def text(what: str, name: str, found: pl.DataType) -> pl.Expr:
    """A column of words as String.

    Raises:
        InputError: no words.
    """
    if found in _TEXTS:
        return pl.col(name).cast(pl.String)
    raise InputError(f"{what}: column {name} is {found}, not text. Convert it and write the file again.")
