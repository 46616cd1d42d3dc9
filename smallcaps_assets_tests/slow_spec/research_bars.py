"""Market state, halts and features of events from bars (research specification, sections 3.5, 5 and 8)."""

import math
import statistics
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl

from smallcaps_assets_tests.slow_spec.bars import EASTERN, Row, featured_days, rth_open, xnys
from smallcaps_assets_tests.slow_spec.params import DEFAULTS

Day = list[Row]
MINUTE = timedelta(minutes=1)
# a split: execution date, from, to
Split = tuple[date, float, float]


def micro(price: float) -> int:
    return math.floor(price * 1e6 + 0.5)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _regular(day: Day) -> Day:
    return [bar for bar in day if bar["session"] == "RTH"]


class Symbol:
    """The bars of one symbol by date, and what they tell of the market."""

    def __init__(self, days: dict[date, Day], splits: list[Split] | None) -> None:
        self.days = days
        self.splits = splits
        first, last = min(days), max(days)
        self.calendar = xnys(first - timedelta(days=10), last)
        self.sessions = sorted(self.calendar)

    def sessions_back(self, day: date, count: int) -> date:
        return self.sessions[self.sessions.index(day) - count]

    def prior(self, day: date) -> tuple[date, float] | None:
        """The date and the adjusted close of the latest earlier day with RTH bars."""
        earlier = [other for other in self.days if other < day and _regular(self.days[other])]
        if not earlier:
            return None
        found = max(earlier)
        close = _regular(self.days[found])[-1]["close"]
        for executed, before, after in self.splits or []:
            if found < executed <= day:
                close *= before / after
        return found, close

    def ssr_times(self, day: date) -> list[datetime] | None:
        prior = self.prior(day)
        if prior is None:
            return None
        limit = 9 * micro(prior[1])
        return [bar["timestamp"] for bar in _regular(self.days[day]) if 10 * micro(bar["low"]) <= limit]

    def ssr(self, day: date, moment: datetime) -> tuple[bool | None, str | None]:
        previous = self.sessions_back(day, 1)
        prior_day: bool | None
        if previous < min(self.days):
            prior_day = None
        elif previous not in self.days:
            prior_day = False
        else:
            times = self.ssr_times(previous)
            prior_day = None if times is None else bool(times)
        times = self.ssr_times(day)
        same_day = None if times is None else any(time <= moment for time in times)
        if prior_day or same_day:
            return True, "prior_day" if prior_day else "same_day"
        return (None if prior_day is None or same_day is None else False), None

    def runs(self, day: date) -> list[Row]:
        bars = {bar["timestamp"]: bar for bar in self.days[day]}
        regular = [bar["timestamp"] for bar in _regular(self.days[day])]
        found = []
        for place, moment in enumerate(regular):
            end = regular[place + 1] if place + 1 < len(regular) else self.calendar[day][1]
            start = moment + MINUTE
            if (end - start) / MINUTE < 5:
                continue
            counts = [
                bars[start - back * MINUTE]["transactions"] for back in range(1, 6) if start - back * MINUTE in bars
            ]
            unsure = None in counts
            n5 = sum(count or 0 for count in counts)
            found.append({"start": start, "end": end, "n5": n5, "undecided": unsure, "halt": not unsure and n5 >= 50})
        return found

    def split_state(self, day: date) -> Row:
        if self.splits is None:
            return dict.fromkeys(("split_on_date", "days_since_split", "split_ratio", "reverse_split"))
        done = [split for split in self.splits if split[0] <= day]
        state: Row = {"split_on_date": False, "days_since_split": None, "split_ratio": None, "reverse_split": False}
        if done:
            executed, before, after = max(done)
            since = len([session for session in self.sessions if executed <= session < day])
            state["split_on_date"] = executed == day
            if since <= 20:
                state |= {"days_since_split": since, "split_ratio": after / before, "reverse_split": after < before}
        return state


def symbols_of(bars: pl.DataFrame, splits: dict[str, list[Split]] | None = None) -> dict[str, Symbol]:
    days: dict[str, dict[date, Day]] = {}
    for (symbol, text), rows in featured_days(bars, DEFAULTS).items():
        days.setdefault(symbol, {})[date.fromisoformat(text)] = rows
    return {
        symbol: Symbol(of_symbol, None if splits is None else splits.get(symbol, []))
        for symbol, of_symbol in days.items()
    }


def market_state(symbols: dict[str, Symbol]) -> list[Row]:
    found = []
    for name, symbol in sorted(symbols.items()):
        for day in sorted(symbol.days):
            prior, times, runs = symbol.prior(day), symbol.ssr_times(day), symbol.runs(day)
            found.append(
                {
                    "symbol": name,
                    "date": day.isoformat(),
                    "prior_close": prior[1] if prior else None,
                    "ssr_triggered": None if times is None else bool(times),
                    "halts_known": not any(run["undecided"] for run in runs),
                    "halts": sum(run["halt"] for run in runs),
                    **symbol.split_state(day),
                }
            )
    return found


