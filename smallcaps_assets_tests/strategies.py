"""Irregular but realistic inputs: bars with many events, MASTER tables with many ties, quotes with many repeats.

Every generator is a function of its seed; the Hypothesis strategies draw seeds and sizes, so that an example is short
to print and quick to make.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

from smallcaps_assets.domain.events.detectors import EVENT_TYPES
from smallcaps_assets.domain.tables import BARS, EVENTS, QUOTES
from smallcaps_assets_tests.slow_spec import event_id, xnys

EASTERN: Final = ZoneInfo("America/New_York")
Row = dict[str, Any]

# ordinary days, both DST weeks, the half days 2024-07-03 and 2025-11-28 with the days around them
PLAIN_WEEKS: Final = (date(2025, 5, 12), date(2025, 6, 12))
DST_WEEKS: Final = ((date(2025, 3, 7), date(2025, 3, 14)), (date(2025, 10, 31), date(2025, 11, 7)))
HALF_DAYS: Final = ((date(2024, 7, 1), date(2024, 7, 5)), (date(2025, 11, 25), date(2025, 12, 1)))


def sessions_between(first: date, last: date) -> list[date]:
    return list(xnys(first, last))


# ------------------------------------------------------------------------------------------------- bars


class _Tape:
    """Builds the bars of one symbol and New York date minute by minute; prices are whole cents."""

    def __init__(self, rng: random.Random, symbol: str, day: date, cents: int, base: int) -> None:
        self.rng = rng
        self.cents = cents
        self.base = base
        self.rows: list[Row] = []
        self._symbol = symbol
        self.minute = 4 * 60
        # clocks change before the first bar
        self._start = datetime.combine(day, time(4), EASTERN).astimezone(UTC) - timedelta(hours=4)
        self._shares = self._dollars = 0.0
        self.trades_per_bar = rng.choice([10, 20, 50, 60])
        self.trades_known = rng.random() < 0.85

    def bar(
        self,
        step: int = 0,
        *,
        volume: float = 1.0,
        reach: int = 1,
        trades: float = 1.0,
        above: int = 0,
        shares: float = 0,
    ) -> None:
        """One bar that closes `step` cents from the last close; `volume` and `trades` are multiples of the base."""
        opened = self.cents
        close = max(2, opened + step)
        high = max(opened, close) + self.rng.randrange(reach + 1) + above
        low = max(1, min(opened, close) - self.rng.randrange(reach + 1))
        stated, shares = bool(shares), shares or self.base * volume
        if not stated and self.rng.random() < 0.02:
            shares += self.rng.choice([0.5, 0.125, 0.3])
        count = round(self.trades_per_bar * trades)
        row = {
            "symbol": self._symbol,
            "timestamp": self._start + timedelta(minutes=self.minute),
            "open": opened / 100,
            "high": high / 100,
            "low": low / 100,
            "close": close / 100,
            "volume": float(shares),
            "vwap": None if self.rng.random() < 0.1 else (high + low) / 200,
            "transactions": count if self.trades_known and self.rng.random() < 0.97 else None,
        }
        self.rows.append(row)
        if self.minute >= 9 * 60 + 30:
            self._shares += row["volume"]
            self._dollars += (row["high"] + row["low"] + row["close"]) / 3 * row["volume"]
        self.cents = close
        self.minute += 1

    def vwap_cents(self) -> float:
        return 100 * self._dollars / self._shares if self._shares else float(self.cents)

    def percent(self, percent: float) -> int:
        """`pct` percent of the price in cents, at least one."""
        return max(1, round(self.cents * percent / 100))


def _quiet(tape: _Tape, bars: int, reach: int = 1) -> None:
    for _ in range(bars):
        volume = tape.rng.choice([1.0, 1.0, 1.0, 0.8, 1.2, 0.5])
        tape.bar(tape.rng.choice([-1, 0, 0, 1]), volume=volume, reach=reach)


def _spike_up(tape: _Tape) -> None:
    tape.bar(tape.percent(tape.rng.choice([1.5, 2, 4])), volume=tape.rng.choice([6, 6, 8, 12, 25]), trades=2)
    for _ in range(tape.rng.randint(0, 2)):  # stays true for a while: one edge
        tape.bar(tape.percent(1.6), volume=tape.rng.choice([6, 8, 20]), trades=2)


def _spike_down(tape: _Tape) -> None:
    for _ in range(tape.rng.randint(1, 3)):
        tape.bar(-tape.percent(0.8), volume=1.2)
    tape.bar(-tape.percent(tape.rng.choice([1.5, 2.5])), volume=tape.rng.choice([6, 8, 15]), trades=2)


def _cooldown_edge(tape: _Tape) -> None:
    """Two spikes exactly 9, 10 or 11 (or 4, 5, 6 for the groups) minutes apart."""
    gap = tape.rng.choice([4, 5, 6, 9, 10, 10, 11])
    tape.bar(tape.percent(2), volume=tape.rng.choice([8, 10]))
    _quiet(tape, gap - 1)
    tape.bar(tape.percent(2), volume=tape.rng.choice([8, 9, 20]))


def _reclaim(tape: _Tape) -> None:
    goal = tape.vwap_cents()
    for _ in range(tape.rng.randint(2, 4)):
        tape.bar(min(-1, round((goal * 0.988 - tape.cents) / 2)), volume=0.8)
    tape.bar(round(goal * 1.01) - tape.cents, volume=tape.rng.choice([1, 3]))
    for _ in range(tape.rng.randint(1, 4)):
        tape.bar(max(1, round(tape.vwap_cents() * 1.012) - tape.cents), volume=tape.rng.choice([1, 2, 4]))


def _rejection(tape: _Tape) -> None:
    tape.bar(round(tape.vwap_cents() * 0.995) - tape.cents, volume=0.8)
    poke = max(1, round(tape.vwap_cents()) - tape.cents + 2)
    tape.bar(-1, volume=0.8, above=poke)
    for step in range(tape.rng.randint(3, 6)):
        goal = round(tape.vwap_cents() * (0.99 - 0.002 * step))
        tape.bar(min(-1, goal - tape.cents), volume=tape.rng.choice([1, 2.5, 4]))


def _momentum_up(tape: _Tape) -> None:
    for _ in range(tape.rng.randint(5, 7)):
        tape.bar(tape.percent(0.7), volume=tape.rng.choice([1.2, 1.8, 2.5]), trades=1.2)


def _momentum_down(tape: _Tape) -> None:
    for step in range(tape.rng.randint(6, 9)):
        tape.bar(-tape.percent(0.3 + 0.3 * step), volume=tape.rng.choice([1, 1.5]), trades=1.2)


def _consolidation(tape: _Tape, sign: int) -> None:
    for index in range(tape.rng.randint(32, 36)):
        tape.bar((2, -2)[index % 2], volume=tape.rng.choice([1.0, 1.0, 0.8]), reach=2)
    tape.bar(sign * (tape.percent(1) + tape.rng.choice([4, 6, 10])), volume=tape.rng.choice([2, 3, 6]), trades=1.5)


def _tape_speed(tape: _Tape, sign: int) -> None:
    for _ in range(tape.rng.randint(1, 2)):
        tape.bar(sign * tape.rng.randint(1, 4), volume=1.5, trades=tape.rng.choice([3, 3, 4.9, 5, 6]))


def _flush(tape: _Tape) -> None:
    volume = 1.0
    for _ in range(tape.rng.randint(4, 6)):
        volume += tape.rng.choice([1, 1.5, 2])
        tape.bar(-tape.percent(2.4), volume=volume, trades=volume)
    if tape.rng.random() < 0.5:
        tape.bar(-tape.percent(1), volume=volume)  # volume of the bar before: no longer true


def _pause(tape: _Tape) -> None:
    """Minutes without a trade."""
    tape.minute += tape.rng.choice([1, 2, 5, 17, 40])


# Ties: scenes that leave prices and volumes at which a threshold is met exactly, or missed by a cent or a bar.


def _level(tape: _Tape, cents: int, bars: int = 8, shares: float = 0) -> None:
    """The price jumps to `cents` and stays there."""
    tape.cents = cents
    for _ in range(bars):
        tape.bar(reach=0, shares=shares)


def _new_high(tape: _Tape) -> int:
    """The day's high becomes a whole number of dollars."""
    highs: list[int] = [tape.cents, *(round(row["high"] * 100) for row in tape.rows)]
    top = 100 * (1 + max(highs) // 100)
    tape.bar(top - tape.cents, volume=1.2, reach=0)
    return top


def _tie_volume(tape: _Tape) -> None:
    shares = 10_000 if 9 * 60 + 30 <= tape.minute < 16 * 60 else 15_000
    _level(tape, 490, bars=14, shares=1_000)
    tape.bar(tape.rng.choice([10, 10, 9]), reach=0, shares=tape.rng.choice([shares, shares, shares - 1]))


def _tie_range(tape: _Tape) -> None:
    _level(tape, tape.rng.choice([1000, 2000, 400]))
    tape.bar(round(tape.cents * 0.015), reach=0, volume=25)


def _tie_price_filter(tape: _Tape) -> None:
    _level(tape, 97, bars=22, shares=20_000)
    tape.bar(tape.rng.choice([3, 3, 2]), reach=0, shares=200_000)
    _level(tape, 49_000, bars=22)
    tape.bar(tape.rng.choice([1000, 1000, 1001]), reach=0, volume=60)
    tape.cents = 1000


def _tie_from_high(tape: _Tape) -> None:
    top = _new_high(tape)
    for _ in range(tape.rng.choice([1, 2, 2])):
        tape.bar(-1, reach=0)
    tape.bar(round(top * 0.98) - tape.cents + tape.rng.choice([0, 0, 1]), reach=0, above=2, volume=25)


def _tie_return(tape: _Tape) -> None:
    _level(tape, 2000, bars=9)
    change = tape.rng.choice([60, -70])
    for step in (0, 0, 0, 0, change):
        tape.bar(step, reach=0, volume=2 if step else 1)


def _tie_acceleration(tape: _Tape) -> None:
    _level(tape, 2000, bars=6)
    for step in (-20, -20, -20, -20, -20, -20, -20, -20, -20, tape.rng.choice([-34, -34, -33])):  # -5 %, then -6 %
        tape.bar(step, reach=0)


def _tie_flush(tape: _Tape) -> None:
    """8 % below the high, and a lower close just inside or just outside the last 15 bars."""
    top = _new_high(tape)
    if tape.rng.random() < 0.6:
        tape.bar(round(top * 0.9) - tape.cents, reach=0)
        tape.bar(round(top * 0.97) - tape.cents, reach=0)
        _level(tape, tape.cents, bars=tape.rng.choice([9, 10, 10, 11]))
    for share, volume in ((0.96, 2), (0.95, 2.5), (0.94, 3), (0.92, 6)):
        tape.bar(round(top * share) - tape.cents, reach=0, volume=volume)


def _tie_rejection(tape: _Tape) -> None:
    """The failed reclaim lies exactly 10 or 11 bars before the loud bar."""
    for _ in range(3):
        tape.bar(round(tape.vwap_cents() * 0.994) - tape.cents, reach=0, volume=0.5)
    tape.bar(-1, reach=0, volume=0.5, above=max(1, round(tape.vwap_cents()) - tape.cents + 2))
    for _ in range(tape.rng.choice([6, 7, 7, 8])):
        tape.bar(round(tape.vwap_cents() * 0.994) - tape.cents, reach=0, volume=0.5)
    for volume in (0.5, 0.5, 4):
        tape.bar(round(tape.vwap_cents() * 0.988) - tape.cents, reach=0, volume=volume)


def _tie_consolidation(tape: _Tape) -> None:
    sign = tape.rng.choice([1, -1])
    tape.cents = 2000
    for index in range(34):
        tape.bar(sign * (4, -4)[(index + (sign > 0)) % 2], reach=0)
    goal = 2000 + sign * 20 if tape.cents <= 2004 else tape.cents
    tape.bar(goal - tape.cents, reach=0, volume=4)


_COMMON: Final[tuple[Callable[[_Tape], None], ...]] = (
    _spike_up,
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
_TIES: Final[tuple[Callable[[_Tape], None], ...]] = (
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
SCENES: Final = (*_COMMON, *_COMMON, *_TIES)


def _opening_range(tape: _Tape) -> None:
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
        _quiet(tape, tape.rng.choice([0, 0, 3]))
    opening = tape.rows[first:] or [{"high": opened / 100, "low": opened / 100}]
    edge = max(row["high"] for row in opening) if sign > 0 else min(row["low"] for row in opening)
    goal = round(edge * 100 * (1 + sign * 0.005)) + sign * tape.rng.choice([0, 0, 2])
    tape.bar(goal - tape.cents, volume=tape.rng.choice([1.8, 4, 6]))
    if frozen:
        tape.bar(sign * tape.percent(0.8), volume=6)


def _round_day(tape: _Tape) -> None:
    """A day of exactly 500,000 or 1,000,000 dollars with a loud green or red bar, or one share less."""
    tape.minute = tape.rng.choice([8 * 60, 9 * 60 + 30, 10 * 60])
    bars, step = tape.rng.choice([(40, 10), (90, -10)])
    tape.trades_known = True
    _level(tape, 500, bars=bars, shares=2_000)
    tape.cents -= step
    tape.bar(step, reach=0, shares=tape.rng.choice([20_000, 20_000, 19_999]), trades=6)


def _play(tape: _Tape, until: int) -> None:
    """Scenes with quiet minutes between them, up to a minute of the day."""
    while tape.minute < until:
        if tape.cents < 150 or tape.cents > 6000:  # back to a range where a cent is neither large nor negligible
            tape.cents = tape.rng.choice([400, 800, 1000, 1600])
        _quiet(tape, tape.rng.choice([0, 2, 6, 12, 24]))
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


def _day(rng: random.Random, symbol: str, day: date, cents: int, base: int) -> tuple[list[Row], int]:  # noqa: C901
    tape = _Tape(rng, symbol, day, cents, base)
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
            _spike_up(tape)  # loud from the first bar on
        _play(tape, rng.choice([10 * 60, 10 * 60 + 20, 11 * 60 + 30]))
        if kind == "full":
            tape.minute = max(tape.minute, rng.choice([12 * 60 + 30, 13 * 60 + 45]))
            _play(tape, tape.minute + 75)
    if kind in ("full", "after", "gaps"):
        tape.minute = max(tape.minute, 15 * 60 + 40)
        _play(tape, rng.choice([16 * 60 + 40, 17 * 60 + 30]))
    if kind == "full" and rng.random() < 0.3:  # the last minutes of the day and some outside it
        tape.minute = max(tape.minute, 19 * 60 + 50)
        _quiet(tape, 13)
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


def lively_bars(seed: int, symbols: int, sessions: Sequence[date]) -> pl.DataFrame:
    """Valid, sorted bars in which every detector fires in every direction it knows (given some dozen symbol-days).

    A few bars lie outside the sessions or, after a Friday, on the weekend.
    """
    rng = random.Random(seed)  # noqa: S311
    rows: list[Row] = []
    for number in range(symbols):
        symbol = ("ATRA", "KIMpL", "BRK.A", "ZZ9", "B", "AB", "A-B", "GME")[number % 8] + (
            str(number) if number > 7 else ""
        )
        cents = rng.choice([80, 200, 400, 1000, 1000, 1200, 2000, 2000])
        base = rng.choice([200, 2000, 2500, 4000, 10000, 10000])
        for day in sessions:
            if rng.random() < 0.08:
                continue
            found, cents = _day(rng, symbol, day, cents, base)
            rows += found
            if rng.random() < 0.1 and found:
                rows += [
                    {**row, "timestamp": row["timestamp"] + timedelta(days=1)}
                    for row in found[:3]
                    if day.weekday() == 4
                ]
            cents = max(80, cents + rng.choice([-20, -3, 0, 5, 30]))
    return pl.DataFrame(rows, schema=BARS, orient="row").sort("symbol", "timestamp")


DAMAGES: Final[tuple[Row, ...]] = (
    {"open": None},
    {"high": float("nan")},
    {"low": float("inf")},
    {"close": float("-inf")},
    {"close": 0.0},
    {"low": -1.0},
    {"high": 0.01},
    {"low": 9999.0},
    {"volume": 0.0},
    {"volume": -5.0},
    {"volume": None},
    {"volume": float("nan")},
    {"volume": float("inf")},
    {"volume": 1e308},
    {"high": 1e308},
)
# what vendors write where they do not know: such bars are good
UNKNOWN_VALUES: Final[tuple[Row, ...]] = (
    *({"vwap": value} for value in (float("nan"), float("inf"), None, -1.0, 0.0, 1e308)),
    *({"transactions": value} for value in (None, 0, -1, 2**31 - 1, 2**63 - 1)),
)


def spoiled(seed: int, bars: pl.DataFrame) -> pl.DataFrame:
    """`bars` with bad rows, repeats (good before bad, bad before good, good twice), unknown values, out of order."""
    rng = random.Random(seed)  # noqa: S311
    rows: list[Row] = []
    for row in bars.iter_rows(named=True):
        dice = rng.random()
        if dice < 0.02:
            rows.append({**row, **rng.choice(DAMAGES)})
        elif dice < 0.03:
            rows += [row, {**row, "volume": row["volume"] + 100, "close": row["high"]}]
        elif dice < 0.04:
            rows += [{**row, **rng.choice(DAMAGES)}, row]
        elif dice < 0.05:
            rows += [row, {**row, **rng.choice(DAMAGES)}, row]
        elif dice < 0.06:
            rows.append({**row, **rng.choice(UNKNOWN_VALUES)})
        else:
            rows.append(row)
    if rng.random() < 0.7:
        rng.shuffle(rows)
    return pl.DataFrame(rows, schema=BARS, orient="row")


@lru_cache(maxsize=1)
def _weeks() -> list[list[date]]:
    plain = sessions_between(*PLAIN_WEEKS)
    return [plain[:1], plain[3:6], plain, *(sessions_between(*week) for week in (*DST_WEEKS, *HALF_DAYS))]


@st.composite
def bars_frames(draw: st.DrawFn, *, spoil: bool = True, max_symbols: int = 2) -> pl.DataFrame:
    """Small frames of bars: one to `max_symbols` symbols over one session to a month, some spoiled, some empty."""
    sessions = draw(st.sampled_from(_weeks()))
    bars = lively_bars(draw(st.integers(0, 10**6)), draw(st.integers(1, max_symbols)), sessions)
    if draw(st.integers(0, 30)) == 30:
        bars = bars.clear()
    return spoiled(draw(st.integers(0, 10**6)), bars) if spoil and draw(st.booleans()) else bars


def references(seed: int, bars: pl.DataFrame) -> pl.DataFrame:
    """Reference data of some of the symbols, at and around the thresholds, with nulls."""
    rng = random.Random(seed)  # noqa: S311
    rows = []
    for symbol in bars["symbol"].unique().sort().to_list():
        if rng.random() < 0.8:
            shares = rng.choice([None, 0.0, 4_999_999.0, 5_000_000.0, 9_999_999.0, 10_000_000.0, 50_000_000.0])
            share = rng.choice([None, 0.1, 0.4, 0.41])
            short = None if share is None else (shares or 5_000_000.0) * share
            rows.append((symbol, shares, short, rng.choice([None, 1.0, 5.0, 5.1])))
    names = ("symbol", "float_shares", "short_interest_shares", "days_to_cover")
    return pl.DataFrame(
        rows, schema={name: pl.String() if name == "symbol" else pl.Float64() for name in names}, orient="row"
    )


# ------------------------------------------------------------------------------------------------- MASTER


def lively_master(seed: int, rows: int) -> pl.DataFrame:
    """A MASTER table of at most `rows` rows with many ties: in score, rvol, dollars, transactions, spread and spike."""
    rng = random.Random(seed)  # noqa: S311
    sessions = sessions_between(date(2025, 11, 24), date(2025, 12, 2))
    ids: set[str] = set()
    found: list[Row] = []
    groups: dict[str, datetime] = {}
    symbols = [f"S{number}" for number in range(rng.choice([1, 3, 12, 60]))]
    for _ in range(rows):
        symbol, kind, day = rng.choice(symbols), rng.choice(EVENT_TYPES), rng.choice(sessions)
        half = day == date(2025, 11, 28)
        session = rng.choice(["PM", "RTH", "RTH", "RTH", "AH"])
        first, last = {
            "PM": (240, 570),
            "RTH": (570, 780 if half else 960),
            "AH": (780, 1020) if half else (960, 1200),
        }[session]
        minute = rng.choice([first, last - 1, 615, 840, rng.randrange(first, last)])
        minute = min(last - 1, max(first, minute))
        moment = datetime.combine(day, time(minute // 60, minute % 60), EASTERN).astimezone(UTC)
        name = event_id(symbol, kind, moment)
        if name in ids:
            continue
        ids.add(name)
        found.append(_master_row(rng, symbol, kind, session, moment) | {"event_id": name})
    found.sort(key=lambda row: (row["symbol"], row["timestamp"], row["event_type"]))
    for row in found:
        key = f"{row['symbol']} {row['date']}"
        if key not in groups or row["timestamp"] >= groups[key] + timedelta(minutes=5):
            groups[key] = row["timestamp"]
        row["event_group_id"] = f"{row['symbol']}_{groups[key]:%Y%m%d_%H%M%S}"
    return pl.DataFrame([{name: row[name] for name in EVENTS} for row in found], schema=EVENTS, orient="row")


def _master_row(rng: random.Random, symbol: str, kind: str, session: str, moment: datetime) -> Row:
    low = rng.choice([100, 250, 1000, 2000])
    wide = rng.choice([1, 2, 2, 3, 4, 5, 5, 6, 20]) * low // 100  # 5 % of the low is the spread limit
    high = low + max(1, wide)
    opened, close = rng.choice([(low, high), (high, low), (low, low)])
    vwap = rng.choice([low / 100, (low + high) / 200, high / 100])
    volume = float(rng.choice([2_400, 2_500, 5_000, 9_999, 10_000, 10_000, 40_000, 100_000]))
    direction = "down" if kind == "flush" else rng.choice(["up", "down"])
    dollars = rng.choice([close / 100 * volume, 25_000.0, 50_000.0, 100_000.0, 100_000.0, 250_000.0, 9e6])
    score = rng.choice([0.39, 0.4, 0.5, 0.6, 0.6, 0.75, 0.98, 1.0, round(rng.random(), 6)])
    return {
        "symbol": symbol,
        "event_type": kind,
        "timestamp": moment,
        "direction": direction,
        "session": session,
        "spike_x": rng.choice([2.0, 3.5, 4.0, 6.0, 8.0, round(rng.uniform(1.8, 30), 3)]),
        "open": opened / 100,
        "high": high / 100,
        "low": low / 100,
        "close": close / 100,
        "volume": volume,
        "dollar_volume": dollars,
        "score": score,
        "date": f"{moment.astimezone(EASTERN):%Y-%m-%d}",
        "event_bias": "bullish" if direction == "up" else "bearish",
        "close_vs_open": "green" if close > opened else "red" if close < opened else "flat",
        "tier": 1 if score >= 0.6 else 2 if score >= 0.5 else 3 if score >= 0.4 else 4,
        "known_at": moment + timedelta(minutes=1),
        "vwap_at_event": vwap,
        "flatness_score": rng.choice([None, 0.25, 0.5, round(rng.random(), 6)]),
        "rvol_day": rng.choice([None, None, 0.9, 1.0, 1.2, 1.5, 1.5, 3.0]),
        "dollar_volume_day": rng.choice([99_999.0, 100_000.0, 250_000.0, 500_000.0, 500_000.0, 4e6, 4e6, 4e6]),
        "dollar_volume_to_event": dollars,
        "transactions": rng.choice([None, 40, 100, 100, 250, rng.randrange(50, 4000)]),
        "is_premarket": session == "PM",
        "is_afterhours": session == "AH",
    }


@st.composite
def masters(draw: st.DrawFn, *, max_rows: int = 120) -> pl.DataFrame:
    """MASTER tables of up to `max_rows` rows; sometimes empty, sometimes without any transactions."""
    frame = lively_master(draw(st.integers(0, 10**6)), draw(st.integers(0, max_rows)))
    if draw(st.integers(0, 9)) == 9:
        frame = frame.with_columns(transactions=pl.lit(None, pl.Int64))
    return frame


@st.composite
def tight_limits(draw: st.DrawFn) -> dict[str, int]:
    """max_events, max_per_symbol and max_per_symbol_day small enough to bite on what `masters` makes."""
    return {
        "max_events": draw(st.sampled_from([1, 3, 7, 10, 20, 40, 100])),
        "max_per_symbol": draw(st.sampled_from([1, 2, 5, 50])),
        "max_per_symbol_day": draw(st.sampled_from([1, 2, 3, 20])),
    }


# ------------------------------------------------------------------------------------------------- quotes

_NS: Final = 1_000_000_000
# gaps around the intervals of 50, 20, 5, 1 and 0.5 Hz; 0 repeats the timestamp
_SHORT_GAPS: Final = (0, 0, 0, 1, 999, 7_000_001, 19_999_999, 20_000_000, 50_000_000, 130_000_000, 200_000_000)
_GAPS: Final = (*_SHORT_GAPS, _NS, 2 * _NS, 61 * _NS)


@st.composite
def quote_streams(draw: st.DrawFn, *, max_rows: int = 60) -> pl.DataFrame:
    """Quotes sorted by (timestamp, sequence_number): equal times, unchanged rows, gaps, times on interval edges."""
    row = st.tuples(
        st.sampled_from(_GAPS),
        st.sampled_from((100, 100, 101)),
        st.sampled_from((102, 102, 103)),
        st.sampled_from((1, 1, 2)),
    )
    at = 1_762_180_200 * _NS + draw(st.sampled_from((0, 1, 123_456_789, 199_999_999)))
    rows = []
    for number, (gap, bid, ask, size) in enumerate(draw(st.lists(row, max_size=max_rows))):
        at += gap
        rows.append(
            {
                "timestamp": at,
                "bid_price": bid / 100,
                "bid_size": float(size),
                "ask_price": ask / 100,
                "ask_size": 1.0,
                "bid_exchange": number % 3,
                "ask_exchange": 1,
                "indicators": [number % 2] if number % 4 else None,
                "conditions": [1],
                "sequence_number": number,
            }
        )
    physical = {**QUOTES, "timestamp": pl.Int64()}
    return pl.DataFrame(rows, schema=physical, orient="row").cast(QUOTES)
