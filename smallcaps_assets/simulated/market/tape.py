"""Trades drawn from a day's plan: every planned minute opens, tops, bottoms and closes where the plan says.

Prices are integers of 1/10,000 dollar (`PIPS_PER_CENT` to a cent), sizes integers of one millionth of a share.
"""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from smallcaps_assets.simulated.hours import NS_PER_MINUTE, RTH_OPEN
from smallcaps_assets.simulated.market.conditions import TradeKind
from smallcaps_assets.simulated.market.listings import Listing
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.plan import DayPlan
from smallcaps_assets.simulated.market.sketch import Bools

PIPS_PER_CENT: Final = 100
PIPS_PER_DOLLAR: Final = 10_000
MICROS_PER_SHARE: Final = 1_000_000
NO_VALUE: Final = -1
OFF_EXCHANGE: Final = 4
_VENUES: Final = np.array([4, 4, 4, 4, 4, 4, 12, 12, 11, 8, 19, 7, 15, 21, 18, 10], dtype=np.int64)
_FINE_GRAINED_TRADES: Final = 64
_FULL_PATH_TRADES: Final = 4  # open, two extremes and close


def _mix(**per_mille: int) -> Ints:
    """A table of a thousand entries in which each kind of trade has its relative frequency."""
    kinds = np.array([TradeKind[name] for name in per_mille], dtype=np.int64)
    return np.repeat(kinds, list(per_mille.values()))


_REGULAR_MIX: Final = _mix(
    ODD=400,
    ODD_SWEEP=30,
    SWEEP=130,
    SWEEP_EXEMPT=30,
    AVERAGE=3,
    DERIVATIVE=3,
    OUT_OF_SEQUENCE=3,
    LATE_FORM_T=3,
    REGULAR=398,
)
_EXTENDED_MIX: Final = _mix(EXTENDED_ODD=400, EXTENDED_SWEEP=150, EXTENDED_AVERAGE=3, EXTENDED=447)


@dataclass(frozen=True)
class Tape:
    """The trades of one symbol's day in the order of the SIP; one row per trade in every array.

    `correction` is NO_VALUE where a trade has none, and empty where no trade has one.
    """

    minute: Ints
    timestamp: Ints
    price: Ints
    size: Ints
    kind: Ints
    exchange: Ints
    sequence: Ints
    number: Ints
    participant_timestamp: Ints
    trf_timestamp: Ints
    trf_id: Ints
    correction: Ints

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


@dataclass(frozen=True)
class _Slots:
    """Position of each trade: its minute, its index within the minute, and the number of trades in the minute."""

    minute: Ints
    place: Ints
    count: Ints
    is_first: Bools
    is_last: Bools


@dataclass(frozen=True)
class _Path:
    """The price path through each minute in pips, and which trades are its open, extremes and close."""

    price: Ints
    is_anchor: Bools


def draw_tape(listing: Listing, plan: DayPlan) -> Tape:
    """The trades of a symbol's day."""
    noise = Noise(listing.seed, listing.symbol, plan.session.day.isoformat(), "tape")
    slots = _slots(plan)
    path = _path(noise, plan, slots)
    kind = _kinds(noise, plan, slots, path.is_anchor)
    timestamp = _timestamps(noise, plan, slots)
    count = len(kind)
    exchange = _VENUES[noise.below(20, count, len(_VENUES))]
    exchange[
        (kind == TradeKind.OPENING_CROSS) | (kind == TradeKind.OFFICIAL_OPEN) | (kind == TradeKind.CLOSING_PRINT)
    ] = 12
    off_exchange = exchange == OFF_EXCHANGE
    delay = np.where(
        off_exchange, noise.between(21, count, 8_000_000, 400_000_000), noise.between(22, count, 90_000, 900_000)
    )
    is_late = (kind == TradeKind.LATE_FORM_T) & _is_regular(plan, slots.minute) | (kind == TradeKind.OUT_OF_SEQUENCE)
    delay += np.where(is_late, noise.between(23, count, 10, 90) * 1_000_000_000, 0)
    return Tape(
        minute=slots.minute,
        timestamp=timestamp,
        price=_prices(noise, plan, slots, path, kind),
        size=_sizes(noise, listing, plan, slots, kind),
        kind=kind,
        exchange=exchange,
        sequence=np.cumsum(noise.between(24, count, 1, 24)) + 1000,
        number=np.arange(1, count + 1, dtype=np.int64),
        participant_timestamp=timestamp - delay,
        trf_timestamp=np.where(off_exchange, timestamp - noise.between(25, count, 20_000, 400_000), NO_VALUE),
        trf_id=np.where(off_exchange, 201 + noise.below(26, count, 3), NO_VALUE),
        correction=np.empty(0, dtype=np.int64),
    )


