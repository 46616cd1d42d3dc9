"""The stories of a day, and the script that assigns stories to days.

A script names up to three stories with the part of the day in which each happens. Scripts rotate over symbols and
weekdays, so any month of a dozen symbols contains every story several times; about half of the days are quiet.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smallcaps_assets.simulated.hours import REGULAR_CLOSE, TradingDay, business_day
from smallcaps_assets.simulated.market.listings import Listing
from smallcaps_assets.simulated.market.noise import Noise


class Part(StrEnum):
    """When on the day a story happens."""

    PREMARKET = "premarket"
    DRIVE = "drive"
    MIDDAY = "midday"
    LATE = "late"
    AFTER = "after"


class Tale(StrEnum):
    """What happens in a story; its direction is separate."""

    SPIKE = "spike"
    BASE_BREAK = "base_break"
    OPENING_DRIVE = "opening_drive"
    RECLAIM = "reclaim"
    REJECTION = "rejection"
    BURST = "burst"
    FLUSH = "flush"
    HALT = "halt"
    STAMPEDE = "stampede"
    # of the company DRILL only
    SURGE = "surge"
    PAUSE = "pause"
    COLLAPSE = "collapse"
    DIP = "dip"


@dataclass(frozen=True)
class Story:
    """One story of a day. `minute` is that of its decisive bar, counted from 04:00 New York time."""

    tale: Tale
    direction: str
    part: Part
    minute: int
    strong: bool
    number: int

    @property
    def sign(self) -> int:
        """1 upwards, -1 downwards."""
        return 1 if self.direction == "up" else -1

    @property
    def name(self) -> str:
        """A readable name such as `strong opening_drive up, drive`."""
        return f"{'strong' if self.strong else 'weak'} {self.tale} {self.direction}, {self.part}"


_Scene = tuple[Part, Tale, str]
QUIET: Final[tuple[_Scene, ...]] = ()
SCRIPTS: Final[tuple[tuple[_Scene, ...], ...]] = (
    ((Part.PREMARKET, Tale.SPIKE, "up"), (Part.MIDDAY, Tale.FLUSH, "down")),
    QUIET,
    ((Part.DRIVE, Tale.OPENING_DRIVE, "up"), (Part.AFTER, Tale.SPIKE, "up")),
    QUIET,
    ((Part.DRIVE, Tale.OPENING_DRIVE, "down"), (Part.AFTER, Tale.BURST, "up")),
    QUIET,
    ((Part.MIDDAY, Tale.BASE_BREAK, "up"),),
    QUIET,
    ((Part.MIDDAY, Tale.RECLAIM, "up"),),
    QUIET,
    ((Part.MIDDAY, Tale.REJECTION, "down"), (Part.AFTER, Tale.SPIKE, "down")),
    QUIET,
    ((Part.PREMARKET, Tale.SPIKE, "down"), (Part.LATE, Tale.BURST, "up")),
    QUIET,
    ((Part.AFTER, Tale.RECLAIM, "up"),),
    QUIET,
    ((Part.MIDDAY, Tale.HALT, "up"), (Part.AFTER, Tale.FLUSH, "down")),
    QUIET,
    ((Part.PREMARKET, Tale.BASE_BREAK, "up"), (Part.LATE, Tale.BASE_BREAK, "down")),
    QUIET,
    ((Part.AFTER, Tale.REJECTION, "down"),),
    QUIET,
    ((Part.DRIVE, Tale.OPENING_DRIVE, "up"), (Part.LATE, Tale.SPIKE, "down"), (Part.AFTER, Tale.BASE_BREAK, "up")),
    QUIET,
    ((Part.PREMARKET, Tale.FLUSH, "down"), (Part.LATE, Tale.SPIKE, "up")),
    QUIET,
    ((Part.PREMARKET, Tale.BASE_BREAK, "down"), (Part.MIDDAY, Tale.BURST, "down"), (Part.AFTER, Tale.BURST, "down")),
    QUIET,
    ((Part.PREMARKET, Tale.BURST, "up"), (Part.AFTER, Tale.BASE_BREAK, "down")),
    QUIET,
    ((Part.PREMARKET, Tale.BURST, "down"), (Part.DRIVE, Tale.OPENING_DRIVE, "down"), (Part.LATE, Tale.HALT, "down")),
)
_STAMPEDE_EVERY: Final = 613
_STAMPEDE_PHASE: Final = 469
_STRONG_PCT: Final = 65

_REGULAR: Final = {
    Part.PREMARKET: (130, 290),
    Part.DRIVE: (352, 380),
    Part.MIDDAY: (450, 550),
    Part.LATE: (610, 690),
    Part.AFTER: (775, 870),
}
_EARLY_CLOSE: Final = {
    Part.PREMARKET: (130, 290),
    Part.DRIVE: (352, 372),
    Part.MIDDAY: (430, 445),
    Part.LATE: (500, 520),
    Part.AFTER: (595, 690),
}


def draw_stories(listing: Listing, session: TradingDay) -> tuple[Story, ...]:
    """The stories of a symbol's day in the order of the clock; empty on quiet days and for silent symbols."""
    if listing.is_silent:
        return ()
    noise = Noise(listing.seed, listing.symbol, session.day.isoformat(), "stories")
    windows = _REGULAR if session.close == REGULAR_CLOSE else _EARLY_CLOSE
    return tuple(
        Story(tale, direction, part, noise.one(2 * number, *windows[part]), _is_strong(noise, number, tale), number)
        for number, (part, tale, direction) in enumerate(_script(listing, session))
    )


def _script(listing: Listing, session: TradingDay) -> tuple[_Scene, ...]:
    weekday = business_day(session.day)
    if (weekday + 37 * listing.index) % _STAMPEDE_EVERY == _STAMPEDE_PHASE:
        return ((Part.MIDDAY, Tale.STAMPEDE, "up"),)
    offset = Noise(listing.seed, "scripts").one(0, 0, len(SCRIPTS) - 1)
    return SCRIPTS[(weekday * 3 + listing.index * 7 + offset) % len(SCRIPTS)]


def _is_strong(noise: Noise, number: int, tale: Tale) -> bool:
    return tale is Tale.STAMPEDE or noise.one(2 * number + 1, 0, 99) < _STRONG_PCT
