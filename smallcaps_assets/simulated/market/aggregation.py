"""Bars as the vendor computes them: a day's trades aggregated under the update rules of their conditions.

A minute has a bar when at least one trade may set its open and close. Its volume, number of trades and VWAP then come
from all trades of the minute that update volume; a minute of odd lots alone has no bar.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from smallcaps_assets.simulated.hours import RTH_OPEN, TradingDay
from smallcaps_assets.simulated.market.conditions import EXTENDED_UPDATES, HIGH_LOW, OPEN_CLOSE, REGULAR_UPDATES, VOLUME
from smallcaps_assets.simulated.market.noise import Ints
from smallcaps_assets.simulated.market.tape import MICROS_PER_SHARE, PIPS_PER_DOLLAR, Tape

_Floats = npt.NDArray[np.float64]
_WHOLE_DAY: Final = 0


@dataclass(frozen=True)
class Candles:
    """Bars of one symbol's day, one row per bar; `minute` counts from 04:00 New York time. Prices in dollars."""

    minute: Ints
    open: _Floats
    high: _Floats
    low: _Floats
    close: _Floats
    volume: _Floats
    vwap: _Floats
    transactions: Ints

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


def minute_candles(tape: Tape, session: TradingDay) -> Candles:
    """The day's minute bars, pre-market to after-hours."""
    is_regular = (tape.minute >= RTH_OPEN) & (tape.minute < session.close)
    effect = np.where(is_regular, REGULAR_UPDATES[tape.kind], EXTENDED_UPDATES[tape.kind])
    return _candles(tape, tape.minute, effect)


def day_candle(tape: Tape, session: TradingDay) -> Candles:
    """The day bar (`minute` 0; none where no trade sets prices): prices of regular hours, volume of the whole day."""
    is_regular = (tape.minute >= RTH_OPEN) & (tape.minute <= session.close)
    effect = REGULAR_UPDATES[tape.kind]
    effect = np.where(is_regular, effect, effect & VOLUME)
    return _candles(tape, np.full_like(tape.minute, _WHOLE_DAY), effect)


def _candles(tape: Tape, group: Ints, effect: Ints) -> Candles:
    """Aggregate trades by ascending `group`; `effect` tells which values each trade may update."""
    sets_ends = (effect & OPEN_CLOSE) > 0
    keys, first, last = _runs(group[sets_ends])
    prices = tape.price[sets_ends]

    sets_range = (effect & HIGH_LOW) > 0
    range_keys, range_first, _ = _runs(group[sets_range])
    ranged = tape.price[sets_range]
    at_range = np.searchsorted(range_keys, keys)

    counts = (effect & VOLUME) > 0
    volume_keys, volume_first, volume_last = _runs(group[counts])
    sizes, turnover = tape.size[counts], (tape.price * (tape.size // 100))[counts]
    at_volume = np.searchsorted(volume_keys, keys)
    micros = _sums(sizes, volume_first)[at_volume]
    return Candles(
        minute=keys,
        open=prices[first] / PIPS_PER_DOLLAR,
        high=_extremes(np.maximum, ranged, range_first)[at_range] / PIPS_PER_DOLLAR,
        low=_extremes(np.minimum, ranged, range_first)[at_range] / PIPS_PER_DOLLAR,
        close=prices[last] / PIPS_PER_DOLLAR,
        volume=micros / MICROS_PER_SHARE,
        vwap=np.rint(
            _sums(turnover, volume_first)[at_volume] / np.maximum(_sums(sizes // 100, volume_first)[at_volume], 1)
        )
        / PIPS_PER_DOLLAR,
        transactions=(volume_last - volume_first + 1)[at_volume],
    )


def _runs(keys: Ints) -> tuple[Ints, Ints, Ints]:
    """Each distinct key of ascending `keys`, with its first and its last row."""
    if not len(keys):
        return keys, keys, keys
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    ends = np.concatenate((starts[1:], [len(keys)])) - 1
    return keys[starts], starts, ends


def _sums(values: Ints, starts: Ints) -> Ints:
    return np.add.reduceat(values, starts) if len(starts) else values


def _extremes(pick: np.ufunc, values: Ints, starts: Ints) -> Ints:
    result: Ints = pick.reduceat(values, starts) if len(starts) else values
    return result