def _slots(plan: DayPlan) -> _Slots:
    minutes = np.arange(len(plan.trades), dtype=np.int64)
    starts = np.cumsum(plan.trades) - plan.trades
    minute = np.repeat(minutes, plan.trades)
    place = np.arange(len(minute), dtype=np.int64) - starts[minute]
    count = plan.trades[minute]
    return _Slots(minute, place, count, is_first=place == 0, is_last=place == count - 1)


def _is_regular(plan: DayPlan, minute: Ints) -> Bools:
    regular: Bools = (minute >= RTH_OPEN) & (minute < plan.session.close)
    return regular


def _turns(noise: Noise, plan: DayPlan) -> tuple[Ints, Ints, Bools]:
    """Per minute: the places of the two extremes (first, second; at least 1 apart) and whether the low comes first."""
    minutes = len(plan.trades)
    room = np.maximum(plan.trades - 2, 1)
    one, other = 1 + noise.below(1, minutes, room), 1 + noise.below(2, minutes, room)
    first, second = np.minimum(one, other), np.maximum(one, other)
    clash = first == second
    first, second = np.where(clash & (first > 1), first - 1, first), np.where(clash & (first == 1), second + 1, second)
    green = plan.close >= plan.open
    return first, second, np.where(noise.below(3, minutes, 5) == 0, ~green, green)


def _path(noise: Noise, plan: DayPlan, slots: _Slots) -> _Path:
    """The path open, extreme, extreme, close in even steps with a cent of noise."""
    first, second, low_first = _turns(noise, plan)
    reaches_extremes = plan.trades >= _FULL_PATH_TRADES
    high = np.where(reaches_extremes, plan.high, np.maximum(plan.open, plan.close)) * PIPS_PER_CENT
    low = np.where(reaches_extremes, plan.low, np.minimum(plan.open, plan.close)) * PIPS_PER_CENT
    begin, end = plan.open * PIPS_PER_CENT, plan.close * PIPS_PER_CENT
    near, far = np.where(low_first, low, high), np.where(low_first, high, low)

    at, place = slots.minute, slots.place
    turn_1, turn_2, last = first[at], second[at], slots.count - 1
    leg_start = np.where(place <= turn_1, 0, np.where(place <= turn_2, turn_1, turn_2))
    leg_end = np.where(place <= turn_1, turn_1, np.where(place <= turn_2, turn_2, last))
    from_price = np.where(place <= turn_1, begin[at], np.where(place <= turn_2, near[at], far[at]))
    to_price = np.where(place <= turn_1, near[at], np.where(place <= turn_2, far[at], end[at]))
    done = place - leg_start
    path = from_price + (to_price - from_price) * done // np.maximum(leg_end - leg_start, 1)

    short = ~reaches_extremes[at]
    is_anchor = slots.is_first | slots.is_last | (~short & ((place == turn_1) | (place == turn_2)))
    path = np.where(short, np.where(slots.is_last, end[at], begin[at]), path)
    cents = path // PIPS_PER_CENT + np.where(is_anchor, 0, noise.between(4, len(path), -1, 1))
    return _Path(np.clip(cents * PIPS_PER_CENT, low[at], high[at]), is_anchor)


def _kinds(noise: Noise, plan: DayPlan, slots: _Slots, is_anchor: Bools) -> Ints:
    """The kind of each trade. The anchors of a minute may set its prices; odd-only minutes have odd lots only."""
    draw = noise.below(5, len(slots.minute), 1000)
    at = slots.minute
    is_regular = _is_regular(plan, at)
    kind = np.where(is_regular, _REGULAR_MIX[draw], _EXTENDED_MIX[draw])
    kind = np.where(is_anchor, np.where(is_regular, TradeKind.REGULAR, TradeKind.EXTENDED), kind)
    kind[is_anchor & is_regular & (draw % 3 == 0)] = TradeKind.SWEEP
    kind[plan.is_odd_only[at] & is_regular] = TradeKind.ODD
    kind[plan.is_odd_only[at] & ~is_regular] = TradeKind.EXTENDED_ODD
    auctioned = ~plan.is_odd_only[at]
    kind[(at == RTH_OPEN) & slots.is_first & auctioned] = TradeKind.OPENING_CROSS
    kind[(at == RTH_OPEN) & (slots.place == 1) & ~is_anchor & auctioned] = TradeKind.OFFICIAL_OPEN
    kind[(at == plan.session.close) & slots.is_first & auctioned] = TradeKind.CLOSING_PRINT
    return kind


