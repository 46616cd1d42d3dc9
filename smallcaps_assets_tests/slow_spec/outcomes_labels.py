"""Labels, their costs and their overlap, event by event (research specification, section 4)."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction

from smallcaps_assets_tests.slow_spec.bars import EASTERN, Row
from smallcaps_assets_tests.slow_spec.research_bars import Symbol, micro

MINUTE = timedelta(minutes=1)
SPECS = ((5, 1, 1), (15, 1, 1), (60, 1, 1))
BY_BARRIERS = (
    *("scale", "label", "exit_price", "exit_bar_end", "t1", "tie", "gap", "gross_return"),
    *("crosses_session", "halt_in_label"),
)
COLUMNS = ("entry_at", "entry", *BY_BARRIERS)


def labels(event: Row, bar_atr: float | None, symbol: Symbol) -> list[Row]:
    """The rows of one event, whose bar is among those of `symbol`; without overlap."""
    known_at: datetime = event["timestamp"] + MINUTE
    day = event["timestamp"].astimezone(EASTERN).date()
    opened, closed = symbol.calendar[day]
    evening = datetime.combine(day, datetime.min.time(), EASTERN) + timedelta(hours=20)
    # four hours after an early close
    end_of_day = min(evening.astimezone(closed.tzinfo), closed + timedelta(hours=4))
    later = [bar for bar in symbol.days[day] if bar["timestamp"] >= known_at]
    entry_bar = next((bar for bar in later if bar["timestamp"] < known_at + 5 * MINUTE), None)
    common = {"event_id": event["event_id"], "date": day.isoformat(), "t0": known_at}
    rows = []
    for minutes, profit, stop in SPECS:
        row: Row = {**common, "label_spec": f"{minutes},{profit},{stop}", **dict.fromkeys(COLUMNS)}
        row |= _horizons(event, entry_bar, later, known_at, closed)
        if entry_bar is None:
            row["state"] = "no_entry"
        else:
            row |= {"entry_at": entry_bar["timestamp"], "entry": entry_bar["open"]}
            row["state"] = "no_scale" if bar_atr is None else "ok"
            if bar_atr is not None:
                vertical = min(known_at + minutes * MINUTE, end_of_day)
                s = min(max(bar_atr * math.sqrt(minutes) / 1.5958, 0.005), 0.20)
                z = math.floor(1e6 * s + 0.5)
                row |= leave(later, 1 if event["direction"] == "up" else -1, z / 1e6, vertical, (profit, stop))
                row["crosses_session"] = any(row["entry_at"] < bound < row["t1"] for bound in (opened, closed))
                runs = symbol.runs(day)
                met = any(run["halt"] and run["start"] < row["t1"] and run["end"] > row["entry_at"] for run in runs)
                row["halt_in_label"] = None if any(run["undecided"] for run in runs) else met
        rows.append(row)
    return rows


def leave(bars: Sequence[Row], d: int, scale: float, vertical: datetime, multiples: tuple[int, int]) -> Row:
    """The exit of a position entered at the open of the first of `bars`."""
    profit, stop = multiples
    entry = bars[0]["open"]
    z = round(scale * 1e6)

    def moved(price: float) -> int:
        return 10**6 * d * (micro(price) - micro(entry))

    def is_profit(price: float) -> bool:
        return moved(price) >= profit * z * micro(entry)

    def is_stop(price: float) -> bool:
        return moved(price) <= -stop * z * micro(entry)

    row: Row = {"scale": scale, "tie": False, "gap": False}
    good, bad = ("high", "low") if d > 0 else ("low", "high")
    inside = [bar for bar in bars if bar["timestamp"] + MINUTE <= vertical]
    for number, bar in enumerate(inside):
        found: tuple[int, float] | None = None
        if number and (is_profit(bar["open"]) or is_stop(bar["open"])):
            found = 1 if is_profit(bar["open"]) else -1, bar["open"]
            row["gap"] = True
        elif is_stop(bar[bad]):
            found = -1, entry * (1 - d * stop * scale)
            row["tie"] = is_profit(bar[good])
        elif is_profit(bar[good]):
            found = 1, entry * (1 + d * profit * scale)
        if found:
            row |= {"label": found[0], "exit_price": found[1], "exit_bar_end": bar["timestamp"] + MINUTE}
            row["t1"] = row["exit_bar_end"]
            break
    else:
        last = inside[-1]
        row |= {"label": 0, "exit_price": last["close"], "exit_bar_end": last["timestamp"] + MINUTE, "t1": vertical}
    return row | {"gross_return": d * (row["exit_price"] / entry - 1)}


def _horizons(event: Row, entry_bar: Row | None, later: Sequence[Row], known_at: datetime, closed: datetime) -> Row:
    d = 1 if event["direction"] == "up" else -1
    limits = {str(minutes): known_at + minutes * MINUTE for minutes in (1, 5, 15, 30, 60)}
    found: Row = {}
    for name, limit in {**limits, "close": closed}.items():
        found |= {f"return_{name}": None, f"stale_min_{name}": None}
        by_then = [bar for bar in later if bar["timestamp"] + MINUTE <= limit]
        if entry_bar is None or not by_then or (name == "close" and event["session"] == "AH"):
            continue
        found[f"stale_min_{name}"] = stale = (limit - by_then[-1]["timestamp"] - MINUTE) / MINUTE
        if name == "close" or stale <= max(5.0, int(name) / 2):
            found[f"return_{name}"] = d * (by_then[-1]["close"] / entry_bar["open"] - 1)
    return found


def overlaps(intervals: Iterable[Mapping[str, datetime]]) -> list[tuple[float, int]]:
    """Uniqueness and greatest concurrency of the intervals of one group, minute by minute."""
    minutes = []
    for row in intervals:
        count = int((row["t1"] - row["entry_at"]) / MINUTE)
        minutes.append([row["entry_at"] + minute * MINUTE for minute in range(count)])
    holds: dict[datetime, int] = {}
    for minute in (minute for own in minutes for minute in own):
        holds[minute] = holds.get(minute, 0) + 1
    return [
        (float(sum(Fraction(1, holds[minute]) for minute in own) / len(own)), max(holds[minute] for minute in own))
        for own in minutes
    ]


def costs(
    events: Sequence[Row], own: Mapping[str, Row], sessions: Sequence[date], default: float | None, fee: float
) -> list[tuple[float | None, str]]:
    """Cost and its source of each event: `session`, `date`, `close`, `event_id`."""

    def cost(event: Row) -> float | None:
        figures = own.get(event["event_id"], {})
        spread, effective = figures.get("spread_bps_at_end"), figures.get("effective_spread_bps")
        return spread if spread is not None else effective

    def bucket(event: Row) -> int:
        return sum(micro(event["close"]) >= bound * 10**6 for bound in (2, 5, 20))

    found: list[tuple[float | None, str]] = []
    for event in events:
        place = sessions.index(date.fromisoformat(event["date"]))
        days = {day.isoformat() for day in sessions[max(0, place - 60) : place]}
        alike = [
            value
            for other in events
            if other["date"] in days
            and (other["session"], bucket(other)) == (event["session"], bucket(event))
            and (value := cost(other)) is not None
        ]
        own_cost = cost(event)
        if own_cost is not None:
            is_quoted = own[event["event_id"]]["spread_bps_at_end"] is not None
            found.append((own_cost + fee, "nbbo" if is_quoted else "effective"))
        elif len(alike) >= 30:
            found.append((statistics.median(alike) + fee, "trailing"))
        elif default is not None:
            found.append((default + fee, "default"))
        else:
            found.append((None, "none"))
    return found
