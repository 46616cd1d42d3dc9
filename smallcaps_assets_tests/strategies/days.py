"""Days made of scenes, of every kind that vendors deliver."""

import random
from datetime import UTC, date
from typing import Final

from smallcaps_assets_tests.strategies.minutes import MinuteTape, quiet
from smallcaps_assets_tests.strategies.scenes import COMMON, spike_up
from smallcaps_assets_tests.strategies.sessions import EASTERN, Row
from smallcaps_assets_tests.strategies.ties import TIES, level

SCENES: Final = (*COMMON, *COMMON, *TIES)


def _opening_range(tape: MinuteTape) -> None:
    """Fifteen minutes that set the range, then a close at or beyond 0.5 % of its edge."""
    opened, sign = tape.cents, tape.rng.choice([1, -1])
    tape.minute = max(tape.minute, 9 * 60 + 30 + tape.rng.choice([0, 0, 0, 0, 1, 12, 13]))
    first, frozen = len(tape.rows), tape.rng.random() < 0.4
    tape.cents = tape.rng.choice([1000, 2000, 1010, 999]) if frozen else tape.cents  # a price that never moves
    while tape.minute < 9 * 60 + 45:
        step = 0 if frozen else tape.rng.choice([-1, 0, 1])
        shares = tape.rng.choice([0, 1234.567, 3333.1]) if frozen else 0
        tape.bar(step, volume=tape.rng.choice([1.0, 2.0]), reach=not frozen, shares=shares)
    if not frozen:
        quiet(tape, tape.rng.choice([0, 0, 3]))
    opening = tape.rows[first:] or [{"high": opened / 100, "low": opened / 100}]
    edge = max(row["high"] for row in opening) if sign > 0 else min(row["low"] for row in opening)
    goal = round(edge * 100 * (1 + sign * 0.005)) + sign * tape.rng.choice([0, 0, 2])
    tape.bar(goal - tape.cents, volume=tape.rng.choice([1.8, 4, 6]))
    if frozen:
        tape.bar(sign * tape.percent(0.8), volume=6)


def _round_day(tape: MinuteTape) -> None:
    """A day of exactly 500,000 or 1,000,000 dollars with a loud green or red bar, or one share less."""
    tape.minute = tape.rng.choice([8 * 60, 9 * 60 + 30, 10 * 60])
    bars, step = tape.rng.choice([(40, 10), (90, -10)])
    tape.trades_known = True
    level(tape, 500, bars=bars, shares=2_000)
    tape.cents -= step
    tape.bar(step, reach=0, shares=tape.rng.choice([20_000, 20_000, 19_999]), trades=6)


def _play(tape: MinuteTape, until: int) -> None:
    """Scenes with quiet minutes between them, up to a minute of the day."""
    while tape.minute < until:
        if tape.cents < 150 or tape.cents > 6000:  # back to a range where a cent is neither large nor negligible
            tape.cents = tape.rng.choice([400, 800, 1000, 1600])
        quiet(tape, tape.rng.choice([0, 2, 6, 12, 24]))
        tape.rng.choice(SCENES)(tape)


DAY_KINDS: Final = (
    "full",
    "full",
    "full",
    "full",
    "regular",
    "premarket",
    "after",
    "single",
    "stub",
    "thin",
    "gaps",
    "round",
)


def day_of_scenes(rng: random.Random, symbol: str, day: date, cents: int, base: int) -> tuple[list[Row], int]:  # noqa: C901
    tape = MinuteTape(rng, symbol, day, cents, base)
    kind = rng.choice(DAY_KINDS)
    if kind == "single":
        tape.minute = rng.choice([4 * 60, 9 * 60 + 29, 9 * 60 + 30, 12 * 60 + 59, 13 * 60, 16 * 60, 19 * 60 + 59])
        tape.bar(3, volume=20)
        return tape.rows, tape.cents
    if kind == "round":
        _round_day(tape)
        return tape.rows, tape.cents
    if kind in ("full", "premarket", "gaps"):
        tape.minute = rng.choice([4 * 60, 7 * 60, 8 * 60 + 10])
        _play(tape, min(tape.minute + 90, 9 * 60))
    if kind not in {"premarket", "after"}:
        tape.minute = max(tape.minute, 9 * 60 + 30)
        if rng.random() < 0.7:
            _opening_range(tape)
        elif rng.random() < 0.7:
            spike_up(tape)  # loud from the first bar on
        _play(tape, rng.choice([10 * 60, 10 * 60 + 20, 11 * 60 + 30]))
        if kind == "full":
            tape.minute = max(tape.minute, rng.choice([12 * 60 + 30, 13 * 60 + 45]))
            _play(tape, tape.minute + 75)
    if kind in ("full", "after", "gaps"):
        tape.minute = max(tape.minute, 15 * 60 + 40)
        _play(tape, rng.choice([16 * 60 + 40, 17 * 60 + 30]))
    if kind == "full" and rng.random() < 0.3:  # the last minutes of the day and some outside it
        tape.minute = max(tape.minute, 19 * 60 + 50)
        quiet(tape, 13)
    rows = tape.rows
    if kind == "stub":
        rows = rows[: rng.randint(1, 12)]
    if kind in ("thin", "gaps"):
        rows = [row for row in rows if rng.random() > 0.12]
    if rng.random() < 0.15:
        rows = [_moved(row, hour=3, minute=59) for row in rows[:1]] + rows
    return rows, tape.cents


def _moved(row: Row, *, hour: int, minute: int) -> Row:
    moment = row["timestamp"].astimezone(EASTERN).replace(hour=hour, minute=minute)
    return {**row, "timestamp": moment.astimezone(UTC)}
