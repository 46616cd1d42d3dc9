"""The companies of the simulated market: names, price levels, shares, splits. All derived from seed and index."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Final

from smallcaps_assets.errors import InputError
from smallcaps_assets.simulated.hours import business_day, trading_dates
from smallcaps_assets.simulated.market.noise import Noise

# Special cases: a class share with a dot, a preferred share with a lower-case letter, a name that reads like a null.
FIRST_NAMES: Final = ("AVLO", "BNRX", "CRVO", "DRFT", "EMBR", "FNTA", "GRVE.B", "HLXA", "IRVN", "KLMpA", "NA", "ZZRO")
SILENT_SYMBOL: Final = "ZZRO"
FIRST_PRICES_USD_CENTS: Final = (480, 260, 740, 1400, 360, 1800, 3100, 190, 560, 920, 650, 1000)
MAX_SYMBOLS: Final = 100_000
# before it no company of the simulated market trades
HISTORY_BEGINS: Final = date(2015, 1, 2)

_CODES: Final = 26**4
_STRIDE: Final = 7919  # shares no factor with 26**4, so every index has a different code
_SPLIT_CENTRE: Final = date(2025, 11, 5)
# Remainders of the index that select the special symbols.
_ONE_IN_TWELVE_IS_ADRC: Final = 8
_ONE_IN_SIX_HAS_SMALL_FLOAT: Final = 4
_ONE_IN_SIX_HAS_UNKNOWN_FLOAT: Final = 5
_ONE_IN_NINE_SPLITS: Final = 3
_ONE_IN_FOUR_IS_FRACTIONAL: Final = 2
_DEAR_CENTS: Final = 1600
_VENUES: Final = (("XNAS", 3), ("XNYS", 1), ("XASE", 2))


@dataclass(frozen=True)
class Split:
    """A reverse split: `ratio` old shares became one on the morning of `day`."""

    day: date
    ratio: int


@dataclass(frozen=True)
class Listing:
    """One symbol and its constant properties."""

    index: int
    symbol: str
    seed: int

    @cached_property
    def _noise(self) -> Noise:
        return Noise(self.seed, self.symbol, "listing")

    @property
    def is_silent(self) -> bool:
        """Whether the symbol is listed and never trades."""
        return self.symbol == SILENT_SYMBOL or (self.index >= len(FIRST_NAMES) and self.index % 97 == 0)

    @cached_property
    def base_cents(self) -> int:
        """The long-term mean price in cents, 190 to 3400."""
        if self.index < len(FIRST_PRICES_USD_CENTS):
            return FIRST_PRICES_USD_CENTS[self.index]
        steps = (190, 260, 340, 450, 590, 760, 980, 1250, 1700, 2300, 3100)
        step = steps[self._noise.one(0, 0, len(steps) - 1)]
        return step + self._noise.one(1, 0, step // 10)

    @cached_property
    def dollars_per_minute(self) -> int:
        """Dollars traded in a calm regular minute of a calm day: 7,000 to 20,000, and at least 450 shares."""
        return max(self._noise.one(2, 7, 20) * 1000, self.base_cents * 450 // 100)

    @cached_property
    def trades_per_minute(self) -> int:
        """Trades in a calm regular minute, 5 to 9."""
        return self._noise.one(3, 5, 9)

    @property
    def has_fractional_sizes(self) -> bool:
        """Whether some odd lots of this symbol are fractions of a share."""
        return self.index % 4 == _ONE_IN_FOUR_IS_FRACTIONAL

    @property
    def type(self) -> str:
        """The vendor's ticker type: CS, or ADRC for one in twelve."""
        return "ADRC" if self.index % 12 == _ONE_IN_TWELVE_IS_ADRC else "CS"

    @cached_property
    def venue(self) -> tuple[str, int]:
        """The primary exchange's MIC and its tape."""
        return _VENUES[self._noise.one(4, 0, 5) % 4 % len(_VENUES)]

    @cached_property
    def float_shares(self) -> int | None:
        """Free float: mostly 12 to 60 million, one in six below 5 million, one in six unknown."""
        if self.index % 6 == _ONE_IN_SIX_HAS_UNKNOWN_FLOAT:
            return None
        low, high = (2_000, 4_900) if self.index % 6 == _ONE_IN_SIX_HAS_SMALL_FLOAT else (12_000, 60_000)
        return self._noise.one(5, low, high) * 1000

    @cached_property
    def shares_outstanding(self) -> int:
        """All shares; the float is 60 to 90 percent of them."""
        free = self.float_shares if self.float_shares is not None else 20_000_000
        return free * 100 // self._noise.one(6, 60, 90)

    @cached_property
    def split(self) -> Split | None:
        """The one reverse split of a symbol in nine; around November 2025 for the first of them."""
        if self.index % 9 != _ONE_IN_NINE_SPLITS:
            return None
        shift = 0 if self.index < len(FIRST_NAMES) else self._noise.one(7, -300, 300)
        day = trading_dates(_SPLIT_CENTRE + timedelta(days=shift), _SPLIT_CENTRE + timedelta(days=shift + 7))[0]
        return Split(day, ratio=8 if self.base_cents < _DEAR_CENTS else 10)

    def level_cents(self, day: date) -> int:
        """The opening price level of a day in cents, as traded: slow noise around the base, with occasional gaps."""
        knot, step = divmod(business_day(day), 10)
        here, there = (Noise(self.seed, self.symbol, "knot", at).one(0, -150, 150) for at in (knot, knot + 1))
        slow = here + (there - here) * step // 10
        today = Noise(self.seed, self.symbol, "gap", day.isoformat())
        gap = today.one(1, -90, 90) if today.one(0, 0, 7) == 0 else today.one(2, -15, 15)
        level = self.base_cents * (1000 + slow) * (1000 + gap) // 1_000_000
        if self.split is not None and day < self.split.day:
            level //= self.split.ratio
        return max(level, 120)


def list_companies(seed: int, count: int) -> tuple[Listing, ...]:
    """The first `count` companies; a longer market begins with the shorter one.

    Raises:
        InputError: `count` is below 1 or above 100,000.
    """
    if not 1 <= count <= MAX_SYMBOLS:
        raise InputError(f"symbols={count} is not usable: a simulated market has 1 to {MAX_SYMBOLS:,} symbols.")
    names = list(FIRST_NAMES[:count])
    taken = set(FIRST_NAMES)
    code = 0
    while len(names) < count:
        name = _four_letters((code * _STRIDE + 101_111) % _CODES)
        code += 1
        if name not in taken:
            names.append(name)
    return tuple(Listing(index, name, seed) for index, name in enumerate(names))


def _four_letters(code: int) -> str:
    letters = []
    for _ in range(4):
        code, letter = divmod(code, 26)
        letters.append(chr(ord("A") + letter))
    return "".join(letters)
