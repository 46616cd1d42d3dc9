"""The calm day that stories modify: one row per minute from 04:00 New York time, integers only."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from smallcaps_assets.simulated.hours import RTH_OPEN, TradingDay
from smallcaps_assets.simulated.market.listings import Listing
from smallcaps_assets.simulated.market.noise import Ints, Noise

Bools = npt.NDArray[np.bool_]

MIN_CALM_SHARES: Final = 500
MIN_CALM_TRADES: Final = 5
SHARES_PER_TRADE: Final = 75
_NOT_PINNED: Final = -1
_ODD_ONLY_PCT: Final = 5
_COARSE_CENTS: Final = 400  # below it one tick is a large step


@dataclass
class Sketch:
    """A day under construction. Prices are cents, volumes shares; `pinned_*` is -1 where nothing is pinned."""

    level: Ints
    wobble: Ints
    wick_up: Ints
    wick_down: Ints
    volume: Ints
    trades: Ints
    exists: Bools
    odd_only: Bools
    pinned_open: Ints = field(init=False)
    pinned_close: Ints = field(init=False)
    pinned_high: Ints = field(init=False)
    pinned_low: Ints = field(init=False)

    def __post_init__(self) -> None:
        free = np.full(len(self.level), _NOT_PINNED, dtype=np.int64)
        self.pinned_open, self.pinned_close, self.pinned_high, self.pinned_low = (free.copy() for _ in range(4))

    def calm(self, first: int, end: int) -> int:
        """Let every minute of [first, end) trade at one price, without wobble; return that price in cents."""
        self.exists[first:end] = True
        self.odd_only[first:end] = False
        self.volume[first:end] = np.maximum(self.volume[first:end], MIN_CALM_SHARES)
        most = self.volume[first:end] // SHARES_PER_TRADE
        self.trades[first:end] = np.clip(self.trades[first:end], MIN_CALM_TRADES, most)
        price = int(self.level[first])
        self.pinned_close[first:end] = price
        return price

    def baseline(self, minute: int) -> int:
        """The median planned volume of the 20 minutes before; they all trade."""
        before = np.sort(self.volume[minute - 20 : minute])
        return int(before[9] + before[10]) // 2

    def mean_trades(self, minute: int) -> int:
        """The mean planned number of trades of the 20 minutes before, rounded up."""
        return -(-int(self.trades[minute - 20 : minute].sum()) // 20)

    def rest_at(self, minute: int, price: int) -> None:
        """Continue the day at a new price from `minute` on."""
        self.level[minute:] = price

    def candles(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Open, high, low and close of every minute in cents; meaningful where the minute trades."""
        close = np.where(self.pinned_close >= 0, self.pinned_close, np.maximum(self.level + self.wobble, 1))
        minutes = np.arange(len(close))
        latest = np.maximum.accumulate(np.where(self.exists, minutes, _NOT_PINNED))
        before = np.concatenate(([_NOT_PINNED], latest[:-1]))
        open_ = np.where(before >= 0, close[before], self.level[0])
        open_ = np.where(self.pinned_open >= 0, self.pinned_open, open_)
        high = np.maximum(open_, close) + self.wick_up
        low = np.minimum(open_, close) - self.wick_down
        high = np.where(self.pinned_high >= 0, np.maximum(self.pinned_high, np.maximum(open_, close)), high)
        low = np.where(self.pinned_low >= 0, np.minimum(self.pinned_low, np.minimum(open_, close)), low)
        return open_, high, np.maximum(low, 1), close


def calm_day(listing: Listing, session: TradingDay, activity_pct: int) -> Sketch:
    """A day without events; `activity_pct` scales its volume (100 is an ordinary quiet day)."""
    noise = Noise(listing.seed, listing.symbol, session.day.isoformat(), "calm")
    count = session.end
    cents = listing.level_cents(session.day)
    curve = _activity_curve(session)
    shares = listing.dollars_per_minute * 100 // cents
    if listing.split is not None and session.day < listing.split.day:
        shares = max(shares, 1)
    volume = np.maximum(shares * activity_pct * curve // 10_000 * noise.between(0, count, 80, 125) // 100, 40)
    return Sketch(
        level=np.full(count, cents, dtype=np.int64),
        wobble=_wobble(noise, count, cents),
        wick_up=noise.below(4, count, max(cents // 500, 1) + 1),
        wick_down=noise.below(5, count, max(cents // 500, 1) + 1),
        volume=volume,
        trades=_trade_counts(listing, noise, session, activity_pct, volume),
        exists=noise.below(6, count, 100) < _busy_pct(session),
        odd_only=noise.below(7, count, 100) < _ODD_ONLY_PCT,
    )


def _wobble(noise: Noise, count: int, cents: int) -> Ints:
    """Slow noise of 0.3 percent plus about one tick, so that VWAP stays near the level."""
    reach = cents * 3 // 1000
    knots = noise.between(1, count // 16 + 2, -reach, reach)
    knot, step = np.divmod(np.arange(count), 16)
    slow = knots[knot] + (knots[knot + 1] - knots[knot]) * step // 16
    ticks = max(cents // 1000, 1)
    jitter = noise.between(2, count, -ticks, ticks)
    usual = np.zeros_like(jitter) if cents < _COARSE_CENTS else jitter // 2
    wobble: Ints = slow + np.where(noise.below(3, count, 4) == 0, jitter, usual)
    return wobble


def _activity_curve(session: TradingDay) -> Ints:
    """Volume of each minute in percent of a calm regular minute: busy at open and close, thin outside."""
    minutes = np.arange(session.end)
    since_open = minutes - RTH_OPEN
    opening = np.maximum(130 - since_open * 3, 0)
    closing = np.clip(80 - (session.close - 1 - minutes) * 4, 0, 80)
    regular = 100 + opening + closing
    premarket = 22 + np.clip(minutes - 210, 0, 120) // 8
    after = np.maximum(40 - (minutes - session.close) // 8, 15)
    return np.where(minutes < RTH_OPEN, premarket, np.where(minutes < session.close, regular, after))


def _busy_pct(session: TradingDay) -> Ints:
    """The chance in percent that a minute trades at all."""
    minutes = np.arange(session.end)
    premarket = 30 + minutes // 12
    after = 45 - (minutes - session.close) // 12
    return np.where(minutes < RTH_OPEN, premarket, np.where(minutes < session.close, 98, after))


def _trade_counts(listing: Listing, noise: Noise, session: TradingDay, activity_pct: int, volume: Ints) -> Ints:
    curve = _activity_curve(session)
    minutes = np.arange(session.end)
    is_regular = (minutes >= RTH_OPEN) & (minutes < session.close)
    share = np.where(is_regular, (100 + curve) // 2, curve * 3 // 4)
    wanted = listing.trades_per_minute * (60 + activity_pct * 2 // 5) * share // 10_000
    wanted = wanted * noise.between(8, session.end, 70, 130) // 100
    return np.maximum(np.minimum(wanted, volume // SHARES_PER_TRADE), 1)
