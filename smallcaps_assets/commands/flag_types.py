"""Types of flag values; an error says the value and its bounds, and argparse names the flag."""

import re
from argparse import ArgumentTypeError
from contextlib import suppress
from datetime import date

from smallcaps_assets.domain.imports.prices import PriceScale
from smallcaps_assets.domain.tables import BARS


def positive_number(text: str) -> int:
    """A whole number above 0.

    Raises:
        ArgumentTypeError: anything else.
    """
    if not (text.isdecimal() and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def port_number(text: str) -> int:
    """A TCP port, 0 to 65535 (0: any free port).

    Raises:
        ArgumentTypeError: anything else.
    """
    if not (text.isdecimal() and int(text) in range(65_536)):
        raise ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def host_name(text: str) -> str:
    """The name or address of a host.

    Raises:
        ArgumentTypeError: it has characters that no host has.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", text):
        raise ArgumentTypeError(f"{text!r} is not the name or address of a host, such as 127.0.0.1")
    return text


def seed_number(text: str) -> int:
    """A seed, 0 or more.

    Raises:
        ArgumentTypeError: anything else.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, 0 or more")
    return int(text)


def price_scale(text: str) -> PriceScale:
    """How many dollars a price of 1 in a file stands for, such as 1e-9.

    Raises:
        ArgumentTypeError: not a number in (0, 1].
    """
    try:
        return PriceScale.parse(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1, such as 1e-4") from None


def column_names(text: str) -> dict[str, str]:
    """`timestamp=t,open=o` as a mapping from our columns to those of the file.

    Raises:
        ArgumentTypeError: anything else, or a column that bars do not have.
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(ours and theirs for ours, _, theirs in pairs):
        raise ArgumentTypeError(f"{text!r} is not OURS=THEIRS,... such as timestamp=t,open=o")
    unknown = [ours for ours, *_ in pairs if ours not in BARS]
    if unknown:
        raise ArgumentTypeError(f"{text!r}: bars have no column {', '.join(unknown)}, only {', '.join(BARS)}")
    return {ours: theirs for ours, _, theirs in pairs}


def month_begin(text: str) -> date:
    """The first day of a month, written as such or as the month: 2025-12-01 or 2025-12.

    Raises:
        ArgumentTypeError: anything else.
    """
    with suppress(ValueError):
        day = date.fromisoformat(text if text.count("-") > 1 else f"{text}-01")
        if day.day == 1:
            return day
    raise ArgumentTypeError(f"{text!r} is not a month such as 2025-12, or its first day")
