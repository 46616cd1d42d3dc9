"""Random bars and events in which everything that labels depend on occurs."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HaltParams, bar_runs
from smallcaps_assets.domain.research.outcomes.bars_after import bars_after
from smallcaps_assets.domain.research.outcomes.event_labels import event_labels
from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets_tests.slow_spec.research_bars import Symbol
from smallcaps_assets_tests.unit.domain.research.outcomes.hand_bars import DAY, HALF_DAY, SESSIONS, label_bars

# the days around the end of daylight saving time, a plain one and a half day
DAYS = (date(2025, 10, 31), date(2025, 11, 3), DAY, HALF_DAY)
# minutes of the New York day around which bars lie: both opens, both closes, both ends of after-hours
_AROUND = (4 * 60, 9 * 60 + 30, 13 * 60, 16 * 60, 17 * 60, 20 * 60)
ATRS = (None, 0.0, 0.002, 0.004, 0.01, 0.03, 0.5)


class LabelScene(NamedTuple):
    """Bars in sessions, events and the `bar_atr` of each."""

    bars: pl.DataFrame
    events: pl.DataFrame
    atr: pl.DataFrame

    def labels(self) -> pl.DataFrame:
        after = bars_after(self.events, self.bars, SESSIONS)
        return event_labels(after, self.atr, bar_runs(self.bars, SESSIONS, HaltParams()))

    def slow_symbols(self) -> dict[str, Symbol]:
        days: dict[str, dict[date, list[dict[str, Any]]]] = {}
        for row in self.bars.rows(named=True):
            days.setdefault(row["symbol"], {}).setdefault(row["day"], []).append(row)
        return {symbol: Symbol(of_symbol, None) for symbol, of_symbol in days.items()}


def label_scene(seed: int) -> LabelScene:
    """Two symbols on some days, with 40 to 130 minutes of bars around one clock time of each."""
    rng = random.Random(seed)  # noqa: S311
    bars = label_bars(pl.DataFrame(_bars(rng), BARS, orient="row"))
    chosen = [row for row in bars.rows(named=True) if rng.random() < 0.25]
    events = [
        (
            f"{rng.randrange(10**6)} {number}",
            row["symbol"],
            row["timestamp"],
            rng.choice(["up", "down"]),
            row["session"],
        )
        for number, row in enumerate(chosen)
    ]
    names = ("event_id", "symbol", "timestamp", "direction", "session")
    frame = pl.DataFrame(events, dict.fromkeys(names, pl.String) | {"timestamp": UTC_US}, orient="row")
    master = pl.Series("in_master", [rng.random() < 0.8 for _ in events], dtype=pl.Boolean)
    atr = pl.Series("bar_atr", [rng.choice(ATRS) for _ in events], dtype=pl.Float64)
    shuffled = frame.with_columns(master, atr).sample(fraction=1.0, shuffle=True, seed=seed)
    return LabelScene(bars, shuffled.drop("bar_atr"), shuffled.select("event_id", "bar_atr").filter(rng.random() < 0.9))


def _bars(rng: random.Random) -> list[tuple[Any, ...]]:
    rows = []
    for symbol in ("AAA", "BBB"):
        for day in rng.sample(DAYS, 2):
            start = datetime.combine(day, datetime.min.time(), ZoneInfo("America/New_York")).astimezone(UTC)
            minute = rng.choice(_AROUND) - rng.randrange(10, 70)
            # half cents: barriers fall on the grid
            price, step, missing = (
                rng.choice([400, 402, 1_000, 5_000]),
                rng.choice([1, 2, 8]),
                rng.choice([0, 0.1, 0.5]),
            )
            for _ in range(rng.randrange(40, 130)):
                minute += 1 if rng.random() >= 0.02 else rng.randrange(4, 12)
                opened = max(20, price + rng.choice([0, 0, 0, 0, 1, -1, 3, -3]) * step)
                price = max(20, opened + rng.randrange(-step, step + 1))
                high = max(opened, price) + rng.randrange(step + 1)
                low = min(opened, price) - rng.randrange(step + 1)
                if rng.random() >= missing:
                    prices = (value / 200 for value in (opened, high, low, price))
                    count = None if rng.random() < 0.02 else rng.randrange(4, 20)
                    rows.append((symbol, start + timedelta(minutes=minute), *prices, 1.0, None, count))
    return rows
