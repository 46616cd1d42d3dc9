"""Detectors, filters, score, deduplication (sections 3 and 4)."""

import hashlib
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from smallcaps_assets.domain.tables import DIRECTIONS, EVENTS
from smallcaps_assets_tests.slow_spec.bars import Row, by_day, featured_days, range_before, rth_open
from smallcaps_assets_tests.slow_spec.params import DEFAULTS, Params

Day = list[Row]
Condition = Callable[[Day, int, str, Params], bool]


def _ge(left: float | None, right: float | None) -> bool:
    return left is not None and right is not None and left >= right


def _le(left: float | None, right: float | None) -> bool:
    return left is not None and right is not None and left <= right


def _gt(left: float | None, right: float | None) -> bool:
    return left is not None and right is not None and left > right


def _ratio(numerator: float, denominator: float) -> float:
    """Float64 division."""
    if denominator:
        return numerator / denominator
    return math.copysign(math.inf, numerator) if numerator else math.nan


def _off_high(bar: Row) -> float:
    return float((bar["day_high"] - bar["close"]) / bar["day_high"])


def _volume_spike(day: Day, index: int, direction: str, params: Params) -> bool:
    bar, rule = day[index], params["volume_spike"]
    session = bar["session"]
    loud = (
        _ge(bar["spike_x"], rule["spike_x"][session])
        and bar["volume"] >= rule["volume"][session]
        and bar["dollar_volume"] >= rule["dollar_volume"][session]
        and (bar["high"] - bar["low"]) / bar["open"] >= rule["min_range"]
    )
    if direction == "up":
        return loud and bar["close"] > bar["open"]
    falling = bar["close"] < bar["open"] and bar["red_run"] >= rule["down_red_run"]
    return loud and falling and _off_high(bar) >= rule["down_from_high"]


def _price_momentum(day: Day, index: int, direction: str, params: Params) -> bool:
    bar, rule = day[index], params["price_momentum"][direction]
    if direction == "up":
        return (
            _ge(bar["return_5"], rule["return_5"])
            and _gt(bar["close"], bar["high_20"])
            and _ge(bar["spike_x"], rule["spike_x"])
        )
    earlier_bar = index - params["features"]["return_bars"]
    earlier = day[earlier_bar]["return_5"] if earlier_bar >= 0 else None
    return (
        _le(bar["return_5"], rule["return_5"])
        and _gt(bar["low_20"], bar["close"])
        and earlier is not None
        and abs(bar["return_5"]) / max(abs(earlier), rule["return_floor"]) >= rule["acceleration"]
    )


def _consolidation_break(day: Day, index: int, direction: str, params: Params) -> bool:
    bar, rule = day[index], params["consolidation_break"]
    if not (_le(bar["flatness"], rule["flatness"]) and _ge(bar["spike_x"], rule["spike_x"])):
        return False
    high, low = range_before(day, index, params["features"]["range_bars"])
    return bool(bar["close"] >= high * rule["up"] if direction == "up" else bar["close"] <= low * rule["down"])


def _tape_speed(day: Day, index: int, direction: str, params: Params) -> bool:
    bar, rule = day[index], params["tape_speed"]
    before = day[max(0, index - params["features"]["baseline_bars"]) : index]
    counts = [other["transactions"] for other in before if other["transactions"] is not None]
    if not _ge(bar["transactions"], rule["transactions"]) or len(counts) < params["features"]["min_history"]:
        return False
    fast = _ratio(bar["transactions"], sum(counts) / len(counts)) >= rule["ratio"]
    return fast and bool(bar["close"] > bar["open"] if direction == "up" else bar["close"] < bar["open"])


def _flush(day: Day, index: int, direction: str, params: Params) -> bool:
    bar, rule = day[index], params["flush"]
    lowest = min(other["close"] for other in day[max(0, index - rule["lowest_of_bars"] + 1) : index + 1])
    return (
        direction == "down"
        and index > 0
        and _off_high(bar) >= rule["from_high"]
        and bar["close"] == lowest
        and _ge(bar["spike_x"], rule["spike_x"])
        and bar["red_run"] >= rule["red_run"]
        and bar["volume"] > day[index - 1]["volume"]
    )


EDGES: Final[dict[str, Condition]] = {
    "volume_spike": _volume_spike,
    "price_momentum": _price_momentum,
    "consolidation_break": _consolidation_break,
    "tape_speed": _tape_speed,
    "flush": _flush,
}