def _prices(noise: Noise, plan: DayPlan, slots: _Slots, path: _Path, kind: Ints) -> Ints:
    """Path prices, except: price improvement inside the bar, odd lots beyond it, late prints at other prices."""
    count = len(kind)
    at = slots.minute
    high, low = plan.high[at] * PIPS_PER_CENT, plan.low[at] * PIPS_PER_CENT
    improvement = np.where(noise.below(6, count, 5) == 0, noise.between(7, count, -2, 2) * 25, 0)
    improved = np.clip(path.price + improvement, low, high)
    price = np.where(path.is_anchor | (slots.count < _FULL_PATH_TRADES), path.price, improved)
    is_odd = (kind == TradeKind.ODD) | (kind == TradeKind.ODD_SWEEP) | (kind == TradeKind.EXTENDED_ODD)
    stray = np.where(is_odd & (noise.below(8, count, 12) == 0), noise.between(9, count, -2, 2) * PIPS_PER_CENT, 0)
    price = np.maximum(price + stray, PIPS_PER_CENT)
    late = price * (1000 + noise.between(10, count, -40, 40)) // 1000 // PIPS_PER_CENT * PIPS_PER_CENT
    price = np.where((kind == TradeKind.LATE_FORM_T), late, price)
    anywhere = low + (high - low) * noise.below(11, count, 101) // 100 // PIPS_PER_CENT * PIPS_PER_CENT
    price = np.where((kind == TradeKind.OUT_OF_SEQUENCE) & (slots.count >= _FULL_PATH_TRADES), anywhere, price)
    follows = np.flatnonzero(kind == TradeKind.OFFICIAL_OPEN)
    price[follows] = price[follows - 1]
    return price


def _sizes(noise: Noise, listing: Listing, plan: DayPlan, slots: _Slots, kind: Ints) -> Ints:
    """Millionths of a share. Odd lots have 1 to 99 shares; the others share the rest of the minute's volume."""
    count = len(kind)
    is_odd = (kind == TradeKind.ODD) | (kind == TradeKind.ODD_SWEEP) | (kind == TradeKind.EXTENDED_ODD)
    is_repeat = kind == TradeKind.OFFICIAL_OPEN
    odd = noise.between(12, count, 1, 99)
    weight = np.where(is_odd | is_repeat, 0, (1 + noise.below(13, count, 8)) ** 2)
    weight = np.where(kind == TradeKind.CLOSING_PRINT, 400, weight)
    at = slots.minute
    minutes = len(plan.trades)
    taken = np.bincount(at, np.where(is_odd, odd, np.where(is_repeat, 0, 100)), minutes).astype(np.int64)
    weights = np.maximum(np.bincount(at, weight, minutes).astype(np.int64), 1)
    rest = np.maximum(plan.volume - taken, 0)
    share = rest[at] * weight // weights[at]
    share = np.where(slots.count < _FINE_GRAINED_TRADES, share // 100 * 100, share)
    given = np.bincount(at, share, minutes).astype(np.int64)
    share += np.where(slots.is_first & ~is_odd, (rest - given)[at], 0)
    shares = np.where(is_odd, odd, 100 + share)
    follows = np.flatnonzero(is_repeat)
    shares[follows] = shares[follows - 1]
    size = shares * MICROS_PER_SHARE
    if listing.has_fractional_sizes:
        is_fraction = is_odd & (noise.below(14, count, 3) == 0)
        size = np.where(is_fraction, (odd - 1) * MICROS_PER_SHARE + noise.between(15, count, 10_000, 999_999), size)
    return size


def _timestamps(noise: Noise, plan: DayPlan, slots: _Slots) -> Ints:
    """SIP timestamps in UTC nanoseconds, ascending; about one trade in six shares the timestamp of the one before."""
    count = len(slots.minute)
    offset = noise.below(16, count, NS_PER_MINUTE // 1000) * 1000 + noise.below(18, count, 1000)
    at = np.sort(slots.minute * NS_PER_MINUTE + offset)
    together = (noise.below(17, count, 6) == 0) & ~slots.is_first
    together[(slots.minute == RTH_OPEN) & (slots.place == 1)] = True
    at = np.maximum.accumulate(np.where(together, 0, at))
    return plan.session.start_ns + at
