"""Cleaning, sessions and bar features (sections 1 and 2)."""

import math
import statistics
import warnings
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import exchange_calendars
import polars as pl

from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.slow_spec.lengths import Session, other_lengths
from smallcaps_assets_tests.slow_spec.params import DEFAULTS, Params

Row = dict[str, Any]
EASTERN: Final = ZoneInfo("America/New_York")
PRICES: Final = ("open", "high", "low", "close")
TOO_LARGE: Final = {"vwap": math.nextafter(1e6, math.inf), "transactions": 2**31 - 1}

FEATURES: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "session": pl.String(),
        "date": pl.String(),
        "volume_baseline": pl.Float64(),
        "spike_x": pl.Float64(),
        "dollar_volume": pl.Float64(),
        "day_high": pl.Float64(),
        "green_run": pl.Int64(),
        "red_run": pl.Int64(),
        "vwap_rth": pl.Float64(),
        "vwap_session": pl.Float64(),
        "return_5": pl.Float64(),
        "high_20": pl.Float64(),
        "low_20": pl.Float64(),
        "bar_atr": pl.Float64(),
        "flatness": pl.Float64(),
        "dollar_volume_to_event": pl.Float64(),
        "dollar_volume_day": pl.Float64(),
        "rvol_day": pl.Float64(),
    }
)


