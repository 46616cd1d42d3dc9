"""Section 3 of the specification read bar by bar, in plain Python: slow, and only good to judge planted events."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import log, log10
from statistics import median

import polars as pl

MIN_HISTORY = 5


@dataclass(frozen=True)
class Day:
    """One symbol's bars of one date, in time order."""

    rows: list[dict[str, float]]
    open_at: datetime
    close_at: datetime

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, float]:
        return self.rows[i]

    def at(self, moment: datetime) -> int | None:
        return next((i for i, row in enumerate(self.rows) if row["timestamp"] == moment), None)

    def session(self, i: int) -> str:
        moment = self[i]["timestamp"]
        return "PM" if moment < self.open_at else "RTH" if moment < self.close_at else "AH"

    def before(self, i: int, name: str, count: int = 20) -> list[float]:
        return [row[name] for row in self.rows[max(i - count, 0) : i]]

    def spike_x(self, i: int) -> float:
        past = self.before(i, "volume")
        return self[i]["volume"] / median(past) if len(past) >= MIN_HISTORY else 0.0

    def return_5(self, i: int) -> float | None:
        return self[i]["close"] / self[i - 5]["close"] - 1 if i >= 5 else None

    def day_high(self, i: int) -> float:
        return max(row["high"] for row in self.rows[: i + 1])

    def drawdown(self, i: int) -> float:
        return (self.day_high(i) - self[i]["close"]) / self.day_high(i)

    def run(self, i: int, sign: int) -> int:
        count = 0
        while count <= i and sign * (self[i - count]["close"] - self[i - count]["open"]) > 0:
            count += 1
        return count

    def _running_vwap(self, first: int) -> list[float | None]:
        paid = volume = 0.0
        result: list[float | None] = [None] * first
        for row in self.rows[first:]:
            paid += (row["high"] + row["low"] + row["close"]) / 3 * row["volume"]
            volume += row["volume"]
            result.append(round(paid / volume, 10))
        return result

    @cached_property
    def first_rth(self) -> int:
        return next((i for i, row in enumerate(self.rows) if row["timestamp"] >= self.open_at), len(self))

    @cached_property
    def vwap_rth(self) -> list[float | None]:
        return self._running_vwap(self.first_rth)

    @cached_property
    def vwap_premarket(self) -> list[float | None]:
        return self._running_vwap(0)

    def vwap_session(self, i: int) -> float:
        value = self.vwap_rth[i] if i >= self.first_rth else self.vwap_premarket[i]
        assert value is not None
        return value


Condition = Callable[[Day, int, int], bool]


def volume_spike(day: Day, i: int, sign: int) -> bool:
    bar = day[i]
    times, shares, dollars = (6.0, 10_000, 50_000) if day.session(i) == "RTH" else (8.0, 15_000, 75_000)
    loud = day.spike_x(i) >= times and bar["volume"] >= shares and bar["close"] * bar["volume"] >= dollars
    wide = (bar["high"] - bar["low"]) / bar["open"] >= 0.015
    if sign > 0:
        return loud and wide and bar["close"] > bar["open"]
    return loud and wide and bar["close"] < bar["open"] and day.run(i, -1) >= 2 and day.drawdown(i) >= 0.02


def price_momentum(day: Day, i: int, sign: int) -> bool:
    move = day.return_5(i)
    if move is None:
        return False
    if sign > 0:  # only a rise needs volume
        return day.spike_x(i) >= 1.8 and move >= 0.030 and day[i]["close"] > max(day.before(i, "high"))
    earlier = day.return_5(i - 5)
    faster = earlier is not None and abs(move) / max(abs(earlier), 0.001) >= 1.2
    return move <= -0.035 and day[i]["close"] < min(day.before(i, "low")) and faster


def consolidation_break(day: Day, i: int, sign: int) -> bool:
    if i < 30:
        return False
    top, bottom = max(day.before(i, "high", 30)), min(day.before(i, "low", 30))
    atr = median((row["high"] - row["low"]) / row["open"] for row in day.rows[i - 20 : i])
    flat = atr > 0 and (top - bottom) / day[i - 1]["close"] / (atr * 30**0.5) <= 0.5
    beyond = day[i]["close"] >= top * 1.010 if sign > 0 else day[i]["close"] <= bottom * 0.990
    return flat and day.spike_x(i) >= 2.0 and beyond


