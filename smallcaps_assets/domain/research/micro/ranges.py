"""Statistics over many ranges [start, end) of one array at once; ranges may overlap and be empty."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray

_Array = TypeVar("_Array", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Members:
    """Every element of every range, range by range.

    Attributes:
        owner: the number of its range, ascending.
        element: its index in the array.
        block: where the ranges follow each other without gap or overlap, the elements of all of them, else None.
    """

    owner: IntArray
    element: IntArray
    block: slice | None

    def __iter__(self) -> Iterator[IntArray]:
        return iter((self.owner, self.element))

    def of(self, values: _Array) -> _Array:
        """What `values` has at each element; not to be written to, since it may be a part of `values`."""
        # unlike indexing, `take` lets other threads run
        return values.take(self.element) if self.block is None else values[self.block]  # type: ignore[return-value]  # of its type


class Quantile(NamedTuple):
    """The two order statistics between which a quantile lies, and how far it is from the first; 0 for no values."""

    low: IntArray
    high: IntArray
    fraction: FloatArray

    def of(self, values: FloatArray) -> FloatArray:
        """The quantile of what `values` has at these keys."""
        low = values[self.low]
        return low + (values[self.high] - low) * self.fraction


def expand(starts: IntArray, ends: IntArray) -> Members:
    """The elements of the ranges, range by range."""
    lengths = np.maximum(ends - starts, 0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    if len(starts) and (starts[1:] == starts[:-1] + lengths[:-1]).all():
        block = slice(int(starts[0]), int(starts[0]) + len(owner))
        return Members(owner, np.arange(block.start, block.stop), block)
    shift = starts - (np.cumsum(lengths) - lengths)
    return Members(owner, np.arange(len(owner)) + np.repeat(shift, lengths), None)


def covered(starts: IntArray, ends: IntArray, length: int) -> BoolArray:
    """Which of `length` elements lie in at least one range."""
    opened = np.bincount(starts, minlength=length + 1) - np.bincount(np.maximum(ends, starts), minlength=length + 1)
    return np.asarray(np.cumsum(opened)[:length] > 0)


def range_counts(flags: BoolArray, starts: IntArray, ends: IntArray) -> IntArray:
    """How many elements of each range are true."""
    places = np.flatnonzero(flags)
    return places.searchsorted(np.maximum(ends, starts)) - places.searchsorted(starts)


def range_totals(values: npt.NDArray[Any], starts: IntArray, ends: IntArray) -> IntArray:
    """Exact sums of integers."""
    running = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=running[1:])
    return running[np.maximum(ends, starts)] - running[starts]


def range_sums(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Sums of floats; a sum depends on nothing outside its range."""
    return np.where(ends > starts, _reduce(np.add, values, starts, ends), 0.0)


def flagged_sums(values: FloatArray, flags: BoolArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Sums of the floats of each range whose flag is true; a sum depends on nothing outside its range."""
    places = np.flatnonzero(flags)
    return range_sums(values.take(places), places.searchsorted(starts), places.searchsorted(ends))


def range_maxima(values: npt.NDArray[Any], starts: IntArray, ends: IntArray) -> npt.NDArray[Any]:
    """Greatest elements; 0 for an empty range."""
    return np.where(ends > starts, _reduce(np.maximum, values, starts, ends), 0)


def range_minima(values: npt.NDArray[Any], starts: IntArray, ends: IntArray) -> npt.NDArray[Any]:
    """Least elements; 0 for an empty range."""
    return np.where(ends > starts, _reduce(np.minimum, values, starts, ends), 0)


def _reduce(ufunc: np.ufunc, values: npt.NDArray[Any], starts: IntArray, ends: IntArray) -> npt.NDArray[Any]:
    # reduceat takes indices of elements only: one more element lets a range end with the array
    bounds = np.stack([starts, np.maximum(ends, starts)], axis=1).ravel()
    result = ufunc.reduceat(np.append(values, values.dtype.type(0)), bounds)
    return np.asarray(result[::2])


def last_where(flags: BoolArray) -> IntArray:
    """Index of the last true element up to and with each element; -1 where there is none."""
    return np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))


def rows_before(times: IntArray, moments: IntArray) -> IntArray:
    """Index of the last of `times` strictly before each of `moments`, -1 where there is none; both ascend."""
    if len(times) >= len(moments):
        return np.searchsorted(times, moments, side="left") - 1
    first_after = np.searchsorted(moments, times, side="right")
    return np.cumsum(np.bincount(first_after, minlength=len(moments) + 1)[: len(moments)]) - 1


def ratio(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> FloatArray:
    """`numerator` / `denominator`, NaN where the denominator is 0."""
    nothing = denominator == 0
    return np.where(nothing, np.nan, numerator / np.where(nothing, 1, denominator))


class SortedGroups:
    """Keys (integers from 0 on) sorted within their groups, for quantiles of each group (type 7)."""

    def __init__(self, owner: IntArray, keys: IntArray, groups: int) -> None:
        """`owner` is the group of each key, below `groups`."""
        self._counts = np.bincount(owner, minlength=groups)
        self._firsts = np.cumsum(self._counts) - self._counts
        bits = int(keys.max()).bit_length() if len(keys) else 0
        if bits + groups.bit_length() < 64:  # noqa: PLR2004 -- both fit into one integer
            packed = (owner << bits) | keys
            packed.sort()
            self._keys = packed & ((1 << bits) - 1)
        else:
            self._keys = keys[np.lexsort((keys, owner))]

    def quantile(self, q: float) -> tuple[Quantile, BoolArray]:
        """The quantile of each group, and which groups have keys."""
        has_keys = self._counts > 0
        if not len(self._keys):
            none = np.zeros(len(self._counts), np.int64)
            return Quantile(none, none, np.zeros(len(none))), has_keys
        last = np.maximum(self._counts - 1, 0)
        place = last * q
        low = np.floor(place).astype(np.int64)
        first = np.where(has_keys, self._firsts, 0)
        keys = self._keys
        return Quantile(keys[first + low], keys[first + np.minimum(low + 1, last)], place - low), has_keys
