"""The outcome of one unit of work: its figures and its problems."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Outcome:
    """What was done for one partition.

    Attributes:
        partition: the partition, by dimension.
        figures: what is recorded as its metadata.
        problems: why it is incomplete; empty where it is complete. They do not stop other partitions.
        rows: its present number of rows; None where it is not known.
        version: identifies its present content; None where it is not known, which counts as new.
        left: the units of work that were not started because the request budget was used up. They are no problem.
    """

    partition: tuple[str, ...]
    figures: dict[str, int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    rows: int | None = None
    version: str | None = None
    left: int = 0


def add_versions(outcomes: Iterable[Outcome], version_of: Callable[[str], str | None]) -> Iterator[Outcome]:
    """Pass outcomes of symbols on, complete ones with the version of the present content of the symbol."""
    for outcome in outcomes:
        yield outcome if outcome.problems else replace(outcome, version=version_of(outcome.partition[0]))
