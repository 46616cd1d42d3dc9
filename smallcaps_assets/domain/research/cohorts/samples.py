"""The sample of one as_of: its events, their split by date and their terciles (research specification, 6.1 and 6.2)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.spec_rows import CohortInts, Flags, SpecRows, terciles

# guards floor(share x dates) against products such as 0.29 x 100 = 28.999...
_FLOOR_GUARD = 1e-9


class CohortSample(NamedTuple):
    """The sample of one as_of, label_spec and selection.

    Attributes:
        select: rows of the earlier dates, ascending.
        confirm: rows of the later ones.
        select_dates: whether a date, by its number, is one of the earlier ones.
        bounds: of the terciles; None if no event of the sample has a flatness.
        select_terciles: of the rows of `select`.
        confirm_terciles: of the rows of `confirm`.
    """

    select: CohortInts
    confirm: CohortInts
    select_dates: Flags
    bounds: tuple[float, float] | None
    select_terciles: npt.NDArray[np.uint8]
    confirm_terciles: npt.NDArray[np.uint8]


def take_sample(rows: SpecRows, selection: str, as_of: int, params: CohortParams) -> CohortSample:
    """The sample of `selection` at `as_of`, a month counted from year 0: labels that were over when it began."""
    first, end = rows.months.searchsorted((as_of - params.cohort_months, as_of))
    low, high = rows.day.searchsorted((first, end))
    inside = rows.selections[selection][low:high] & (rows.known_from[low:high] <= as_of)
    chosen = low + np.flatnonzero(inside)
    day = rows.day[chosen]
    present = np.flatnonzero(np.bincount(day, minlength=rows.dates))
    earlier = present[: int(params.cohort_select_share * len(present) + _FLOOR_GUARD)]
    # rows are sorted by date
    split = int(day.searchsorted(earlier[-1], side="right")) if len(earlier) else 0
    bounds = _bounds(rows, chosen)
    tercile = terciles(rows.flatness[chosen], bounds)
    select_dates = np.zeros(rows.dates, np.bool_)
    select_dates[earlier] = True
    return CohortSample(chosen[:split], chosen[split:], select_dates, bounds, tercile[:split], tercile[split:])


def _bounds(rows: SpecRows, chosen: CohortInts) -> tuple[float, float] | None:
    """The quantiles 1/3 and 2/3 of flatness, interpolated linearly (type 7)."""
    in_sample = np.zeros(len(rows.day), np.bool_)
    in_sample[chosen] = True
    present = np.flatnonzero(in_sample[rows.by_flatness])
    if not len(present):
        return None
    return _third(rows, present, 1), _third(rows, present, 2)


def _third(rows: SpecRows, present: CohortInts, thirds: int) -> float:
    """In whole numbers, so that a quantile which is one of the values equals it."""
    place, rest = divmod((len(present) - 1) * thirds, 3)
    around = present[[place, min(place + 1, len(present) - 1)]]
    low, high = rows.flatness[rows.by_flatness[around]]
    return float(low + (high - low) * (rest / 3))
