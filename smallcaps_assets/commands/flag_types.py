"""Types of flag values; argparse names a wrong value after the function."""

from argparse import ArgumentTypeError

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
        ValueError: anything else.
    """
    port = int(text)
    if port not in range(65_536):
        raise ValueError(text)
    return port


def price_scale(text: str) -> PriceScale:
    """How many dollars a price of 1 in a file stands for, such as 1e-9.

    Raises:
        ValueError: not a number in (0, 1].
    """
    return PriceScale.parse(text)


def column_names(text: str) -> dict[str, str]:
    """`timestamp=t,open=o` as a mapping from our columns to those of the file.

    Raises:
        ValueError: anything else, or a column that bars do not have.
    """
    names = dict(pair.split("=", 1) for pair in text.split(","))
    if not (names.keys() <= BARS.keys() and all(names.values())):
        raise ValueError(text)
    return names
