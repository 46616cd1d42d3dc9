"""What the values of flags are; argparse calls a wrong value by the name of its function."""

from smallcaps_assets.domain.tables import BARS


def positive_number(text: str) -> int:
    """A whole number above 0.

    Raises:
        ValueError: anything else.
    """
    number = int(text)
    if number <= 0:
        raise ValueError(text)
    return number


def port_number(text: str) -> int:
    """A TCP port, 0 to 65535 (0: any that is free); the name is what argparse calls a wrong value.

    Raises:
        ValueError: anything else.
    """
    port = int(text)
    if port not in range(65_536):
        raise ValueError(text)
    return port


def column_names(text: str) -> dict[str, str]:
    """`timestamp=t,open=o` as a mapping from our columns to theirs; the name is what argparse calls a wrong value.

    Raises:
        ValueError: anything else, or a column that bars have not.
    """
    names = dict(pair.split("=", 1) for pair in text.split(","))
    if not (names.keys() <= BARS.keys() and all(names.values())):
        raise ValueError(text)
    return names
