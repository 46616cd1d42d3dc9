"""The bars after an event, and the entry at which outcomes begin (research specification, sections 3.1 and 4.1)."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.arrays import BoolArray, IntArray
from smallcaps_assets.domain.research.prices import micro

US_PER_MIN: Final = 60_000_000
# an entry is the open of a bar that starts within this time
ENTRY_MIN: Final = 5
# a key is the number of a symbol and a minute since the epoch
_MINUTE_BITS: Final = 32
# arrays with one value per event
_OF_EVENTS: Final = ("own", "first", "known_at", "regular_open", "regular_close", "end_of_day", "sign", "_symbol")
_CLOCK: Final = ("regular_open", "regular_close", "afterhours_close")


class Entries(NamedTuple):
    """The entry of each event; figures of an event without one (position -1) are 0.

    Attributes:
        position: of the entry bar among the bars; -1 without an entry.
        at: start of that bar, in us since the epoch.
        price: its open, in micro-dollars.
    """

    position: IntArray
    at: IntArray
    price: IntArray

    @property
    def exists(self) -> BoolArray:
        """Whether the event has an entry."""
        return self.position >= 0


class TwoWayPrices(NamedTuple):
    """Prices in micro-dollars; see `BarsAfter.both_ways`."""

    opens: IntArray
    high: IntArray
    low: IntArray


@dataclass(frozen=True)
class BarsAfter:
    """Events with the bars that follow them: one value per event in each array, times in us since the epoch.

    Attributes:
        bars: bars in sessions, sorted by symbol and timestamp, with `day` and `session`.
        events: the events that have a bar, in the order given.
        own: position of the event's own bar among the bars.
        first: position of the first bar of the symbol that starts at `known_at` or later. It may be of another date;
            `count_until` says how many bars from there on are of the date.
        known_at: the end of the event's minute (K).
        regular_open: of the event's date.
        regular_close: of the event's date.
        end_of_day: the end of after-hours of the event's date.
        sign: 1 where the event's direction is `up`, else -1.
    """

    bars: pl.DataFrame
    events: pl.DataFrame
    own: IntArray
    first: IntArray
    known_at: IntArray
    regular_open: IntArray
    regular_close: IntArray
    end_of_day: IntArray
    sign: IntArray
    _keys: IntArray
    _symbol: IntArray

    def __len__(self) -> int:
        """Number of events that have a bar."""
        return len(self.own)

    def part(self, rows: slice) -> "BarsAfter":
        """The events of some rows, with the same bars."""
        arrays = {name: getattr(self, name)[rows] for name in _OF_EVENTS}
        return replace(self, events=self.events[rows], **arrays)

    def until(self, minutes: int) -> IntArray:
        """The earlier of `minutes` after `known_at` and the end of after-hours."""
        return np.minimum(self.known_at + minutes * US_PER_MIN, self.end_of_day)

    def position(self, time: IntArray) -> IntArray:
        """Position of the first bar of the event's symbol that starts at `time` (us, one per event) or later.

        It is that of the first bar of the next symbol, or the number of bars, where there is none.
        """
        minute = -(-time // US_PER_MIN)
        found: IntArray = self._keys.searchsorted(self._symbol + minute, side="left").astype(np.int64)
        return found

    def count_until(self, bound: IntArray) -> IntArray:
        """How many bars of the event's date start in [known_at, bound); `bound` in us, one per event."""
        count: IntArray = np.maximum(self.position(np.minimum(bound, self.end_of_day)) - self.first, 0)
        return count

    def prices(self, column: str) -> IntArray:
        """A price of every bar in micro-dollars."""
        found: IntArray = self.bars.select(micro(column)).to_series().to_numpy()
        return found

    @cached_property
    def both_ways(self) -> TwoWayPrices:
        """Prices of every bar, and after them those of the same bars mirrored at 0, by which a fall is a rise."""
        opens, high, low = (self.prices(name) for name in ("open", "high", "low"))
        return TwoWayPrices(np.append(opens, -opens), np.append(high, -low), np.append(low, -high))

    @cached_property
    def starts(self) -> IntArray:
        """The start of every bar."""
        found: IntArray = self.bars["timestamp"].dt.epoch("us").to_numpy()
        return found

    @cached_property
    def entries(self) -> Entries:
        """The open of the first bar of the date that starts within ENTRY_MIN after `known_at`.

        A bar that ends after after-hours, as one may where these end within a minute, is none.
        """
        soon = self.until(ENTRY_MIN)
        whole = self.count_until(np.minimum(soon, self.end_of_day - US_PER_MIN + 1))
        found = np.flatnonzero(whole > 0)
        place = self.first[found]
        position, at, price = np.full(len(self), -1), np.zeros(len(self), np.int64), np.zeros(len(self), np.int64)
        position[found], at[found], price[found] = place, self.starts[place], self.prices("open")[place]
        return Entries(position, at, price)


def bars_after(events: pl.DataFrame, labeled: pl.DataFrame, sessions: pl.DataFrame) -> BarsAfter:
    """The bars that follow each event which has a bar of its own; the other events are left out.

    Args:
        events: `symbol`, `timestamp` (start of a minute, UTC), `direction` and more, in any order.
        labeled: usable bars in sessions, sorted by symbol and timestamp, with `day` and `session`, see `with_session`.
        sessions: SESSION_TABLE that covers the days of the bars.
    """
    keys, symbols = _bar_keys(labeled)
    known = pl.Series(symbols, dtype=pl.String)
    number = known.search_sorted(events["symbol"]).to_numpy().astype(np.int64)
    symbol = number << _MINUTE_BITS
    own_key = symbol + events["timestamp"].dt.epoch("us").to_numpy() // US_PER_MIN
    own = keys.searchsorted(own_key, side="left").astype(np.int64)
    # the place of a symbol without bars is that of another one
    same_symbol = known.extend_constant(None, 1).gather(number).eq_missing(events["symbol"]).to_numpy()
    has_bar = same_symbol & (np.append(keys, -1)[own] == own_key)
    own, symbol = own[has_bar], symbol[has_bar]
    kept = events.filter(pl.Series(has_bar))
    known_at = kept["timestamp"].dt.epoch("us").to_numpy() + US_PER_MIN
    clock = sessions.select(pl.col(_CLOCK).dt.epoch("us"), day="date")
    bounds = labeled.select("day")[own].join(clock, on="day", how="left", maintain_order="left")
    return BarsAfter(
        bars=labeled,
        events=kept,
        own=own,
        first=keys.searchsorted(symbol + known_at // US_PER_MIN, side="left").astype(np.int64),
        known_at=known_at,
        **{name: bounds[name].to_numpy().astype(np.int64) for name in _CLOCK[:2]},
        end_of_day=bounds["afterhours_close"].to_numpy().astype(np.int64),
        sign=np.where(kept["direction"].to_numpy() == "up", 1, -1),
        _keys=keys,
        _symbol=symbol,
    )


def _bar_keys(bars: pl.DataFrame) -> tuple[IntArray, list[str]]:
    """One number per bar in their order, and the symbols in theirs."""
    runs = bars["symbol"].rle().struct.unnest()
    number = np.repeat(np.arange(runs.height), runs["len"].to_numpy()) << _MINUTE_BITS
    return number + bars["timestamp"].dt.epoch("us").to_numpy() // US_PER_MIN, runs["value"].to_list()