def _edges(day: Day, condition: Condition, direction: str, params: Params) -> list[int]:
    truth = [condition(day, index, direction, params) for index in range(len(day))]
    return [index for index, now in enumerate(truth) if now and (index == 0 or not truth[index - 1])]


def _vwap_breaks(day: Day, direction: str, params: Params) -> list[int]:
    rule = params["vwap_break"][direction]
    start = next((index for index, bar in enumerate(day) if bar["vwap_rth"] is not None), len(day))
    found = []
    run_start: int | None = None
    run_has_event = False
    for index in range(start, len(day)):
        bar = day[index]
        level = bar["vwap_rth"] * rule["factor"]
        if not (bar["close"] >= level if direction == "up" else bar["close"] <= level):
            run_start = None
            continue
        if run_start is None:
            run_start, run_has_event = index, False
        if direction == "up":
            prepared = any(other["close"] < other["vwap_rth"] for other in day[start:run_start])
        else:
            before = day[max(start, index - rule["reclaim_bars"]) : index]
            failed = any(other["high"] >= other["vwap_rth"] and other["close"] < other["vwap_rth"] for other in before)
            prepared = failed or not rule["require_failed_reclaim"]
        holds = index - run_start + 1 >= rule["run"] and _ge(bar["spike_x"], rule["spike_x"]) and prepared
        if holds and not run_has_event:
            found.append(index)
            run_has_event = True
    return found


def _opening_range_breaks(day: Day, direction: str, params: Params) -> list[int]:
    rule = params["opening_range_break"]
    opened = rth_open(date.fromisoformat(day[0]["date"]))
    end = opened + timedelta(minutes=rule["minutes"])
    opening = [bar for bar in day if opened <= bar["timestamp"] < end]
    if len(opening) < rule["min_bars"]:
        return []
    high, low = max(bar["high"] for bar in opening), min(bar["low"] for bar in opening)
    for index, bar in enumerate(day):
        if bar["session"] != "RTH" or bar["timestamp"] < end:
            continue
        beyond = bar["close"] >= high * rule["up"] if direction == "up" else bar["close"] <= low * rule["down"]
        if beyond and _ge(bar["spike_x"], rule["spike_x"]):
            return [index]
    return []


def _found(day: Day, params: Params) -> Iterable[tuple[int, str, str]]:
    for direction in DIRECTIONS:
        for name, condition in EDGES.items():
            for index in _edges(day, condition, direction, params):
                yield index, name, direction
        for index in _vwap_breaks(day, direction, params):
            yield index, "vwap_break", direction
        for index in _opening_range_breaks(day, direction, params):
            yield index, "opening_range_break", direction


def detect(bars: pl.DataFrame, *, reference: pl.DataFrame | None = None, params: Params = DEFAULTS) -> list[Row]:
    """Every event after the global filters, before deduplication: EVENTS without its two ids."""
    known = {row["symbol"]: row for row in reference.iter_rows(named=True)} if reference is not None else {}
    events = []
    for (symbol, _), day in featured_days(bars, params).items():
        for index, event_type, direction in _found(day, params):
            if _passes(day[index], direction, known.get(symbol, {}), params["filters"]):
                events.append(_event(day[index], event_type, direction, params))
    return sorted(
        events, key=lambda row: (row["symbol"], row["timestamp"], row["event_type"], row["direction"] != "up")
    )


def _passes(bar: Row, direction: str, reference: Row, filters: Params) -> bool:
    bias = _bias(direction)
    low, high = filters["close"]
    shares, short, cover = (reference.get(key) for key in ("float_shares", "short_interest_shares", "days_to_cover"))
    passes = low <= bar["close"] <= high and bar["dollar_volume_day"] >= filters["dollar_volume_day"][bias]
    shares = shares or None  # no company has no shares: it is unknown
    if shares is not None:
        passes = passes and shares >= filters["float_shares"][bias]
    if bias == "bearish" and shares is not None and short is not None:
        passes = passes and short <= filters["short_of_float"] * shares
    if bias == "bearish" and cover is not None:
        passes = passes and cover <= filters["days_to_cover"]
    return bool(passes)


def _bias(direction: str) -> str:
    return "bullish" if direction == "up" else "bearish"