def opening_range_break(day: Day, i: int, sign: int) -> bool:
    opening = [row for row in day.rows if 0 <= (row["timestamp"] - day.open_at).total_seconds() < 900]
    after = (day[i]["timestamp"] - day.open_at).total_seconds() >= 900
    if day.session(i) != "RTH" or not after or len(opening) < 3 or day.spike_x(i) < 1.8:
        return False
    if sign > 0:
        return day[i]["close"] >= max(row["high"] for row in opening) * 1.005
    return day[i]["close"] <= min(row["low"] for row in opening) * 0.995


def tape_speed(day: Day, i: int, sign: int) -> bool:
    past = day.before(i, "transactions")
    busy = len(past) >= MIN_HISTORY and day[i]["transactions"] / (sum(past) / len(past)) >= 3.0
    return busy and day[i]["transactions"] >= 50 and sign * (day[i]["close"] - day[i]["open"]) > 0


def flush(day: Day, i: int, sign: int) -> bool:
    bar = day[i]
    lowest = bar["close"] <= min(row["close"] for row in day.rows[max(i - 14, 0) : i + 1])
    falling = sign < 0 and day.run(i, -1) >= 3 and i > 0 and bar["volume"] > day[i - 1]["volume"]
    return falling and lowest and day.drawdown(i) >= 0.08 and day.spike_x(i) >= 4.0


def _beyond_vwap(day: Day, i: int, sign: int) -> bool:
    vwap = day.vwap_rth[i]
    if vwap is None:
        return False
    close = day[i]["close"]
    return close >= vwap * 1.006 if sign > 0 else close <= vwap * (1 - 0.008)


def vwap_break(day: Day, i: int, sign: int) -> bool:
    """Whether the event is at this bar, the first of its run where everything holds."""
    if not _beyond_vwap(day, i, sign):
        return False
    first = i
    while first > 0 and _beyond_vwap(day, first - 1, sign):
        first -= 1
    holding = [j for j in range(first, i + 1) if _vwap_holds(day, j, first, sign)]
    return bool(holding) and holding[0] == i


def _vwap_holds(day: Day, i: int, first: int, sign: int) -> bool:
    rth = range(day.first_rth, len(day))
    if sign > 0:
        below = any(day[j]["close"] < (day.vwap_rth[j] or 0) for j in rth if j < first)
        return i - first + 1 >= 2 and day.spike_x(i) >= 2.0 and below
    recent = (j for j in rth if i - 10 <= j < i)
    failed = any(day[j]["high"] >= (vwap := day.vwap_rth[j] or 0) and day[j]["close"] < vwap for j in recent)
    return i - first + 1 >= 3 and day.spike_x(i) >= 2.5 and failed


CONDITIONS: dict[str, Condition] = {
    "volume_spike": volume_spike,
    "price_momentum": price_momentum,
    "consolidation_break": consolidation_break,
    "opening_range_break": opening_range_break,
    "tape_speed": tape_speed,
    "flush": flush,
    "vwap_break": vwap_break,
}


def is_event(day: Day, i: int, event_type: str, direction: str) -> bool:
    """Whether bar `i` is an event: an edge, the first of the day, or the first of a run, as its detector has it."""
    sign = 1 if direction == "up" else -1
    holds = CONDITIONS[event_type]
    if event_type == "opening_range_break":
        return holds(day, i, sign) and not any(holds(day, j, sign) for j in range(i))
    if event_type == "vwap_break":
        return holds(day, i, sign)
    return holds(day, i, sign) and not (i > 0 and holds(day, i - 1, sign))


def score(day: Day, i: int, direction: str) -> float:
    """Section 4 of the specification."""
    bar, move = day[i], day.return_5(i)
    parts = (
        (0.30, log(max(day.spike_x(i), 1e-9)) / log(50)),
        (0.25, abs(move if move is not None else bar["close"] / bar["open"] - 1) / 0.10),
        (0.20, log10(bar["close"] * bar["volume"] / 50_000) / 2),
        (0.15, day.run(i, 1 if direction == "up" else -1) / 5),
        (0.10, abs(bar["close"] / day.vwap_session(i) - 1) / 0.05),
    )
    return sum(weight * min(max(value, 0.0), 1.0) for weight, value in parts)


def day_of(bars: pl.DataFrame, open_at: datetime, close_at: datetime) -> Day:
    return Day(bars.sort("timestamp").to_dicts(), open_at, close_at)
