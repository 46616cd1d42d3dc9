"""Bars of one symbol and day, made minute by minute."""

import random
from datetime import UTC, date, datetime, time, timedelta

from smallcaps_assets_tests.strategies.sessions import EASTERN, Row


class MinuteTape:
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


def quiet(tape: MinuteTape, bars: int, reach: int = 1) -> None:
    for _ in range(bars):
        volume = tape.rng.choice([1.0, 1.0, 1.0, 0.8, 1.2, 0.5])
        tape.bar(tape.rng.choice([-1, 0, 0, 1]), volume=volume, reach=reach)
