"""What one unit of work did: its figures, and what went wrong without stopping its neighbours."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """One partition's figures, and the problems that keep it from being whole.

    `left` is how many units of its work were not begun, because an allowance was used up; nothing is wrong with them.
    """

    partition: tuple[str, ...]
    figures: dict[str, int | float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    left: int = 0
