"""Where a position leaves between two barriers, bar by bar (research specification, sections 4.2 and 4.3)."""

import math
from typing import Final, NamedTuple

import numpy as np

from smallcaps_assets.domain.research.arrays import BoolArray, FloatArray, IntArray
from smallcaps_assets.domain.research.outcomes.bars_after import US_PER_MIN, BarsAfter, Entries
from smallcaps_assets.domain.research.prices import MICRO, least_move

# mean range of a driftless diffusion, in standard deviations (Parkinson)
_RANGE_PER_DEVIATION: Final = 1.5958
_LEAST_SCALE: Final = 0.005
_MOST_SCALE: Final = 0.20


class LabelSpec(NamedTuple):
    """A horizon in minutes, and the barriers as multiples of the scale.

    Attributes:
        minutes: to the vertical barrier (H).
        profit: multiple of the profit barrier (pt).
        stop: multiple of the stop barrier (sl).
    """

    minutes: int
    profit: int
    stop: int

    @property
    def name(self) -> str:
        """Such as `15,1,1`."""
        return f"{self.minutes},{self.profit},{self.stop}"


# In the order of rows; the second is the primary one.
LABEL_SPECS: Final = (LabelSpec(5, 1, 1), LabelSpec(15, 1, 1), LabelSpec(60, 1, 1))


class Barriers(NamedTuple):
    """The barriers of each event.

    Attributes:
        until: the vertical barrier (tv), in us.
        profit: distance of the profit barrier in millionths of the entry price.
        stop: distance of the stop barrier in millionths of the entry price.
    """

    until: IntArray
    profit: IntArray
    stop: IntArray


class Exits(NamedTuple):
    """The exit of each event that has one; values of the others have no meaning.

    Attributes:
        exists: whether the event has an entry and a bar from there on that ends by the vertical barrier.
        label: 1 by the profit barrier, -1 by the stop barrier, 0 by the vertical one.
        price: in USD.
        bar_end: end of the exit bar, in us.
        tie: whether the exit bar touches both barriers, and does not open beyond one.
        gap: whether the exit bar, not the entry bar, opens at or beyond a barrier.
    """

    exists: BoolArray
    label: IntArray
    price: FloatArray
    bar_end: IntArray
    tie: BoolArray
    gap: BoolArray


def scale_millionths(bar_atr: FloatArray, minutes: int) -> IntArray:
    """The scale of the barriers (z) in millionths of the entry price, for a horizon; 0 where `bar_atr` is NaN.

    It is the deviation over the horizon that bars of this range make, at least 0.5 % and at most 20 %.
    """
    scale = np.clip(bar_atr * math.sqrt(minutes) / _RANGE_PER_DEVIATION, _LEAST_SCALE, _MOST_SCALE)
    found: IntArray = np.floor(1e6 * np.nan_to_num(scale, nan=0.0) + 0.5).astype(np.int64)
    return found


def barrier_exits(after: BarsAfter, entries: Entries, barriers: Barriers) -> Exits:
    """Where each position leaves: at the first bar, from the entry bar on, that touches a barrier.

    A bar after the entry bar that opens at or beyond a barrier leaves at its open. Else a bar that touches the stop
    leaves there, also where it touches the profit barrier too; else one that touches the profit barrier leaves there.
    Where none does, the close of the last bar that ends by the vertical barrier is the exit.

    Args:
        after: bars, whose prices contain each other (low <= open, close <= high), and events.
        entries: of the events.
        barriers: of the events.
    """
    sign, height = after.sign, after.bars.height
    count = after.position(np.minimum(barriers.until, after.end_of_day) - US_PER_MIN + 1) - entries.position
    exists = entries.exists & (count > 0)
    opens, high, low = after.both_ways
    first = np.where(sign > 0, entries.position, entries.position + height)
    entry = sign * entries.price
    profit_at, stop_at = (
        entry + least_move(entries.price, barriers.profit),
        entry - least_move(entries.price, barriers.stop),
    )
    last = first + np.maximum(count, 1) - 1
    place, touched = last.copy(), np.zeros(len(after), np.bool_)
    waiting, ordinal = np.flatnonzero(exists), 0
    while waiting.size:
        bar = first[waiting] + ordinal
        touches = (high[bar] >= profit_at[waiting]) | (low[bar] <= stop_at[waiting])
        place[waiting[touches]], touched[waiting[touches]] = bar[touches], True
        waiting = waiting[~touches & (bar < last[waiting])]
        ordinal += 1
    place[~exists] = 0
    opened_profit, opened_stop = opens[place] >= profit_at, opens[place] <= stop_at
    gap = touched & (place > first) & (opened_profit | opened_stop)
    stopped = np.where(gap, opened_stop, low[place] <= stop_at)
    tie = touched & ~gap & stopped & (high[place] >= profit_at)
    label = np.where(touched, np.where(stopped, -1, 1), 0)
    bar = np.where(place >= height, place - height, place)
    paid = after.bars["open"].to_numpy()
    distance = np.where(stopped, -barriers.stop, barriers.profit) / MICRO
    at_barrier = paid[np.maximum(entries.position, 0)] * (1 + sign * distance)
    at_bar = np.where(gap, paid[bar], after.bars["close"].to_numpy()[bar])
    price = np.where(touched & ~gap, at_barrier, at_bar)
    return Exits(exists, label, price, after.starts[bar] + US_PER_MIN, tie, gap)
