"""Legs of a zigzag over the points of the bars after each event (research specification, sections 3.1 and 3.3).

The zigzag of one event is sequential. It is computed for many events at a time: one step per point, each on arrays over
all events that still have one. All comparisons are of Int64 micro-dollars.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.prices import least_move, micro

POINTS_OF_BAR: Final = 4
# the ordinal of pivot 0: the last point, the close, of the event's own bar, which is the one before the first
PIVOT_0: Final = -1
# in place of an ordinal where there is no point
NO_POINT: Final = -2
_PRICES: Final = ("open", "high", "low", "close")


class BarPoints(NamedTuple):
    """The four points of each bar in their order: open, low, high, close; high before low where the bar falls.

    The points after an event have ordinals: 0 is the open of its first bar, at position `first`; -1 is the close of the
    bar before that one.

    Attributes:
        micros: u(p), shape (4, bars).
        usd: the prices themselves, in the same places.
    """

    micros: IntArray
    usd: FloatArray

    def micros_at(self, first: IntArray, ordinal: IntArray) -> IntArray:
        """u(p) of one point of each event."""
        found: IntArray = self.micros[ordinal % POINTS_OF_BAR, first + ordinal // POINTS_OF_BAR]
        return found

    def usd_at(self, first: IntArray, ordinal: IntArray) -> FloatArray:
        """Price in USD of one point of each event."""
        found: FloatArray = self.usd[ordinal % POINTS_OF_BAR, first + ordinal // POINTS_OF_BAR]
        return found


class Paths(NamedTuple):
    """Where the zigzag of each event runs.

    Attributes:
        first: position of the first bar after the event; the event's own bar is the one before.
        bars: number of bars.
        threshold: th, in millionths; at most 1,000,000.
    """

    first: IntArray
    bars: IntArray
    threshold: IntArray


class Legs(NamedTuple):
    """Legs by event and number; points are ordinals.

    Attributes:
        event: position among the paths.
        number: from 1 on.
        sign: 1 where it rises, -1 where it falls.
        start: its first point; PIVOT_0 of leg 1.
        end: its extreme.
        confirmed: the point that confirmed its end; NO_POINT of the last leg.
    """

    event: IntArray
    number: IntArray
    sign: IntArray
    start: IntArray
    end: IntArray
    confirmed: IntArray


def order_points(bars: pl.DataFrame) -> BarPoints:
    """The points of bars with open, high, low and close."""
    usd = [bars[name].to_numpy() for name in _PRICES]
    micros = [column.to_numpy() for column in bars.select(micro(name) for name in _PRICES)]
    rises = micros[-1] >= micros[0]
    return BarPoints(_in_order(micros, rises), _in_order(usd, rises))


def _in_order(prices: Sequence[npt.NDArray[Any]], rises: BoolArray) -> npt.NDArray[Any]:
    opened, high, low, close = prices
    return np.stack([opened, np.where(rises, low, high), np.where(rises, high, low), close])


def least_turn(price: IntArray, threshold: IntArray) -> IntArray:
    """The least difference from a price, in micro-dollars, that is `threshold` millionths of it or more; 1 at least."""
    return np.maximum(least_move(price, threshold), 1)


def find_legs(points: BarPoints, paths: Paths) -> Legs:
    """The legs of every path, by event and number.

    There is no leg until a point differs from P0, the close of the event's bar, by the threshold. A leg ends at its
    extreme, the first of equal ones, once a point is away from it by the threshold: this point confirms it, and is the
    first extreme of the next leg.
    """
    # those with most bars first: the events that still have a point are the first ones
    order = np.argsort(-paths.bars, kind="stable")
    first, bars, threshold = (values[order] for values in paths)
    sign, number = np.zeros_like(first), np.zeros_like(first)
    start, end = np.full_like(first, PIVOT_0), np.full_like(first, PIVOT_0)
    extreme = points.micros_at(first, end)
    turn = least_turn(extreme, threshold)

    def legs_of(event: IntArray, confirmed: int) -> Legs:
        by = np.full_like(event, confirmed)
        return Legs(order[event], number[event], sign[event], start[event], end[event], by)

    found = list[Legs]()
    for ordinal, live in _steps(bars):
        bar, place = divmod(ordinal, POINTS_OF_BAR)
        price, heading = points.micros[place, first[:live] + bar], sign[:live]
        difference = price - extreme[:live]
        is_ahead = heading * difference > 0
        turning = np.flatnonzero(~is_ahead & (np.abs(difference) >= turn[:live]))
        found.append(legs_of(turning[heading[turning] != 0], ordinal))
        start[turning], sign[turning] = end[turning], np.sign(difference[turning])
        number[turning] += 1
        moved = np.append(np.flatnonzero(is_ahead), turning)
        extreme[moved], end[moved] = price[moved], ordinal
        turn[moved] = least_turn(price[moved], threshold[moved])
    found.append(legs_of(np.flatnonzero(number), NO_POINT))
    legs = Legs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))
    by_event = np.lexsort((legs.number, legs.event))
    return Legs(*(values[by_event] for values in legs))


def _steps(bars: IntArray) -> Iterator[tuple[int, int]]:
    """Every ordinal of a point, and how many events have that point; `bars` of each event, descending."""
    for bar in range(int(bars.max(initial=0))):
        live = int(np.searchsorted(-bars, -bar, side="left"))
        for place in range(POINTS_OF_BAR):
            yield bar * POINTS_OF_BAR + place, live
