"""What is planted in the trades of DRILL: sweeps, late reports, cancellations, corrections, unlisted ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from smallcaps_assets.simulated.hours import NS_PER_MINUTE, NS_PER_SECOND, RTH_OPEN
from smallcaps_assets.simulated.market.conditions import TradeKind
from smallcaps_assets.simulated.market.drill.rows import merge_rows, take_rows
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.plan import DayPlan
from smallcaps_assets.simulated.market.sketch import Bools
from smallcaps_assets.simulated.market.tape import MICROS_PER_SHARE, NO_VALUE, OFF_EXCHANGE, PIPS_PER_CENT, Tape

_NASDAQ: Final = 12
# Values of `correction`: a trade that was corrected, in error or cancelled later, and the messages that say so.
CORRECTED, ERROR, CANCELLED = 1, 7, 8
CANCEL_MESSAGE, CORRECTION_MESSAGE = 10, 12
_FIRST_TRF: Final = 201
_RESTRICTED_ONE_IN: Final = 4


class Role(IntEnum):
    """Why a trade is on the tape of DRILL."""

    ORDINARY = 0
    LATE = 1
    SWEEP = 2
    UNLISTED = 3
    CANCELLED_IN_BAR = 4
    CANCELLED = 5
    CORRECTED = 6
    MESSAGE = 7


class _Print(NamedTuple):
    """A planted trade: its minute after the anchor, its second, and what it is.

    The price is that of the tape at the time of execution, changed by `per_mille` and `cents`.
    """

    role: Role
    minute: int
    second: float
    kind: TradeKind = TradeKind.REGULAR
    shares: int = 100
    per_mille: int = 0
    cents: int = 0
    correction: int = NO_VALUE
    exchange: int = _NASDAQ
    late_s: float = 0.02


_SWEEP_VENUES: Final = (12, 11, 8, 19, 7)
_PRINTS: Final = (
    *(
        _Print(Role.SWEEP, 1, 20, TradeKind.SWEEP, shares=200, cents=step, exchange=venue)
        for step, venue in enumerate(_SWEEP_VENUES)
    ),
    *(
        _Print(Role.LATE, 1, 35 + 2 * number, shares=300, exchange=OFF_EXCHANGE, late_s=delay)
        for number, delay in enumerate((12, 25, 48, 90))
    ),
    *(_Print(Role.UNLISTED, 2, 15 + number, TradeKind.UNLISTED, per_mille=70) for number in range(3)),
    _Print(Role.CORRECTED, 2, 31, correction=CORRECTED),
    _Print(Role.MESSAGE, 2, 36, cents=-2, correction=CORRECTION_MESSAGE),
    _Print(Role.CANCELLED_IN_BAR, 3, 30, shares=500, per_mille=30, correction=CANCELLED),
    _Print(Role.CANCELLED, 4, 30, shares=500, per_mille=-30, correction=ERROR),
    _Print(Role.MESSAGE, 4, 41, shares=500, per_mille=-30, correction=CANCEL_MESSAGE),
)


@dataclass(frozen=True)
class DrillTape:
    """The trades of a day of DRILL with the role of each."""

    tape: Tape
    role: Ints

    @property
    def is_late(self) -> Bools:
        """Reported ten seconds or more after execution."""
        late: Bools = (self.role == Role.LATE) | np.isin(
            self.tape.kind, [TradeKind.OUT_OF_SEQUENCE, TradeKind.LATE_FORM_T]
        )
        return late

    @property
    def in_bars(self) -> Bools:
        """Counted by the vendor's bars, as far as its conditions let it."""
        counted: Bools = ~np.isin(self.role, [Role.CANCELLED, Role.MESSAGE])
        return counted

    def select(self, kept: Bools) -> "DrillTape":
        """The trades that are `kept`."""
        return DrillTape(take_rows(self.tape, kept), self.role[kept])


def plant_trades(noise: Noise, plan: DayPlan, tape: Tape, anchor: int | None, restricted_from: int | None) -> DrillTape:
    """The tape with what is planted.

    Args:
        noise: of the day.
        plan: of the day.
        tape: drawn from it.
        anchor: minute from which the minutes of planted trades count; None for none.
        restricted_from: minute from which trades may say that the short sale restriction is in force; None for none.
    """
    plain = replace(tape, kind=_with_restriction(noise, plan, tape, restricted_from))
    whole = replace(plain, correction=np.full(len(plain.kind), NO_VALUE, dtype=np.int64))
    role = np.zeros(len(whole.kind), dtype=np.int64)
    if anchor is None:
        return DrillTape(whole, role)
    more = _draw_prints(plan, whole, _PRINTS, anchor)
    added = np.array([one.role for one in _PRINTS], dtype=np.int64)
    merged, order = merge_rows(whole, more)
    count = len(order)
    return DrillTape(
        replace(
            merged,
            sequence=np.cumsum(noise.between(1, count, 1, 24)) + 1000,
            number=np.arange(1, count + 1, dtype=np.int64),
        ),
        np.concatenate((role, added))[order],
    )


def _with_restriction(noise: Noise, plan: DayPlan, tape: Tape, first: int | None) -> Ints:
    if first is None:
        return tape.kind
    is_regular = (tape.minute >= max(first, RTH_OPEN)) & (tape.minute < plan.session.close)
    chosen = noise.below(2, len(tape.kind), _RESTRICTED_ONE_IN) == 0
    return np.where(is_regular & chosen & (tape.kind == TradeKind.REGULAR), TradeKind.RESTRICTED, tape.kind)


def _draw_prints(plan: DayPlan, tape: Tape, prints: Sequence[_Print], anchor: int) -> Tape:
    minute = np.array([anchor + one.minute for one in prints], dtype=np.int64)
    second = np.array([round(one.second * NS_PER_SECOND) for one in prints], dtype=np.int64)
    delay = np.array([round(one.late_s * NS_PER_SECOND) for one in prints], dtype=np.int64)
    # the sum ends in odd digits, so that no trade of the tape has this time
    at = plan.session.start_ns + minute * NS_PER_MINUTE + second + 123_456_789
    exchange = np.array([one.exchange for one in prints], dtype=np.int64)
    off_exchange = exchange == OFF_EXCHANGE
    price = _price_at(tape, at - delay)
    price = price * (1000 + np.array([one.per_mille for one in prints])) // 1000 // PIPS_PER_CENT
    price = (price + np.array([one.cents for one in prints], dtype=np.int64)) * PIPS_PER_CENT
    nothing = np.full(len(prints), NO_VALUE, dtype=np.int64)
    return Tape(
        minute=minute,
        timestamp=at,
        price=price,
        size=np.array([one.shares for one in prints], dtype=np.int64) * MICROS_PER_SHARE,
        kind=np.array([one.kind for one in prints], dtype=np.int64),
        exchange=exchange,
        sequence=nothing,
        number=nothing,
        participant_timestamp=at - delay,
        trf_timestamp=np.where(off_exchange, at - 150_000, NO_VALUE),
        trf_id=np.where(off_exchange, _FIRST_TRF, NO_VALUE),
        correction=np.array([one.correction for one in prints], dtype=np.int64),
    )


def _price_at(tape: Tape, moments: Ints) -> Ints:
    """The price of the last regular trade before each moment."""
    regular = np.isin(tape.kind, [TradeKind.REGULAR, TradeKind.RESTRICTED, TradeKind.SWEEP])
    at = np.searchsorted(tape.timestamp[regular], moments) - 1
    return tape.price[regular][np.maximum(at, 0)]
