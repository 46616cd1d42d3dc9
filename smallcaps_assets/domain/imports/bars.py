"""Minute bars in the forms people store them: other column names, widths and units, times without a zone, text."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from smallcaps_assets.domain.bars.quality import PRICES
from smallcaps_assets.domain.bars.unknown import OPTIONAL
from smallcaps_assets.domain.imports.columns import (
    TEXT_TYPES,
    Unit,
    ambiguous_times,
    as_text,
    as_utc,
    as_whole,
    epoch_as_utc,
    missing_zone_error,
    needs_unit,
    null_if_fractional,
    text_as_utc,
    unknown_form_error,
    unparsable_times,
    wrong_type_error,
)
from smallcaps_assets.domain.imports.prices import PriceScale, known_number
from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets.errors import InputError

# column names of the vendor's flat files; the timestamp is nanoseconds since the epoch
FLAT_FILE_SYMBOL: Final = "ticker"
FLAT_FILE_TIMESTAMP: Final = "window_start"
# `sym` is the name in kdb+
_OTHER_NAMES: Final = {"symbol": (FLAT_FILE_SYMBOL, "sym"), "timestamp": (FLAT_FILE_TIMESTAMP,)}


@dataclass(frozen=True)
class BarForm:
    """How to read files that do not describe themselves.

    `timezone` applies to timestamps without one, `unit` to integers; `names` maps columns of BARS to those of the
    files; `labels` tells whether a timestamp is the start or the end of its minute. `scale` applies to prices, and
    to a vwap in the same unit; None where it was not given.
    """

    timezone: str | None = None
    unit: Unit | None = None
    labels: Literal["start", "end"] = "start"
    names: Mapping[str, str] = field(default_factory=dict)
    scale: PriceScale | None = None


def match_bar_columns(found: Collection[str], form: BarForm, without: Sequence[str] = ()) -> dict[str, str]:
    """Map each column of BARS to a column of the file; those of `without` may be missing.

    Names match regardless of case; names given in `form` match exactly.

    Raises:
        InputError: a column is missing, missing under its given name, or ambiguous because two differ only in case.
    """
    known = {ours: _find_column(ours, found) for ours in BARS if ours not in form.names}
    wanted = {ours: form.names.get(ours) or known[ours] for ours in BARS}
    names = {ours: theirs for ours, theirs in wanted.items() if theirs in found}
    missing = [f"{theirs} (given as {ours})" for ours, theirs in form.names.items() if theirs not in found]
    missing += [name for name in BARS if name not in (*names, *without, *form.names)]
    if missing:
        raise InputError(
            f"no column {', '.join(missing)}. Bars need {', '.join(BARS)}; vwap and transactions may be null. Found: "
            f"{', '.join(found)}. {_remedy(found)}"
        )
    return names


def _find_column(ours: str, found: Collection[str]) -> str:
    """The column of the file that is called like a column of BARS; `ours` where there is none."""
    for name in (ours, *_OTHER_NAMES.get(ours, ())):
        alike = [theirs for theirs in found if theirs.casefold() == name]
        if len(alike) > 1:
            raise InputError(
                f"columns {' and '.join(alike)} differ only in case, and each may be {ours}. Choose one: "
                f"--columns {ours}={alike[0]} of `smallcaps import bars`."
            )
        if alike:
            return alike[0]
    return ours


def other_symbol_columns(found: Mapping[str, pl.DataType], names: Mapping[str, str]) -> list[str]:
    """The columns of text that are known as symbols, the one of `names` first; none if it has none."""
    if "symbol" not in names:
        return []
    known = ("symbol", *_OTHER_NAMES["symbol"])
    others = (name for name, dtype in found.items() if name.casefold() in known and dtype in TEXT_TYPES)
    return [names["symbol"], *(name for name in others if name != names["symbol"])]


def _remedy(found: Collection[str]) -> str:
    """What to do about missing columns."""
    (first, *others) = [*found] or [""]
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if sign in first and not others:
            return f"Values are separated by {name}: write the file with commas."
    return "If they have other names, map them: --columns timestamp=t,open=o of `smallcaps import bars`."


def as_bars(found: Mapping[str, pl.DataType], names: Mapping[str, str], form: BarForm) -> list[pl.Expr]:
    """Expressions that make BARS of a table; columns that `names` does not map become null.

    32-bit prices become their shortest decimal: 12.34, not 12.340000152587890625. Text is parsed as numbers where the
    timestamp is text as well, as in csv. A value that cannot be parsed becomes null; of a column of OPTIONAL 0, which
    means "not known". Each text timestamp is parsed on its own; ambiguous ones are `ambiguous_bar_times`.

    Args:
        found: the columns of the table.
        names: which of them holds which column of BARS.
        form: how to read what the table does not describe.

    Raises:
        InputError: a column has a type that cannot be converted, or timestamps lack a zone or a unit.
    """
    is_text = found[names["timestamp"]] == pl.String
    columns = []
    for ours, wanted in BARS.items():
        if ours not in names:
            columns.append(pl.lit(None, dtype=wanted).alias(ours))
        elif ours == "timestamp":
            columns.append(_minute_start(names[ours], found[names[ours]], form).alias(ours))
        else:
            value = _value(names[ours], found[names[ours]], wanted, is_text=is_text)
            if form.scale is not None and ours in PRICES:
                value = form.scale.in_dollars(value)
            elif form.scale is not None and ours == "vwap":
                close = _value(names["close"], found[names["close"]], wanted, is_text=is_text)
                value = form.scale.where_scaled(value, close)
            if ours in OPTIONAL:
                value = _zero_if_lost(names[ours], found[names[ours]], value)
            columns.append(value.alias(ours))
    return columns


def _value(name: str, found: pl.DataType, wanted: pl.DataType, *, is_text: bool) -> pl.Expr:
    """A column converted to its type in BARS; null where it cannot be without loss."""
    if wanted == pl.String:
        return as_text(name, found)
    if found == pl.String and is_text:
        number = _number_of_text(name)
        return null_if_fractional(number).cast(wanted) if wanted.is_integer() else number
    return as_whole(name, found).cast(wanted, strict=False) if wanted.is_integer() else known_number(name, found)


def _zero_if_lost(name: str, found: pl.DataType, value: pl.Expr) -> pl.Expr:
    """`value`, converted from a column, with 0 where the column's value cannot be converted; NaN and "" are missing."""
    is_given = pl.col(name).is_not_null()
    if found.is_float():
        is_given &= pl.col(name).is_not_nan()
    elif found == pl.String:
        is_given &= (pl.col(name).str.strip_chars() != "") & _number_of_text(name).is_not_nan().fill_null(value=True)
    return pl.when(is_given & value.is_null()).then(0).otherwise(value)