def bar_features(event: Row, symbol: Symbol, candidates: Iterable[Row]) -> Row:
    """The features of one event, whose bar is among those of `symbol`."""
    moment: datetime = event["timestamp"]
    day = moment.astimezone(EASTERN).date()
    bars = symbol.days[day]
    index = next(place for place, bar in enumerate(bars) if bar["timestamp"] == moment)
    bar, before = bars[index], bars[:index]
    close, prior, regular = bar["close"], symbol.prior(day), _regular(bars)
    row: Row = {name: bar[name] for name in ("close", "bar_atr")}
    row |= {
        "event_id": event["event_id"],
        "flatness_score": bar["flatness"],
        "ln_dollar_volume_to_event": math.log(bar["dollar_volume_to_event"]),
        "minutes_from_open": (moment - rth_open(day)) / MINUTE,
        "minutes_to_close": (symbol.calendar[day][1] - moment) / MINUTE,
        "weekday": day.isoweekday(),
        "distance_vwap": close / bar["vwap_session"] - 1,
        "average_trade_usd": bar["dollar_volume"] / bar["transactions"] if bar["transactions"] else None,
        "float_turnover": None,
    }
    row |= _price_shape(bar, [*before, bar])
    for count in (1, 5, 15, 30):
        row[f"return_{count}"] = close / before[-count]["close"] - 1 if len(before) >= count else None
    past = [other for other in before if other["timestamp"] + MINUTE <= moment + MINUTE - 15 * MINUTE]
    row["return_15min"] = close / past[-1]["close"] - 1 if past else None
    row["return_from_prior_close"] = close / prior[1] - 1 if prior else None
    opened = close if bar["session"] == "PM" else regular[0]["open"] if regular else None
    row["gap_return"] = opened / prior[1] - 1 if prior and opened else None
    row |= _prior_day(symbol, prior)
    row |= _recent(before, moment)
    row["rvol_to_time"] = _rvol_to_time(symbol, day, moment, bar["dollar_volume_to_event"])
    sign = 1 if event["direction"] == "up" else -1
    closes = [other["close"] for other in [*before, bar]]
    velocity = sign * 1e4 * math.log(closes[-1] / closes[-6]) / 5 if len(closes) > 5 else None
    earlier = sign * 1e4 * math.log(closes[-6] / closes[-11]) / 5 if len(closes) > 10 else None
    row["velocity_pre_5"] = velocity
    row["acceleration_pre_5"] = None if velocity is None or earlier is None else (velocity - earlier) / 5
    row["ssr_at_event"], row["ssr_source"] = symbol.ssr(day, moment)
    over = [run for run in symbol.runs(day) if run["end"] <= moment]
    halts = [run["end"] for run in over if run["halt"]]
    row["halts_known_at_event"] = known = not any(run["undecided"] for run in over)
    row["minutes_since_halt"] = (moment - max(halts)) / MINUTE if halts and known else None
    return row | symbol.split_state(day) | _history(event["symbol"], moment, symbol, candidates)


def _price_shape(bar: Row, so_far: Day) -> Row:
    high, low = (max(micro(other["high"]) for other in so_far), min(micro(other["low"]) for other in so_far))
    own_high, own_low, opened, close = (micro(bar[name]) for name in ("high", "low", "open", "close"))
    width = own_high - own_low
    return {
        "range_position": float(Fraction(close - low, high - low)) if high != low else None,
        "distance_day_high": bar["close"] / max(other["high"] for other in so_far) - 1,
        "body_share": float(Fraction(close - opened, width)) if width else 0.0,
        "close_location": float(Fraction(2 * close - own_high - own_low, width)) if width else 0.0,
    }


def _prior_day(symbol: Symbol, prior: tuple[date, float] | None) -> Row:
    if prior is None:
        return {"prior_day_return": None, "prior_day_range": None}
    regular, one_before = _regular(symbol.days[prior[0]]), symbol.prior(prior[0])
    close = regular[-1]["close"]
    high, low = max(bar["high"] for bar in regular), min(bar["low"] for bar in regular)
    return {
        "prior_day_return": close / one_before[1] - 1 if one_before else None,
        "prior_day_range": (micro(high) - micro(low)) / 1e6 / close,
    }