def _event(bar: Row, event_type: str, direction: str, params: Params) -> Row:
    score = _score(bar, direction, params["score"])
    close_vs_open = "green" if bar["close"] > bar["open"] else "red" if bar["close"] < bar["open"] else "flat"
    event = {
        **bar,
        "event_type": event_type,
        "direction": direction,
        "score": score,
        "event_bias": _bias(direction),
        "close_vs_open": close_vs_open,
        "tier": _tier(score, params["profiles"]),
        "known_at": bar["timestamp"] + timedelta(minutes=1),
        "vwap_at_event": bar["vwap_session"],
        "flatness_score": bar["flatness"],
        "is_premarket": bar["session"] == "PM",
        "is_afterhours": bar["session"] == "AH",
    }
    return {name: event[name] for name in EVENTS if name not in ("event_id", "event_group_id")}


def _score(bar: Row, direction: str, weights: Params) -> float:
    change = bar["return_5"] if bar["return_5"] is not None else bar["close"] / bar["open"] - 1
    spike, confirm = weights["volume_spike_magnitude"], weights["volume_confirm"]
    run = bar["green_run"] if direction == "up" else bar["red_run"]
    values = {
        "volume_spike_magnitude": math.log(bar["spike_x"]) / math.log(spike["spike_x"]) if bar["spike_x"] else None,
        "price_change_magnitude": abs(change) / weights["price_change_magnitude"]["change"],
        "volume_confirm": math.log10(bar["dollar_volume"] / confirm["dollars"]) / confirm["decades"],
        "consecutive_bars": run / weights["consecutive_bars"]["bars"],
        "distance_from_vwap": abs(bar["close"] / bar["vwap_session"] - 1) / weights["distance_from_vwap"]["distance"],
    }
    total = sum(weights[name]["weight"] * min(1.0, max(0.0, value or 0.0)) for name, value in values.items())
    return float(total / sum(weights[name]["weight"] for name in values))


def _tier(score: float, profiles: Params) -> int:
    for tier, profile in enumerate(("core", "plus", "premium"), start=1):
        if score >= profiles[profile]["min_event_score"]:
            return tier
    return 4


def time_tag(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d_%H%M%S")


def event_id(symbol: str, event_type: str, timestamp: datetime) -> str:
    moment = timestamp.astimezone(UTC)
    digest = hashlib.sha1(f"{symbol}|{event_type}|{moment.isoformat()}".encode()).hexdigest()  # noqa: S324  a name
    return f"{symbol}_{event_type}_{time_tag(moment)}_{digest[:8]}"


def _windows(rows: list[Row], minutes: float) -> list[list[Row]]:
    """Rows in time order, split into windows: each opens at its first row and spans [t, t + minutes)."""
    windows: list[list[Row]] = []
    for row in rows:
        if windows and row["timestamp"] < windows[-1][0]["timestamp"] + timedelta(minutes=minutes):
            windows[-1].append(row)
        else:
            windows.append([row])
    return windows


def master(bars: pl.DataFrame, reference: pl.DataFrame | None = None, params: Params = DEFAULTS) -> pl.DataFrame:
    """The MASTER table of `bars`."""
    best: dict[str, Row] = {}
    for row in _cooled(detect(bars, reference=reference, params=params), params["cooldown"]):
        name = event_id(row["symbol"], row["event_type"], row["timestamp"])
        rival = best.get(name)
        if rival is None or (row["score"], row["direction"] == "up") > (rival["score"], rival["direction"] == "up"):
            best[name] = {**row, "event_id": name}
    rows = sorted(best.values(), key=lambda row: (row["symbol"], row["timestamp"], row["event_type"]))
    for day in by_day(rows).values():
        for group in _windows(day, params["group"]["minutes"]):
            for row in group:
                row["event_group_id"] = f"{row['symbol']}_{time_tag(group[0]['timestamp'])}"
    return pl.DataFrame([{name: row[name] for name in EVENTS} for row in rows], schema=EVENTS, orient="row")


def _cooled(events: list[Row], cooldown: Params) -> list[Row]:
    kept = []
    for event_type in sorted({row["event_type"] for row in events}):
        for day in by_day(row for row in events if row["event_type"] == event_type).values():
            for window in _windows(day, cooldown["minutes"]):
                floor = cooldown["keep_share"] * max(row["score"] for row in window)
                kept += [row for row in window if row["score"] >= floor]
    return kept
