"""Trade conditions: their update rules for consolidated bars, and the combinations that occur on the tape."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from smallcaps_assets.simulated.market.noise import Ints

HIGH_LOW: Final = 4
OPEN_CLOSE: Final = 2
VOLUME: Final = 1
_ALL: Final = HIGH_LOW | OPEN_CLOSE | VOLUME

FORM_T: Final = 12
ODD_LOT: Final = 37
SHORT_SALE_RESTRICTION: Final = 60
# an id that no table of conditions lists; such a trade updates nothing
UNLISTED: Final = 199


@dataclass(frozen=True)
class Condition:
    """One condition; `rules` is None where the vendor lists it without update rules."""

    id: int
    name: str
    rules: int | None
    cta: str | None = None
    utp: str | None = None


TRADE_CONDITIONS: Final = (
    Condition(1, "Acquisition", _ALL, utp="A"),
    Condition(2, "Average Price Trade", VOLUME, cta="B", utp="W"),
    Condition(3, "Automatic Execution", _ALL, cta="E"),
    Condition(4, "Bunched Trade", _ALL, utp="B"),
    Condition(5, "Bunched Sold Trade", HIGH_LOW | VOLUME, utp="G"),
    Condition(6, "CAP Election", _ALL, cta="I"),
    Condition(7, "Cash Sale", VOLUME, cta="C", utp="C"),
    Condition(8, "Closing Prints", _ALL, utp="6"),
    Condition(9, "Cross Trade", _ALL, cta="X", utp="X"),
    Condition(10, "Derivatively Priced", HIGH_LOW | VOLUME, cta="4", utp="4"),
    Condition(FORM_T, "Form T/Extended Hours", VOLUME, cta="T", utp="T"),
    Condition(14, "Intermarket Sweep", _ALL, cta="F", utp="F"),
    Condition(16, "Market Center Official Open", 0, cta="Q", utp="Q"),
    Condition(32, "Sold (Out Of Sequence)", HIGH_LOW | VOLUME, cta="Z", utp="Z"),
    Condition(ODD_LOT, "Odd Lot Trade", VOLUME, cta="I", utp="I"),
    Condition(38, "Corrected Consolidated Close (per listing market)", HIGH_LOW | OPEN_CLOSE, cta="9", utp="9"),
    Condition(41, "Trade Thru Exempt", _ALL, cta="X", utp="X"),
    Condition(SHORT_SALE_RESTRICTION, "Short Sale Restriction Activated", None),
)
_RULES: Final = {
    UNLISTED: 0,
    **{condition.id: _ALL if condition.rules is None else condition.rules for condition in TRADE_CONDITIONS},
}


class TradeKind(IntEnum):
    """The kind of a trade; its value is the index of its conditions in `CONDITION_SETS`."""

    REGULAR = 0
    SWEEP = 1
    SWEEP_EXEMPT = 2
    ODD = 3
    ODD_SWEEP = 4
    AVERAGE = 5
    DERIVATIVE = 6
    OUT_OF_SEQUENCE = 7
    LATE_FORM_T = 8
    OPENING_CROSS = 9
    OFFICIAL_OPEN = 10
    CLOSING_PRINT = 11
    EXTENDED = 12
    EXTENDED_SWEEP = 13
    EXTENDED_ODD = 14
    EXTENDED_AVERAGE = 15
    # of the company DRILL only
    UNLISTED = 16
    RESTRICTED = 17


CONDITION_SETS: Final[tuple[tuple[int, ...], ...]] = (
    (),
    (14,),
    (14, 41),
    (ODD_LOT,),
    (14, ODD_LOT),
    (2,),
    (10,),
    (32,),
    (FORM_T,),
    (9,),
    (16,),
    (8,),
    (FORM_T,),
    (14, FORM_T),
    (FORM_T, ODD_LOT),
    (2, FORM_T),
    (UNLISTED,),
    (SHORT_SALE_RESTRICTION,),
)


def updates(ids: tuple[int, ...], *, extended_hours_bar: bool) -> int:
    """What a trade with these conditions updates (bits HIGH_LOW, OPEN_CLOSE, VOLUME): the AND of their rules.

    On minute bars outside regular hours Form T has no effect: the trade sets prices unless another condition
    prevents it.
    """
    effect = _ALL
    for one in ids:
        effect &= _ALL if extended_hours_bar and one == FORM_T else _RULES[one]
    return effect


REGULAR_UPDATES: Final[Ints] = np.array([updates(ids, extended_hours_bar=False) for ids in CONDITION_SETS])
EXTENDED_UPDATES: Final[Ints] = np.array([updates(ids, extended_hours_bar=True) for ids in CONDITION_SETS])

# Prints that may lie outside the quotes in force: odd lots, late Form T, out of sequence, and official repeats.
OUTSIDE_QUOTES: Final = (
    TradeKind.ODD,
    TradeKind.ODD_SWEEP,
    TradeKind.OUT_OF_SEQUENCE,
    TradeKind.LATE_FORM_T,
    TradeKind.OFFICIAL_OPEN,
    TradeKind.EXTENDED_ODD,
)
