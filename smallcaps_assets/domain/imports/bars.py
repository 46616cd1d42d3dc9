"""Minute bars as others keep them: columns by other names, other widths and units, times without a zone, text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from smallcaps_assets.domain.imports.columns import (
    Unit,
    decimal,
    needs_unit,
    only_whole,
    shapeless,
    text,
    unsaid,
    utc,
    utc_of_text,
    utc_since_epoch,
    whole,
    without_shape,
    without_zone,
    wrong_type,
)
from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets.errors import InputError

# what the vendor's flat files call them; the timestamp is nanoseconds since the epoch
FLAT_FILE_SYMBOL: Final = "ticker"
FLAT_FILE_TIMESTAMP: Final = "window_start"
# vendors leave them out; a bar without them is whole
OPTIONAL: Final = ("vwap", "transactions")
# `sym` is what kdb+ calls it
_OTHER_NAMES: Final = {"symbol": (FLAT_FILE_SYMBOL, "sym"), "timestamp": (FLAT_FILE_TIMESTAMP,)}


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

    Names are known regardless of case; one that was said is exact.

    Raises:
        InputError: one is missing, not there under the name that was said, or there twice but for case.
    """
    known = {ours: _known(ours, found) for ours in BARS if ours not in form.names}
    wanted = {ours: form.names.get(ours) or known[ours] for ours in BARS}
    names = {ours: theirs for ours, theirs in wanted.items() if theirs in found}
    lacking = [f"{theirs} (said to be {ours})" for ours, theirs in form.names.items() if theirs not in found]
    lacking += [name for name in BARS if name not in (*names, *without, *form.names)]
    if lacking:
        raise InputError(
            f"no column {', '.join(lacking)}. Bars need {', '.join(BARS)}; vwap and transactions may be null. Found: "
            f"{', '.join(found)}. {_remedy(found)}"
        )
    return names


def _known(ours: str, found: Collection[str]) -> str:
    """The column that holds one of BARS by its name; `ours` where none does."""
    for name in (ours, *_OTHER_NAMES.get(ours, ())):
        alike = [theirs for theirs in found if theirs.casefold() == name]
        if len(alike) > 1:
            raise InputError(
                f"columns {' and '.join(alike)} differ only in case, and each may be {ours}. Say which it is: "
                f"--columns {ours}={alike[0]} of `smallcaps import bars`."
            )
        if alike:
            return alike[0]
    return ours


def _remedy(found: Collection[str]) -> str:
    """What to do about columns that are not there, if it can be seen."""
    (first, *others) = [*found] or [""]
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if sign in first and not others:
            return f"Values are separated by {name}: write the file with commas."
    return "If they have other names, say which: --columns timestamp=t,open=o of `smallcaps import bars`."


def as_bars(found: Mapping[str, pl.DataType], names: Mapping[str, str], form: BarForm) -> list[pl.Expr]:
    """Expressions that make BARS of a table; columns that `names` does not hold become null.

    Prices of 32 bits become the shortest decimal that they stand for: 12.34, not 12.340000152587890625. Text is read
    as numbers where the timestamp is text as well, as in csv. A value that cannot be read becomes null; of times as
    text, each is read by its own form, and those that leave open what they mean are `unsaid_times`.

    Args:
        found: the columns of the table.
        names: which of them holds which column of BARS.
        form: what the table does not say itself.

    Raises:
        InputError: a column is of a type that cannot be one of bars, or times leave open what they mean.
    """
    is_text = found[names["timestamp"]] == pl.String
    columns = []
    for ours, wanted in BARS.items():
        if ours not in names:
            columns.append(pl.lit(None, dtype=wanted).alias(ours))
        elif ours == "timestamp":
            columns.append(_moment(names[ours], found[names[ours]], form).alias(ours))
        else:
            columns.append(_value(names[ours], found[names[ours]], wanted, is_text=is_text).alias(ours))
    return columns


def _value(name: str, found: pl.DataType, wanted: pl.DataType, *, is_text: bool) -> pl.Expr:
    """A column as BARS wants it; only conversions that lose nothing."""
    if wanted == pl.String:
        return text(name, found)
    if found == pl.String and is_text:
        number = pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)
        return only_whole(number).cast(wanted) if wanted.is_integer() else number
    return whole(name, found).cast(wanted) if wanted.is_integer() else decimal(name, found)


def _moment(name: str, found: pl.DataType, form: BarForm) -> pl.Expr:
    """The start of the minute in UTC."""
    if isinstance(found, pl.Datetime):
        moment = utc(name, found, form.timezone).cast(UTC_US)
    elif found.is_integer():
        moment = utc_since_epoch(pl.col(name), _unit(name, found, form))
    elif found == pl.Float64 or found.is_decimal():
        # of 64 bits: whole seconds are exact in every unit; of 32 not even minutes are
        moment = utc_since_epoch(whole(name, found), _unit(name, found, form))
    elif found == pl.String:
        moment = utc_of_text(name, form.timezone, _known_unit(name, form))
    else:
        raise wrong_type(name, found, UTC_US)
    return moment - timedelta(minutes=1) if form.labels == "end" else moment


def unsaid_times(names: Mapping[str, str], form: BarForm) -> pl.Expr:
    """The times of a column of text that leave open what they mean; null where `form` or they themselves say it."""
    name = names["timestamp"]
    return unsaid(name, form.timezone, _known_unit(name, form))


def shapeless_times(names: Mapping[str, str]) -> pl.Expr:
    """The times of a column of text that no `form` makes times; null where one does."""
    return shapeless(names["timestamp"])


def objection(names: Mapping[str, str], value: str) -> InputError:
    """What to say about a value of `shapeless_times`."""
    return without_shape(f"column {names['timestamp']}, such as {value.strip()!r},")


def question(names: Mapping[str, str], value: str) -> InputError:
    """What to ask about a value of `unsaid_times`."""
    name = names["timestamp"]
    if needs_unit(value):
        return _unknown_unit(name, value.strip())
    return without_zone(f"column {name}, such as {value.strip()!r},")


def _known_unit(name: str, form: BarForm) -> Unit | None:
    return form.unit or ("ns" if name.casefold() == FLAT_FILE_TIMESTAMP else None)


def _unit(name: str, found: object, form: BarForm) -> Unit:
    unit = _known_unit(name, form)
    if unit is None:
        raise _unknown_unit(name, found)
    return unit


def _unknown_unit(name: str, found: object) -> InputError:
    return InputError(
        f"column {name} is {found}: since 1970, but in which unit? Say it: --unit s, ms, us or ns of "
        "`smallcaps import bars`."
    )
