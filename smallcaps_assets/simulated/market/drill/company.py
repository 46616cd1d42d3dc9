"""The company DRILL, an optional one of the simulated market: what the research tables must find is planted in it."""

from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Final

from smallcaps_assets.simulated.hours import REGULAR_CLOSE, TradingDay, business_day
from smallcaps_assets.simulated.market.listings import Listing, Split
from smallcaps_assets.simulated.market.noise import Noise
from smallcaps_assets.simulated.market.stories import Part, Story, Tale

# five letters, which no other company of the simulated market has
DRILL_SYMBOL: Final = "DRILL"
_INDEX: Final = 100_010
_BASE_CENTS: Final = 1600
_SPLIT: Final = Split(date(2025, 11, 20), ratio=4)


class Theme(StrEnum):
    """What the regular hours of a day of DRILL are about."""

    PAUSE = "pause"
    COLLAPSE = "collapse"
    SURGE = "surge"
    DIP = "dip"
    LOSS = "loss"
    QUIET = "quiet"


# by weekday, in turn; mostly quiet, so that the volume of the other days stands out
_THEMES: Final = (
    Theme.PAUSE,
    Theme.QUIET,
    Theme.COLLAPSE,
    Theme.SURGE,
    Theme.LOSS,
    Theme.QUIET,
    Theme.DIP,
    *(Theme.QUIET for _ in range(5)),
)
_TALES: Final = {
    Theme.PAUSE: (Tale.PAUSE, "up"),
    Theme.COLLAPSE: (Tale.COLLAPSE, "down"),
    Theme.SURGE: (Tale.SURGE, "up"),
    Theme.DIP: (Tale.DIP, "down"),
    Theme.LOSS: (Tale.SURGE, "up"),
}
# minutes from 04:00 New York time in which the story of a day happens
_USUAL: Final = (450, 500)
_EARLY_CLOSE: Final = (400, 410)


class DrillCompany(Listing):
    """DRILL under a seed: a level without gaps, so that a fall of a tenth from the prior close is a planted one."""

    def __init__(self, seed: int) -> None:
        super().__init__(_INDEX, DRILL_SYMBOL, seed)

    @cached_property
    def base_cents(self) -> int:
        """The long-term mean price in cents."""
        return _BASE_CENTS

    @cached_property
    def split(self) -> Split | None:
        """The one reverse split."""
        return _SPLIT

    def level_cents(self, day: date) -> int:
        """The opening price level of a day in cents, as traded: within 0.6 percent of the base."""
        level = _BASE_CENTS * (1000 + Noise(self.seed, self.symbol, "level", day.isoformat()).one(0, -6, 6)) // 1000
        return level // _SPLIT.ratio if day < _SPLIT.day else level


def theme_of(session: TradingDay) -> Theme:
    """The theme of a day."""
    return _THEMES[business_day(session.day) % len(_THEMES)]


def drill_stories(company: DrillCompany, session: TradingDay) -> tuple[Story, ...]:
    """The one story of a day of DRILL; none on a quiet day."""
    theme = theme_of(session)
    if theme is Theme.QUIET:
        return ()
    tale, direction = _TALES[theme]
    noise = Noise(company.seed, company.symbol, session.day.isoformat(), "stories")
    minute = noise.one(0, *(_USUAL if session.close == REGULAR_CLOSE else _EARLY_CLOSE))
    return (Story(tale, direction, Part.MIDDAY, minute, strong=True, number=0),)