def _recent(before: Day, moment: datetime) -> Row:
    last = before[-20:]
    squares = [math.log(bar["high"] / bar["low"]) ** 2 for bar in last]
    illiquid = []
    for place in range(max(1, len(before) - 20), len(before)):
        bar = before[place]
        illiquid.append(abs(bar["close"] / before[place - 1]["close"] - 1) / bar["dollar_volume"] * 1e6)
    start = moment + MINUTE - 30 * MINUTE
    return {
        "parkinson_20": math.sqrt(sum(squares) / (4 * math.log(2)) / len(last)) if len(last) >= 5 else None,
        "amihud_20": _mean(illiquid) if len(illiquid) >= 5 else None,
        "bars_last_30min": 1 + sum(bar["timestamp"] >= start for bar in before),
        "minutes_since_last_bar": (moment - before[-1]["timestamp"]) / MINUTE if before else None,
        "edge_spread_bps_60": _edge(before[-60:]) if len(before) >= 20 else None,
    }


def _edge(bars: Day) -> float | None:
    """The formulas of the paper, period by period."""
    logs = [tuple(math.log(bar[name]) for name in ("open", "high", "low", "close")) for bar in bars]
    periods = []
    for (_, high1, low1, close1), (opened, high, low, _) in pairwise(logs):
        mid, mid1 = (high + low) / 2, (high1 + low1) / 2
        tau = float(high != low or low != close1)
        periods.append(
            {
                "r": (mid - opened, opened - mid1, mid - close1, close1 - mid1, opened - close1),
                "tau": tau,
                "open": tau * ((opened != high) + (opened != low)),
                "close": tau * ((close1 != high1) + (close1 != low1)),
            }
        )
    count = len(periods)
    moved, by_open, by_close = (sum(period[name] for period in periods) / count for name in ("tau", "open", "close"))
    if moved * count < 2 or not by_open or not by_close:
        return None
    means = [sum(period["r"][number] for period in periods) / count for number in range(5)]
    first, second = [], []
    for period in periods:
        r1, r2, r3, r4, r5 = period["r"]
        d1, d3, d5 = (value - means[number] / moved * period["tau"] for value, number in ((r1, 0), (r3, 2), (r5, 4)))
        first.append(-4 / by_open * d1 * r2 - 4 / by_close * d3 * r4)
        second.append(-4 / by_open * d1 * r5 - 4 / by_close * d5 * r4)
    e1, e2 = sum(first) / count, sum(second) / count
    v1, v2 = (sum(value**2 for value in x) / count - e**2 for x, e in ((first, e1), (second, e2)))
    squared = (v2 * e1 + v1 * e2) / (v1 + v2) if v1 + v2 > 0 else (e1 + e2) / 2
    return math.copysign(math.sqrt(abs(squared)), squared) * 1e4


def _rvol_to_time(symbol: Symbol, day: date, moment: datetime, dollars: float) -> float | None:
    clock = moment.astimezone(EASTERN).time()
    place = symbol.sessions.index(day)
    sums = []
    for other in symbol.sessions[max(0, place - 20) : place]:
        if other >= min(symbol.days):
            bars = symbol.days.get(other, [])
            sums.append(
                sum(bar["dollar_volume"] for bar in bars if bar["timestamp"].astimezone(EASTERN).time() <= clock)
            )
    mean = _mean(sums)
    return dollars / mean if len(sums) >= 5 and mean else None


def _history(name: str, moment: datetime, symbol: Symbol, candidates: Iterable[Row]) -> Row:
    day = moment.astimezone(EASTERN).date()
    earlier = [row["timestamp"] for row in candidates if row["symbol"] == name and row["timestamp"] < moment]
    same = [time for time in earlier if time.astimezone(EASTERN).date() == day]
    before = [time.astimezone(EASTERN).date() for time in earlier if time.astimezone(EASTERN).date() < day]
    since = len([session for session in symbol.sessions if max(before) <= session < day]) if before else None
    return {
        "event_number_in_day": len(same) + 1,
        "minutes_since_last_event": (moment - max(same)) / MINUTE if same else None,
        "events_last_5min": sum(time >= moment - 5 * MINUTE for time in earlier),
        "days_since_last_event": since if since is not None and 1 <= since <= 20 else None,
    }


def event_scores(events: list[Row], master: list[Row], sessions: list[date]) -> list[Row]:
    """Where the score of each event lies among those of MASTER of the same type and session in 60 trading days."""
    found = []
    for event in events:
        place = sessions.index(date.fromisoformat(event["date"]))
        days = {day.isoformat() for day in sessions[max(0, place - 60) : place]}
        kind = event["event_type"], event["session"]
        scores = [row["score"] for row in master if (row["event_type"], row["session"]) == kind and row["date"] in days]
        row: dict[str, Any] = {"event_id": event["event_id"], "score_n": len(scores)}
        row |= {"score_percentile": None, "score_robust_z": None}
        if len(scores) >= 50:
            less, equal = (sum(s < event["score"] for s in scores), sum(s == event["score"] for s in scores))
            row["score_percentile"] = (less + 0.5 * equal) / len(scores)
            middle = statistics.median(scores)
            spread = statistics.median(abs(score - middle) for score in scores)
            row["score_robust_z"] = (event["score"] - middle) / (1.4826 * spread) if spread else None
        found.append(row)
    return found
