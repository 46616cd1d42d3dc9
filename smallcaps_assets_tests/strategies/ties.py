"""Ties: scenes that leave prices and volumes at which a threshold is met exactly, or missed by a cent or a bar."""

from collections.abc import Callable
from typing import Final

from smallcaps_assets_tests.strategies.minutes import MinuteTape


def level(tape: MinuteTape, cents: int, bars: int = 8, shares: float = 0) -> None:
    """The price jumps to `cents` and stays there."""
    tape.cents = cents
    for _ in range(bars):
        tape.bar(reach=0, shares=shares)


def _new_high(tape: MinuteTape) -> int:
    """The day's high becomes a whole number of dollars."""
    highs: list[int] = [tape.cents, *(round(row["high"] * 100) for row in tape.rows)]
    top = 100 * (1 + max(highs) // 100)
    tape.bar(top - tape.cents, volume=1.2, reach=0)
    return top


def _tie_volume(tape: MinuteTape) -> None:
    shares = 10_000 if 9 * 60 + 30 <= tape.minute < 16 * 60 else 15_000
    level(tape, 490, bars=14, shares=1_000)
    tape.bar(tape.rng.choice([10, 10, 9]), reach=0, shares=tape.rng.choice([shares, shares, shares - 1]))


def _tie_range(tape: MinuteTape) -> None:
    level(tape, tape.rng.choice([1000, 2000, 400]))
    tape.bar(round(tape.cents * 0.015), reach=0, volume=25)


def _tie_price_filter(tape: MinuteTape) -> None:
    level(tape, 97, bars=22, shares=20_000)
    tape.bar(tape.rng.choice([3, 3, 2]), reach=0, shares=200_000)
    level(tape, 49_000, bars=22)
    tape.bar(tape.rng.choice([1000, 1000, 1001]), reach=0, volume=60)
    tape.cents = 1000


def _tie_from_high(tape: MinuteTape) -> None:
    top = _new_high(tape)
    for _ in range(tape.rng.choice([1, 2, 2])):
        tape.bar(-1, reach=0)
    tape.bar(round(top * 0.98) - tape.cents + tape.rng.choice([0, 0, 1]), reach=0, above=2, volume=25)


def _tie_return(tape: MinuteTape) -> None:
    level(tape, 2000, bars=9)
    change = tape.rng.choice([60, -70])
    for step in (0, 0, 0, 0, change):
        tape.bar(step, reach=0, volume=2 if step else 1)


def _tie_acceleration(tape: MinuteTape) -> None:
    level(tape, 2000, bars=6)
    for step in (-20, -20, -20, -20, -20, -20, -20, -20, -20, tape.rng.choice([-34, -34, -33])):  # -5 %, then -6 %
        tape.bar(step, reach=0)


def _tie_flush(tape: MinuteTape) -> None:
    """8 % below the high, and a lower close just inside or just outside the last 15 bars."""
    top = _new_high(tape)
    if tape.rng.random() < 0.6:
        tape.bar(round(top * 0.9) - tape.cents, reach=0)
        tape.bar(round(top * 0.97) - tape.cents, reach=0)
        level(tape, tape.cents, bars=tape.rng.choice([9, 10, 10, 11]))
    for share, volume in ((0.96, 2), (0.95, 2.5), (0.94, 3), (0.92, 6)):
        tape.bar(round(top * share) - tape.cents, reach=0, volume=volume)


def _tie_rejection(tape: MinuteTape) -> None:
    """The failed reclaim lies exactly 10 or 11 bars before the loud bar."""
    for _ in range(3):
        tape.bar(round(tape.vwap_cents() * 0.994) - tape.cents, reach=0, volume=0.5)
    tape.bar(-1, reach=0, volume=0.5, above=max(1, round(tape.vwap_cents()) - tape.cents + 2))
    for _ in range(tape.rng.choice([6, 7, 7, 8])):
        tape.bar(round(tape.vwap_cents() * 0.994) - tape.cents, reach=0, volume=0.5)
    for volume in (0.5, 0.5, 4):
        tape.bar(round(tape.vwap_cents() * 0.988) - tape.cents, reach=0, volume=volume)


def _tie_consolidation(tape: MinuteTape) -> None:
    sign = tape.rng.choice([1, -1])
    tape.cents = 2000
    for index in range(34):
        tape.bar(sign * (4, -4)[(index + (sign > 0)) % 2], reach=0)
    goal = 2000 + sign * 20 if tape.cents <= 2004 else tape.cents
    tape.bar(goal - tape.cents, reach=0, volume=4)


TIES: Final[tuple[Callable[[MinuteTape], None], ...]] = (
    _tie_volume,
    _tie_range,
    _tie_from_high,
    _tie_return,
    _tie_acceleration,
    _tie_flush,
    _tie_rejection,
    _tie_consolidation,
    _tie_price_filter,
)