def _number_of_text(name: str) -> pl.Expr:
    return pl.col(name).str.strip_chars().cast(pl.Float64, strict=False)


def _minute_start(name: str, found: pl.DataType, form: BarForm) -> pl.Expr:
    """The start of the minute in UTC."""
    if isinstance(found, pl.Datetime):
        moment = as_utc(name, found, form.timezone).cast(UTC_US)
    elif found.is_integer():
        moment = epoch_as_utc(pl.col(name), _unit(name, found, form))
    elif found == pl.Float64 or found.is_decimal():
        # 64-bit floats are exact to the second in every unit; 32-bit floats not even to the minute
        moment = epoch_as_utc(as_whole(name, found), _unit(name, found, form))
    elif found == pl.String:
        moment = text_as_utc(name, form.timezone, _known_unit(name, form))
    else:
        raise wrong_type_error(name, found, UTC_US)
    return moment - timedelta(minutes=1) if form.labels == "end" else moment


def ambiguous_bar_times(names: Mapping[str, str], form: BarForm) -> pl.Expr:
    """Text timestamps that lack a zone or a unit which `form` does not give either; the others are null."""
    name = names["timestamp"]
    return ambiguous_times(name, form.timezone, _known_unit(name, form))


def unparsable_bar_times(names: Mapping[str, str]) -> pl.Expr:
    """Text timestamps that no `form` can parse; the others are null."""
    return unparsable_times(names["timestamp"])


def unparsable_time_error(names: Mapping[str, str], value: str) -> InputError:
    """The error for a value of `unparsable_bar_times`."""
    return unknown_form_error(f"column {names['timestamp']}, such as {value.strip()!r},")


def ambiguous_time_error(names: Mapping[str, str], value: str) -> InputError:
    """The error for a value of `ambiguous_bar_times`."""
    name = names["timestamp"]
    if needs_unit(value):
        return _unknown_unit(name, value.strip())
    return missing_zone_error(f"column {name}, such as {value.strip()!r},")


def _known_unit(name: str, form: BarForm) -> Unit | None:
    return form.unit or ("ns" if name.casefold() == FLAT_FILE_TIMESTAMP else None)


def _unit(name: str, found: object, form: BarForm) -> Unit:
    unit = _known_unit(name, form)
    if unit is None:
        raise _unknown_unit(name, found)
    return unit


def _unknown_unit(name: str, found: object) -> InputError:
    return InputError(
        f"column {name} is {found}: since 1970, but in which unit? Give it: --unit s, ms, us or ns of "
        "`smallcaps import bars`."
    )
