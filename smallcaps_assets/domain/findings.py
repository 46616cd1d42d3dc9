"""The result of a check of a table."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

EXAMPLES: Final = 10
_BREAKING: Final = "rows_that_break_it"

Figure = str | int | float | bool | None


class Finding(NamedTuple):
    """Whether a check holds, the figures behind it, and some of the rows that break it.

    `severe`: the rows that break it make the table wrong; otherwise they are a warning.
    """

    name: str
    holds: bool
    figures: Mapping[str, Figure]
    examples: pl.DataFrame
    severe: bool = True

    @property
    def breaking(self) -> int:
        """The number of rows that break the check."""
        return int(self.figures.get(_BREAKING) or 0)

    def __str__(self) -> str:
        """The finding in one line, for an error."""
        figures = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        such_as = "" if self.examples.is_empty() else f", such as {self.examples.row(0, named=True)}"
        return f"{self.name} ({figures}{such_as})"


def finding(
    name: str, breaking: pl.DataFrame, figures: Mapping[str, Figure] | None = None, *, severe: bool = True
) -> Finding:
    """The finding of a check that holds if `breaking` has no rows; its first rows become the examples."""
    counted = {**(figures or {}), _BREAKING: breaking.height}
    return Finding(name, breaking.is_empty(), counted, breaking.head(EXAMPLES), severe)
