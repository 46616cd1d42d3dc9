"""What one unit of work did: its figures, and what went wrong without stopping its neighbours."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """One partition's figures, the problems that keep it from being whole, and how many rows it holds now.

    `left` is how many units of its work were not begun, because an allowance was used up; nothing is wrong with them.
    """

    partition: tuple[str, ...]
    figures: dict[str, int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    rows: int | None = None
    left: int = 0
