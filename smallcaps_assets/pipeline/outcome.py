"""What one unit of work did: its figures, and what went wrong without stopping its neighbours."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Outcome:
    """One partition's figures, the problems that keep it from being whole, and how many rows it holds now.

    `version` tells what it holds now from what it held before; where it is not known, it counts as new.
    `left` is how many units of its work were not begun, because an allowance was used up; nothing is wrong with them.
    """

    partition: tuple[str, ...]
    figures: dict[str, int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    rows: int | None = None
    version: str | None = None
    left: int = 0


def versioned(outcomes: Iterable[Outcome], version_of: Callable[[str], str | None]) -> Iterator[Outcome]:
    """Pass outcomes of symbols on, those that are whole with the version of what they hold now."""
    for outcome in outcomes:
        yield outcome if outcome.problems else replace(outcome, version=version_of(outcome.partition[0]))
