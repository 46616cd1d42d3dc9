"""The result of a check of a table."""

from collections.abc import Mapping
from typing import Final, NamedTuple, Self

import polars as pl

from smallcaps_assets.domain.words import count_clause

EXAMPLES: Final = 10
# how many cells of the first row that breaks a check its sentence shows
_CELLS: Final = 4
_BREAKING: Final = "rows_that_break_it"

Figure = str | int | float | bool | None


class Finding(NamedTuple):
    """Whether a check holds, the figures behind it, and some of the rows that break it.

    Attributes:
        severe: the rows that break it make the table wrong; otherwise they are a warning.
        unjudged: why there was nothing to judge yet, if there was not; the check then neither passes nor fails.
    """

    name: str
    holds: bool
    figures: Mapping[str, Figure]
    examples: pl.DataFrame
    severe: bool = True
    unjudged: str = ""

    def unjudged_if(self, condition: bool, reason: str) -> Self:  # noqa: FBT001 -- reads as a sentence
        """The same, but not judged for `reason` where it holds only because of `condition`: that nothing was there."""
        return self._replace(unjudged=reason) if condition and self.holds else self

    def sentence(self) -> str:
        """The result in one sentence."""
        if self.unjudged:
            return f"Not judged yet: {self.unjudged}."
        if "verdict" in self.figures:
            return str(self.figures["verdict"])
        if self.holds:
            return "Passed."
        if not self.breaking:
            return "The figures break this rule."
        return f"{count_clause(self.breaking, 'row breaks', 'rows break')} this rule{self._such_as()}."

    def _such_as(self) -> str:
        """The first row that breaks the check, in words; empty if it is not at hand."""
        if self.examples.is_empty():
            return ""
        cells = {name: value for name, value in self.examples.row(0, named=True).items() if value is not None}
        words = [
            f"{name.replace('_', ' ')} {f'{value:,.4g}' if isinstance(value, float) else value}"
            for name, value in list(cells.items())[:_CELLS]
        ]
        return f"{':' if self.breaking == 1 else ', such as'} {', '.join(words)}"

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
    name: str,
    breaking: pl.DataFrame,
    figures: Mapping[str, Figure] | None = None,
    *,
    severe: bool = True,
    count: int | None = None,
) -> Finding:
    """The finding of a check that holds if `breaking` has no rows; its first rows become the examples.

    `count` is the number of rows that break it, where `breaking` has only the first of them.
    """
    counted = {**(figures or {}), _BREAKING: breaking.height if count is None else count}
    return Finding(name, breaking.is_empty(), counted, breaking.head(EXAMPLES), severe)
