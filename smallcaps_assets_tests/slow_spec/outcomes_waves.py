"""Waves after events, point by point (research specification, sections 3.1 to 3.4)."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from smallcaps_assets_tests.slow_spec.bars import Row
from smallcaps_assets_tests.slow_spec.research_bars import MINUTE, micro

# time, price, number of its bar
Point = tuple[datetime, float, int]
OTHER = {"up": "down", "down": "up"}


def points_of(bars: Sequence[Row]) -> list[Point]:
    found = []
    for number, bar in enumerate(bars):
        inner = ["low", "high"] if micro(bar["close"]) >= micro(bar["open"]) else ["high", "low"]
        found += [(bar["timestamp"] + MINUTE, bar[name], number) for name in ("open", *inner, "close")]
    return found


def theta_of(bar_atr: float | None) -> float:
    return 0.02 if bar_atr is None else min(max(3 * bar_atr, 0.01), 0.10)


def zigzag(known_at: datetime, price: float, points: Sequence[Point], th: int) -> list[Row]:
    """The legs with `begun`, the time at which they are seen to begin, and the numbers of the bars of their ends."""
    pivot: Point = (known_at, price, -1)
    legs: list[Row] = []
    for point in points:
        u = micro(point[1])
        if not legs:
            if abs(u - micro(price)) * 10**6 >= th * micro(price):
                legs.append(_leg("up" if u > micro(price) else "down", pivot, point))
            continue
        leg = legs[-1]
        extreme = micro(leg["end"][1])
        gain = u - extreme if leg["direction"] == "up" else extreme - u
        if gain > 0:
            leg["end"] = point
        elif -gain * 10**6 >= th * extreme:
            leg["confirmed_at"] = point[0]
            legs.append(_leg(OTHER[leg["direction"]], leg["end"], point))
    return legs


def _leg(direction: str, start: Point, end: Point) -> Row:
    return {"direction": direction, "start": start, "end": end, "begun": end[0], "confirmed_at": None}


def wave_rows(event_id: str, legs: Sequence[Row], bars: Sequence[Row]) -> list[Row]:
    rows = []
    for number, leg in enumerate(legs):
        (start_at, start, first), (end_at, end, last) = leg["start"], leg["end"]
        before = legs[number - 1] if number else None
        rows.append(
            {
                "event_id": event_id,
                "leg": number + 1,
                "direction": leg["direction"],
                "start_at": start_at,
                "start_price": start,
                "end_at": end_at,
                "end_price": end,
                "return": end / start - 1,
                "duration_s": (end_at - start_at).total_seconds(),
                "volume": float(sum(bar["volume"] for bar in bars[first + 1 : last + 1])),
                "retracement": before
                and abs(micro(end) - micro(start)) / abs(micro(before["end"][1]) - micro(before["start"][1])),
                "confirmed_at": leg["confirmed_at"],
            }
        )
    return rows


def outcome_of(event: Row, day: Sequence[Row], closes: datetime, horizon_min: int = 60) -> tuple[list[Row], Row]:
    """The rows of both tables of one event.

    Args:
        event: event_id, timestamp, direction, and bar_atr of its bar.
        day: the bars of its symbol and date in sessions.
        closes: the end of after-hours.
        horizon_min: of the waves.
    """
    known_at, d = event["timestamp"] + MINUTE, 1 if event["direction"] == "up" else -1
    price = next(bar["close"] for bar in day if bar["timestamp"] == event["timestamp"])

    def until(minutes: int) -> list[Row]:
        return [bar for bar in day if known_at <= bar["timestamp"] < known_at + minutes * MINUTE]

    def close(minutes: int) -> float | None:
        found = [bar for bar in until(minutes) if bar["timestamp"] + MINUTE <= known_at + minutes * MINUTE]
        return found[-1]["close"] if found and known_at + minutes * MINUTE <= closes else None

    horizon = min(known_at + horizon_min * MINUTE, closes)
    theta = theta_of(event["bar_atr"])
    th = math.floor(10**6 * theta + 0.5)
    bars = [bar for bar in until(horizon_min) if bar["timestamp"] < horizon]
    legs = zigzag(known_at, price, points_of(bars), th)
    waves = wave_rows(event["event_id"], legs, bars)
    row: dict[str, Any] = {
        "event_id": event["event_id"],
        "theta": theta,
        "theta_default": event["bar_atr"] is None,
        "wave_horizon_s": (horizon - known_at).total_seconds(),
        "path_ambiguous_bars": sum(
            10**6 * (micro(bar["high"]) - micro(bar["low"])) >= th * micro(bar["low"]) for bar in bars
        ),
        "legs": len(legs),
        "confirmed_legs": sum(leg["confirmed_at"] is not None for leg in legs),
        "first_leg_direction": waves[0]["direction"] if waves else None,
        "first_leg_return": waves[0]["return"] if waves else None,
        "first_leg_s": waves[0]["duration_s"] if waves else None,
        "first_pullback": waves[1]["retracement"] if len(waves) > 1 else None,
    }
    for minutes in (1, 5, 10):
        last = close(minutes)
        row[f"velocity_{minutes}_bps_per_min"] = d * 1e4 * math.log(last / price) / minutes if last else None
    c5, c10, v5 = close(5), close(10), row["velocity_5_bps_per_min"]
    row["acceleration_10_bps_per_min2"] = (d * 1e4 * math.log(c10 / c5) / 5 - v5) / 5 if c5 and c10 else None
    for minutes in (5, 15, 30, 60):
        row |= excursion(minutes, known_at, d, until(5), points_of(until(minutes)))
    after = known_at + 15 * MINUTE
    first = zigzag(known_at, price, points_of(until(15)), th)
    row["outcome"] = None if after > closes else _outcome(d, price, first, close(15), after)
    return waves, row


def excursion(minutes: int, known_at: datetime, d: int, soon: Sequence[Row], points: Sequence[Point]) -> Row:
    names = [f"{kind}_{minutes}" for kind in ("mfe", "mae")]
    columns = [f"{name}_bps" for name in names] + [f"minutes_to_{name}" for name in names]
    if not soon:
        return dict.fromkeys([*columns, f"mfe_before_mae_{minutes}"])
    entry = soon[0]["open"]
    gains = [d * micro(price) for _, price, _ in points]
    places = [gains.index(max(gains)), gains.index(min(gains))]
    values = [1e4 * d * (points[place][1] / entry - 1) for place in places]
    values += [(points[place][0] - known_at) / MINUTE for place in places]
    before = None if places[0] == places[1] else places[0] < places[1]
    return {**dict(zip(columns, values, strict=True)), f"mfe_before_mae_{minutes}": before}


def _outcome(d: int, price: float, legs: Sequence[Row], last: float | None, after: datetime) -> str:
    begun = [leg for leg in legs if leg["begun"] <= after]
    if not begun:
        return "stall"
    if begun[0]["direction"] != ("up" if d > 0 else "down"):
        return "reversal"
    assert last is not None
    return "continuation" if d * (micro(last) - micro(price)) > 0 else "failed_continuation"
