"""The aggressor of each trade of DRILL, and the quotes that its side implies.

A buyer mostly pays the ask and a seller mostly gets the bid. Some get a better price, some the midpoint, some a price
outside the quotes, and some trades are reported after the quotes have moved on. Therefore no rule signs all of them.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from smallcaps_assets.simulated.market.book import Brackets
from smallcaps_assets.simulated.market.conditions import TradeKind
from smallcaps_assets.simulated.market.drill.trades import DrillTape, Role
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.sketch import Bools
from smallcaps_assets.simulated.market.tape import PIPS_PER_CENT

BUY: Final = 1
SELL: Final = -1
NO_SIDE: Final = 0
_WITH_AGGRESSOR: Final = (
    TradeKind.REGULAR,
    TradeKind.SWEEP,
    TradeKind.SWEEP_EXEMPT,
    TradeKind.ODD,
    TradeKind.ODD_SWEEP,
    TradeKind.EXTENDED,
    TradeKind.EXTENDED_SWEEP,
    TradeKind.EXTENDED_ODD,
    TradeKind.RESTRICTED,
)
# chances in percent: a trade goes the way the price went; then where it is against the quotes, in this order
_WITH_THE_PRICE: Final = 80
_IMPROVED, _MIDPOINT, _OUTSIDE, _MOVED = 8, 6, 4, 6
# of the trades at the quote, these percent of all have the quote that follows them reported with them
_FOLLOWED: Final = 10


@dataclass(frozen=True)
class Aggressors:
    """The side of each trade, and for each group of simultaneous trades the quotes before it.

    Attributes:
        side: BUY, SELL, or NO_SIDE where there is no aggressor or no longer a trade.
        brackets: the quotes in force when each group was executed; late reports belong to none.
        moved: groups before whose report the quotes have moved by a spread in its direction.
        followed: groups with whose report, at the same time, they move so.
        side_of_group: the side of each group.
    """

    side: Ints
    brackets: Brackets
    moved: Bools
    followed: Bools
    side_of_group: Ints


def draw_aggressors(noise: Noise, planted: DrillTape) -> Aggressors:
    """Sides and quotes for the trades of a day."""
    tape, role = planted.tape, planted.role
    known = np.isin(tape.kind, _WITH_AGGRESSOR) & np.isin(role, [Role.ORDINARY, Role.LATE, Role.SWEEP, Role.CORRECTED])
    quoted = known & ~planted.is_late
    at, price = tape.timestamp[quoted], tape.price[quoted]
    starts = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1]))[: len(at)])
    members = np.diff(np.append(starts, len(at)))
    count = len(starts)
    way = _way(price)[starts]
    way = np.where(way == 0, 2 * noise.below(1, count, 2) - 1, way)
    side = np.where(noise.below(2, count, 100) < _WITH_THE_PRICE, way, -way)
    side = np.where(role[quoted][starts] == Role.SWEEP, BUY, side)
    sides = np.where(noise.below(3, len(tape.kind), 2) == 0, BUY, SELL)
    sides[quoted] = np.repeat(side, members)
    lowest = np.minimum.reduceat(price, starts) if count else price
    highest = np.maximum.reduceat(price, starts) if count else price
    draw = noise.below(5, count, 100)
    brackets = Brackets(at[starts], *_quotes(noise, np.where(side > 0, lowest, highest), side, draw))
    moved = draw >= 100 - _MOVED
    followed = (draw >= 100 - _MOVED - _FOLLOWED) & ~moved
    return Aggressors(np.where(known, sides, NO_SIDE), brackets, moved, followed, side)


def spread_cents(noise: Noise, cents: Ints) -> Ints:
    """The usual spread at prices in cents."""
    spread: Ints = np.maximum(cents // 400, 2) + noise.below(4, len(cents), 2)
    return spread


def _way(price: Ints) -> Ints:
    """The direction of the last change of the price before or at each trade; 0 before the first."""
    step = np.sign(np.diff(price, prepend=price[:1]))
    latest = np.maximum.accumulate(np.where(step != 0, np.arange(len(price)), 0))
    return step[latest]


def _quotes(noise: Noise, price: Ints, side: Ints, draw: Ints) -> tuple[Ints, Ints]:
    """Bid and ask in cents for the price (in pips), the side and the draw (0 to 99) of each group."""
    near = np.where(side > 0, -(-price // PIPS_PER_CENT), price // PIPS_PER_CENT)
    spread = spread_cents(noise, near)
    improved = draw < _IMPROVED
    midpoint = (draw >= _IMPROVED) & (draw < _IMPROVED + _MIDPOINT) & (price % PIPS_PER_CENT == 0)
    outside = (draw >= _IMPROVED + _MIDPOINT) & (draw < _IMPROVED + _MIDPOINT + _OUTSIDE)
    # the quote on the trade's side lies a cent beyond a better price, and a cent short of one outside
    near = near + side * (np.where(improved, 1, 0) - np.where(outside, 1, 0))
    far = near - side * (spread + np.where(improved, 2, 0))
    half = spread // 2 + 1
    near, far = np.where(midpoint, near + side * half, near), np.where(midpoint, near - side * half, far)
    bid = np.maximum(np.where(side > 0, far, near), 1)
    return bid, np.maximum(np.where(side > 0, near, far), bid + 1)