@lru_cache
def _xnys(year: int) -> dict[date, tuple[datetime, datetime]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, caused inside the calendar
        calendar = exchange_calendars.get_calendar("XNYS", start=f"{year}-01-01", end=f"{year}-12-31")
        return {
            session.date(): (_utc(calendar.session_open(session)), _utc(calendar.session_close(session)))
            for session in calendar.sessions
        }


def _utc(moment: Any) -> datetime:
    found: datetime = moment.to_pydatetime().astimezone(UTC)
    return found


def xnys(first: date, last: date) -> dict[date, tuple[datetime, datetime]]:
    """Official open and close (UTC) of every XNYS session from `first` to `last`, both included."""
    years = range(first.year, last.year + 1)
    return {day: hours for year in years for day, hours in _xnys(year).items() if first <= day <= last}


def clean(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The good rows by (symbol, timestamp), and the quarantined rows unchanged and in input order."""
    kept: dict[tuple[str, datetime], Row] = {}
    quarantined: list[Row] = []
    rows = bars.select(*BARS).to_dicts()
    dated = [row for row in rows if None not in (row["symbol"], row["timestamp"])]
    # rows off the minute tell the length of bars as well, but not other bad rows
    others = other_lengths(
        (None, row["symbol"], row["timestamp"]) for row in dated if _is_off_minute(row) or not _is_bad(row)
    )
    for row in rows:
        key = (row["symbol"], row["timestamp"])
        if None in key or _is_off_minute(row) or _is_bad(row) or key in kept or _session(row) in others:
            quarantined.append(row)
        else:
            kept[key] = {**row, **{name: _known(row[name], bound) for name, bound in TOO_LARGE.items()}}
    return (
        pl.DataFrame([kept[key] for key in sorted(kept)], schema=BARS, orient="row"),
        pl.DataFrame(quarantined, schema=BARS, orient="row"),
    )


def _session(row: Row) -> Session:
    return Session(None, row["symbol"], row["timestamp"].astimezone(EASTERN).date())


def _is_off_minute(row: Row) -> bool:
    moment: datetime = row["timestamp"]
    return moment != moment.replace(second=0, microsecond=0)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _known(value: float | None, too_large: float) -> float | None:
    """None for values by which vendors say that they do not know."""
    return value if value is not None and 0 < value < too_large else None


def _is_bad(row: Row) -> bool:
    opened, high, low, close = (_finite(row[name]) for name in PRICES)
    volume = _finite(row["volume"])
    if opened is None or high is None or low is None or close is None or volume is None:
        return True
    return (
        min(opened, high, low, close) <= 0
        or high < max(opened, close)
        or low > min(opened, close)
        or high < low
        or volume <= 0
        or high > 1e6
        or volume > 2e9
    )


def in_session(bars: pl.DataFrame) -> tuple[list[Row], int]:
    """The good bars inside a session as rows with `session` and `date`, and the number of good bars dropped."""
    rows = list(clean(bars)[0].iter_rows(named=True))
    days = [row["timestamp"].astimezone(EASTERN).date() for row in rows]
    calendar = xnys(min(days), max(days)) if days else {}
    found = []
    for row, day in zip(rows, days, strict=True):
        if session := session_of(row["timestamp"], day, calendar):
            found.append({**row, "session": session, "date": day.isoformat()})
    return found, len(rows) - len(found)


def session_of(moment: datetime, day: date, calendar: dict[date, tuple[datetime, datetime]]) -> str | None:
    if day not in calendar:
        return None
    close = calendar[day][1]
    if eastern(day, time(4)) <= moment < rth_open(day):
        return "PM"
    if rth_open(day) <= moment < close:
        return "RTH"
    if close <= moment < close + timedelta(hours=4):
        return "AH"
    return None


def eastern(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, EASTERN).astimezone(UTC)


def rth_open(day: date) -> datetime:
    return eastern(day, time(9, 30))


def by_day(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows per (symbol, ET date), in input order."""
    days: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        days.setdefault((row["symbol"], row["date"]), []).append(row)
    return days


def features(bars: pl.DataFrame, params: Params = DEFAULTS) -> pl.DataFrame:
    """Every feature of every bar inside a session."""
    rows = [row for day in featured_days(bars, params).values() for row in day]
    return pl.DataFrame([{name: row[name] for name in FEATURES} for row in rows], schema=FEATURES, orient="row")


def featured_days(bars: pl.DataFrame, params: Params) -> dict[tuple[str, str], list[Row]]:
    """Bars with their features per (symbol, ET date), sorted."""
    days = {key: _day_features(rows, params["features"]) for key, rows in by_day(in_session(bars)[0]).items()}
    totals: dict[str, dict[date, float]] = {}
    dates = [date.fromisoformat(day) for _, day in days]
    first = min(dates, default=date.max) - timedelta(days=3 * params["rvol"]["sessions"] + 30)
    sessions = sorted(xnys(first, max(dates))) if dates else []
    for (symbol, text), rows in days.items():  # dates of a symbol come in order
        day, total = date.fromisoformat(text), rows[-1]["dollar_volume_to_event"]
        rvol = _relative_volume(total, day, totals.setdefault(symbol, {}), sessions, params["rvol"])
        for row in rows:
            row |= {"dollar_volume_day": total, "rvol_day": rvol}
        totals[symbol][day] = total
    return days


def _relative_volume(
    total: float, day: date, before: dict[date, float], sessions: list[date], params: Params
) -> float | None:
    """`total` over the mean of the last days of `before` that are among the sessions before `day`; or null."""
    recent = [session for session in sessions if session < day][-params["sessions"] :]
    found = [before[session] for session in recent if session in before][-params["days"] :]
    return total / (sum(found) / len(found)) if len(found) >= params["min_days"] else None


def _day_features(rows: list[Row], params: Params) -> list[Row]:
    baseline_bars, min_history = params["baseline_bars"], params["min_history"]
    done: list[Row] = []
    premarket, regular = _Vwap(params["vwap_decimals"]), _Vwap(params["vwap_decimals"])
    for index, row in enumerate(rows):
        last = done[-1] if done else None
        before = rows[max(0, index - baseline_bars) : index]
        known = len(before) >= min_history
        baseline = statistics.median(bar["volume"] for bar in before) if known else None
        atr = statistics.median((bar["high"] - bar["low"]) / bar["open"] for bar in before) if known else None
        dollars = row["close"] * row["volume"]
        vwap_rth = None if row["session"] == "PM" else regular.add(row)
        earlier = index - params["return_bars"]
        done.append(
            {
                **row,
                "volume_baseline": baseline,
                "spike_x": row["volume"] / baseline if baseline else None,
                "dollar_volume": dollars,
                "day_high": max(row["high"], last["day_high"]) if last else row["high"],
                "green_run": (last["green_run"] if last else 0) + 1 if row["close"] > row["open"] else 0,
                "red_run": (last["red_run"] if last else 0) + 1 if row["close"] < row["open"] else 0,
                "vwap_rth": vwap_rth,
                "vwap_session": premarket.add(row) if row["session"] == "PM" else vwap_rth,
                "return_5": row["close"] / rows[earlier]["close"] - 1 if earlier >= 0 else None,
                "high_20": max(bar["high"] for bar in before) if known else None,
                "low_20": min(bar["low"] for bar in before) if known else None,
                "bar_atr": atr,
                "flatness": _flatness(rows, index, atr, params["range_bars"]),
                "dollar_volume_to_event": (last["dollar_volume_to_event"] if last else 0.0) + dollars,
            }
        )
    return done


def _flatness(rows: list[Row], index: int, atr: float | None, bars: int) -> float | None:
    if index < bars or atr is None or atr == 0:
        return None
    high, low = range_before(rows, index, bars)
    return float((high - low) / rows[index - 1]["close"] / (atr * math.sqrt(bars)))


def range_before(rows: list[Row], index: int, bars: int) -> tuple[float, float]:
    before = rows[index - bars : index]
    return max(bar["high"] for bar in before), min(bar["low"] for bar in before)


class _Vwap:
    """The volume-weighted typical price of the bars added so far."""

    def __init__(self, decimals: int) -> None:
        self._decimals = decimals
        self._dollars = 0.0
        self._volume = 0.0

    def add(self, row: Row) -> float:
        self._dollars += (row["high"] + row["low"] + row["close"]) / 3 * row["volume"]
        self._volume += row["volume"]
        return round(self._dollars / self._volume, self._decimals)
