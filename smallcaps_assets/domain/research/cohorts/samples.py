"""The sample of one as_of: its events, their split by date and their terciles (research specification, 6.1 and 6.2)."""

from typing import NamedTuple

import numpy as np

from smallcaps_assets.domain.research.cohorts.levels import UNKNOWN_TERCILE, CohortFloats, CohortInts, Terciles
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.ranks import window_thirds
from smallcaps_assets.domain.research.cohorts.selection_rows import SelectionRows, UncostedRows

# guards floor(share x dates) against products such as 0.29 x 100 = 28.999...
_FLOOR_GUARD = 1e-9


class CohortSample(NamedTuple):
    """The sample of one as_of, label_spec and selection.

    Attributes:
        rows: events that it is a slice of.
        dates: the earlier dates.
        select: rows of these.
        confirm: rows of the later dates.
        bounds: of the terciles; None if no event of the sample has a flatness.
        select_terciles: of the rows of `select`.
        confirm_terciles: of the rows of `confirm`.
        uncosted: cohorts of level 3 of the labels that would be in the sample if their cost were known.
    """

    rows: SelectionRows
    dates: slice
    select: slice
    confirm: slice
    bounds: tuple[float, float] | None
    select_terciles: Terciles
    confirm_terciles: Terciles
    uncosted: CohortInts


def take_sample(rows: SelectionRows, as_of: int, params: CohortParams) -> CohortSample:
    """The sample at `as_of`, a month counted from year 0, of rows whose labels were over when it began."""
    first, end = (int(place) for place in rows.months.searchsorted((as_of - params.cohort_months, as_of)))
    split = first + int(params.cohort_select_share * (end - first) + _FLOOR_GUARD)
    low, middle, high = (int(place) for place in rows.first[[first, split, end]])
    bounds = window_thirds(rows.flatness, slice(first, end), slice(low, high))
    place, values = rows.flatness.place[low:high], rows.flatness.values
    # the places of values that are not above a bound are before these; a place that is not known is behind all
    behind = [0, 0] if bounds is None else values.searchsorted(bounds, side="right").tolist()
    parts = [(place >= number).view(np.uint8) for number in (*behind, len(values))]
    tercile = parts[0] + parts[1] + parts[2]
    select, confirm = slice(low, middle), slice(middle, high)
    return CohortSample(
        rows=rows,
        dates=slice(first, split),
        select=select,
        confirm=confirm,
        bounds=bounds,
        select_terciles=tercile[: middle - low],
        confirm_terciles=tercile[middle - low :],
        uncosted=_uncosted(rows.uncosted, as_of, params, bounds),
    )


def _uncosted(rows: UncostedRows, as_of: int, params: CohortParams, bounds: tuple[float, float] | None) -> CohortInts:
    """Cohorts of level 3 of labels without a cost, of the months of the sample, that were over at `as_of`."""
    months = slice(*rows.month.searchsorted((as_of - params.cohort_months, as_of)))
    over = rows.known_from[months] <= as_of
    return rows.code[months][over] + terciles(rows.flatness[months][over], bounds)


def terciles(flatness: CohortFloats, bounds: tuple[float, float] | None) -> Terciles:
    """0, 1 or 2 by the bounds, which belong to the lower tercile; UNKNOWN_TERCILE of NaN, or where there are none."""
    if bounds is None:
        return np.full(len(flatness), UNKNOWN_TERCILE, np.uint8)
    found = (flatness > bounds[0]).view(np.uint8) + (flatness > bounds[1]).view(np.uint8)
    found[np.isnan(flatness)] = UNKNOWN_TERCILE
    return found
