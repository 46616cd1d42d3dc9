"""Numbers of cohorts, and sums over their levels.

A cohort has a number: those of level 3 come first (group x TERCILES + tercile), then those of level 2 (group), then
those of level 1 (parent). An array of figures has one value per cohort in this order.
"""

import math
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

CohortInts = npt.NDArray[np.int64]
CohortFloats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = CohortInts | CohortFloats
Terciles = npt.NDArray[np.uint8]
_Number = TypeVar("_Number", np.int64, np.float64)

TERCILES: Final = 4  # 1, 2, 3 and `na`
UNKNOWN_TERCILE: Final = 3
_GREATEST: Final = np.iinfo(np.int64).max


class Levels(NamedTuple):
    """Which cohorts are parts of which.

    Attributes:
        parent: number of type and direction, ascending, by group.
        first: first group of each parent.
    """

    parent: CohortInts
    first: CohortInts

    @property
    def groups(self) -> int:
        """How many cohorts of level 2 there are."""
        return len(self.parent)

    @property
    def parents(self) -> int:
        """How many cohorts of level 1 there are."""
        return len(self.first)

    @property
    def finest(self) -> int:
        """How many cohorts of level 3 there are."""
        return len(self.parent) * TERCILES

    def rolled_up(self, finest: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """Sums over all levels of numbers of level 3, along the first axis."""
        parts = [finest[tercile::TERCILES] for tercile in range(TERCILES)]
        groups = parts[0] + parts[1] + parts[2] + parts[3]
        return np.concatenate((finest, groups, np.add.reduceat(groups, self.first, axis=0)))

    def above(self, finest: CohortInts, size: int = 1) -> tuple[CohortInts, CohortInts]:
        """The numbers of the cohorts of levels 2 and 1 of each number of level 3.

        Args:
            finest: `number x size + rest`, rest below `size`; so are the results.
            size: of the rest.
        """
        number = finest // size
        rest = finest - number * size
        group = number // TERCILES
        parent = self.parent[group]
        return (group + self.finest) * size + rest, (parent + self.finest + self.groups) * size + rest


def levels_of(parent: CohortInts) -> Levels:
    """`parent`: ascending number of the cohort of level 1, by group."""
    return Levels(parent, parent.searchsorted(np.arange(int(parent[-1]) + 1)))


def weighted(code: CohortInts, values: CohortFloats, codes: int) -> CohortFloats:
    """Sums of values by code; NumPy gives whole numbers where there are no values."""
    return np.bincount(code, values, minlength=codes).astype(np.float64, copy=False)


def share(part: Numbers, whole: Numbers) -> CohortFloats:
    """Quotients; NaN where `whole` is 0."""
    shares: CohortFloats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def sorted_by(*keys: tuple[CohortInts, int]) -> CohortInts:
    """The order by several keys of whole numbers from 0 on, the first being the most significant.

    Args:
        keys: each with a bound that its numbers are below.
    """
    if math.prod(size for _, size in keys) > _GREATEST:
        return np.lexsort([values for values, _ in reversed(keys)])
    packed = keys[0][0]
    for values, size in keys[1:]:
        packed = packed * size + values
    return np.argsort(packed)
