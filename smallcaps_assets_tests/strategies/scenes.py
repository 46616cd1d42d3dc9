"""Scenes of a day in which detectors fire."""

from collections.abc import Callable
from typing import Final

from smallcaps_assets_tests.strategies.minutes import MinuteTape, quiet


def spike_up(tape: MinuteTape) -> None:
    tape.bar(tape.percent(tape.rng.choice([1.5, 2, 4])), volume=tape.rng.choice([6, 6, 8, 12, 25]), trades=2)
    for _ in range(tape.rng.randint(0, 2)):  # stays true for a while: one edge
        tape.bar(tape.percent(1.6), volume=tape.rng.choice([6, 8, 20]), trades=2)


def _spike_down(tape: MinuteTape) -> None:
    for _ in range(tape.rng.randint(1, 3)):
        tape.bar(-tape.percent(0.8), volume=1.2)
    tape.bar(-tape.percent(tape.rng.choice([1.5, 2.5])), volume=tape.rng.choice([6, 8, 15]), trades=2)


def _cooldown_edge(tape: MinuteTape) -> None:
    """Two spikes exactly 9, 10 or 11 (or 4, 5, 6 for the groups) minutes apart."""
    gap = tape.rng.choice([4, 5, 6, 9, 10, 10, 11])
    tape.bar(tape.percent(2), volume=tape.rng.choice([8, 10]))
    quiet(tape, gap - 1)
    tape.bar(tape.percent(2), volume=tape.rng.choice([8, 9, 20]))


def _reclaim(tape: MinuteTape) -> None:
    goal = tape.vwap_cents()
    for _ in range(tape.rng.randint(2, 4)):
        tape.bar(min(-1, round((goal * 0.988 - tape.cents) / 2)), volume=0.8)
    tape.bar(round(goal * 1.01) - tape.cents, volume=tape.rng.choice([1, 3]))
    for _ in range(tape.rng.randint(1, 4)):
        tape.bar(max(1, round(tape.vwap_cents() * 1.012) - tape.cents), volume=tape.rng.choice([1, 2, 4]))


def _rejection(tape: MinuteTape) -> None:
    tape.bar(round(tape.vwap_cents() * 0.995) - tape.cents, volume=0.8)
    poke = max(1, round(tape.vwap_cents()) - tape.cents + 2)
    tape.bar(-1, volume=0.8, above=poke)
    for step in range(tape.rng.randint(3, 6)):
        goal = round(tape.vwap_cents() * (0.99 - 0.002 * step))
        tape.bar(min(-1, goal - tape.cents), volume=tape.rng.choice([1, 2.5, 4]))


def _momentum_up(tape: MinuteTape) -> None:
    for _ in range(tape.rng.randint(5, 7)):
        tape.bar(tape.percent(0.7), volume=tape.rng.choice([1.2, 1.8, 2.5]), trades=1.2)


def _momentum_down(tape: MinuteTape) -> None:
    for step in range(tape.rng.randint(6, 9)):
        tape.bar(-tape.percent(0.3 + 0.3 * step), volume=tape.rng.choice([1, 1.5]), trades=1.2)


def _consolidation(tape: MinuteTape, sign: int) -> None:
    for index in range(tape.rng.randint(32, 36)):
        tape.bar((2, -2)[index % 2], volume=tape.rng.choice([1.0, 1.0, 0.8]), reach=2)
    tape.bar(sign * (tape.percent(1) + tape.rng.choice([4, 6, 10])), volume=tape.rng.choice([2, 3, 6]), trades=1.5)


def _tape_speed(tape: MinuteTape, sign: int) -> None:
    for _ in range(tape.rng.randint(1, 2)):
        tape.bar(sign * tape.rng.randint(1, 4), volume=1.5, trades=tape.rng.choice([3, 3, 4.9, 5, 6]))


def _flush(tape: MinuteTape) -> None:
    volume = 1.0
    for _ in range(tape.rng.randint(4, 6)):
        volume += tape.rng.choice([1, 1.5, 2])
        tape.bar(-tape.percent(2.4), volume=volume, trades=volume)
    if tape.rng.random() < 0.5:
        tape.bar(-tape.percent(1), volume=volume)  # volume of the bar before: no longer true


def _pause(tape: MinuteTape) -> None:
    """Minutes without a trade."""
    tape.minute += tape.rng.choice([1, 2, 5, 17, 40])


COMMON: Final[tuple[Callable[[MinuteTape], None], ...]] = (
    spike_up,
    _spike_down,
    _cooldown_edge,
    _reclaim,
    _rejection,
    _momentum_up,
    _momentum_down,
    lambda tape: _consolidation(tape, 1),
    lambda tape: _consolidation(tape, -1),
    lambda tape: _tape_speed(tape, 1),
    lambda tape: _tape_speed(tape, -1),
    _flush,
    _pause,
)
