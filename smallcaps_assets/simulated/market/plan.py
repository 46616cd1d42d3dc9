"""The plan of one day: a calm day, modified by its stories, and the events that detectors must find in it.

The bar of every planned event meets the detector's conditions with a margin, because the twenty to forty minutes before
it are calm: they all trade, at one price or in a known band, with a known median volume.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from smallcaps_assets.simulated.hours import RTH_OPEN, TradingDay
from smallcaps_assets.simulated.market.listings import Listing
from smallcaps_assets.simulated.market.noise import Ints, Noise
from smallcaps_assets.simulated.market.sketch import SHARES_PER_TRADE, Bools, Sketch, calm_day
from smallcaps_assets.simulated.market.stories import Story, Tale, draw_stories

CALM_BEFORE: Final = 40
LEAD: Final = 4
_AFTERMATH_BPS: Final = (60, 30, -40, -20, 10, 0)
_AFTERMATH_PCT: Final = (900, 500, 350, 250, 180, 140)
_STAMPEDE_TRADES: Final = 8_500
_STAMPEDE_SHARES: Final = 90
# What a volume spike must exceed with a margin: shares and cents, in regular and in extended hours.
_REGULAR_FLOOR: Final = (12_000, 6_500_000)
_EXTENDED_FLOOR: Final = (17_500, 9_000_000)


@dataclass(frozen=True)
class PlannedEvent:
    """An event that a detector must find at `minute` (counted from 04:00 New York time)."""

    event_type: str
    direction: str
    minute: int
    story: str


@dataclass(frozen=True)
class DayPlan:
    """Planned bars of a day, one row per minute, and its events. Prices in cents, volumes in shares."""

    session: TradingDay
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    trades: Ints
    is_odd_only: Bools
    events: tuple[PlannedEvent, ...]


@dataclass(frozen=True)
class Scene:
    """A story with the day it is drawn on."""

    story: Story
    session: TradingDay
    sketch: Sketch
    noise: Noise

    def draw(self, stream: int, low: int, high: int) -> int:
        """A number in [low, high], both included; streams 0 to 9 of a story are independent."""
        return self.noise.one(10 * (self.story.number + 1) + stream, low, high)

    def step(self, price: int, bps: int) -> int:
        """A move of `bps` of `price` in cents, rounded away from zero, in the story's direction."""
        return self.story.sign * -(-price * bps // 10_000)

    def events(self, *event_types: str, minute: int | None = None) -> list[PlannedEvent]:
        """Events of these types at the story's minute or another one."""
        at = self.story.minute if minute is None else minute
        return [PlannedEvent(name, self.story.direction, at, self.story.name) for name in event_types]


Drawer = Callable[[Scene], list[PlannedEvent]]


def plan_day(listing: Listing, session: TradingDay) -> DayPlan:
    """The plan of a symbol's day; a pure function of seed, symbol and trading day."""
    return plan_stories(listing, session, draw_stories(listing, session), _DRAWERS)


def plan_stories(
    listing: Listing, session: TradingDay, stories: tuple[Story, ...], drawers: Mapping[Tale, Drawer]
) -> DayPlan:
    """The plan of a symbol's day on which `stories` happen, each drawn by the drawer of its tale."""
    noise = Noise(listing.seed, listing.symbol, session.day.isoformat(), "plan")
    sketch = calm_day(listing, session, _activity_pct(noise, stories))
    if not stories:
        _draw_blips(noise, session, sketch)
    events = [event for story in stories for event in drawers[story.tale](Scene(story, session, sketch, noise))]
    open_, high, low, close = sketch.candles()
    trades = np.where(sketch.exists, sketch.trades, 0)
    odd_only = ~sketch.exists & sketch.odd_only
    if listing.is_silent:
        trades, odd_only = np.zeros_like(trades), np.zeros_like(odd_only)
    return DayPlan(
        session=session,
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=sketch.volume,
        trades=np.where(odd_only, 1, trades),
        is_odd_only=odd_only,
        events=tuple(events),
    )


def _activity_pct(noise: Noise, stories: tuple[Story, ...]) -> int:
    """Volume of the day in percent of a quiet day: days with strong stories trade three to four times as much."""
    if any(story.strong for story in stories):
        return noise.one(0, 280, 400)
    return noise.one(1, 130, 170) if stories else noise.one(2, 85, 115)


def _draw_blips(noise: Noise, session: TradingDay, sketch: Sketch) -> None:
    """Three minutes of a quiet day with more volume and a small move, as on any day."""
    for number in range(3):
        minute = noise.one(100 + number, RTH_OPEN + 60, session.close - 40)
        level = int(sketch.level[minute])
        sketch.exists[minute] = True
        sketch.volume[minute] = sketch.volume[minute] * noise.one(110 + number, 250, 450) // 100
        sketch.trades[minute] = sketch.trades[minute] * 3
        sketch.pinned_close[minute] = level + level * noise.one(120 + number, -7, 7) // 1000


def draw_spike(scene: Scene) -> list[PlannedEvent]:
    """Forty calm minutes, a run, the decisive bar and its aftermath."""
    lead, boom = (110, 400) if scene.story.strong else (50, 215)
    price = scene.sketch.calm(scene.story.minute - CALM_BEFORE, scene.story.minute)
    draw_run(scene, price, price + LEAD * scene.step(price, lead), boom)
    draw_aftermath(scene)
    # A falling move needs no volume to be momentum: the bars before the decisive one can already qualify.
    momentum = ("price_momentum",) if scene.story.sign > 0 else ()
    return scene.events("volume_spike", "tape_speed", *momentum)


def _draw_drive(scene: Scene) -> list[PlannedEvent]:
    return [*draw_spike(scene), *scene.events("opening_range_break")]


def _draw_flush(scene: Scene) -> list[PlannedEvent]:
    price = scene.sketch.calm(scene.story.minute - CALM_BEFORE, scene.story.minute)
    draw_run(scene, price, price + LEAD * scene.step(price, 130), boom=420)
    draw_aftermath(scene)
    return scene.events("flush", "volume_spike", "tape_speed")


def draw_halt(scene: Scene) -> list[PlannedEvent]:
    """A spike, five to nine minutes without a trade, and a reopening away from the last price."""
    events = draw_spike(scene)
    sketch, minute = scene.sketch, scene.story.minute
    reopens = minute + 6 + scene.draw(5, 0, 4)
    sketch.exists[minute + 1 : reopens] = False
    sketch.odd_only[minute + 1 : reopens] = False
    last = int(sketch.pinned_close[minute])
    sketch.exists[reopens] = True
    sketch.pinned_open[reopens] = last + scene.step(last, 300)
    sketch.pinned_close[reopens] = last + scene.step(last, 360)
    sketch.volume[reopens] = sketch.volume[minute] // 2
    sketch.trades[reopens] = sketch.trades[minute] // 2
    sketch.rest_at(reopens + 1, last + scene.step(last, 330))
    return events


def _draw_base_break(scene: Scene) -> list[PlannedEvent]:
    """Thirty-four bars that all span one narrow band, then a bar that leaves it."""
    sketch, minute, sign = scene.sketch, scene.story.minute, scene.story.sign
    price = sketch.calm(minute - CALM_BEFORE, minute)
    half = max(price * 15 // 10_000, 1)
    flat = slice(minute - 34, minute)
    sketch.pinned_high[flat], sketch.pinned_low[flat] = price + half, price - half
    sketch.pinned_close[minute - 3 : minute] = [price - sign * half, price, price + sign * half]
    _draw_decisive_bar(scene, price + sign * half + scene.step(price, 420 if scene.story.strong else 210))
    draw_aftermath(scene)
    extra = ("volume_spike", "price_momentum", "tape_speed") if scene.story.strong else ()
    return scene.events("consolidation_break", *extra)


def _draw_reclaim(scene: Scene) -> list[PlannedEvent]:
    """Forty minutes 2.8 percent below VWAP, then through it: the second close above it makes the break."""
    sketch, minute = scene.sketch, scene.story.minute
    price = sketch.calm(minute - CALM_BEFORE - 4, minute)
    below = price - scene.step(price, 280)
    slope = np.arange(1, 9) * (below - price) // 8
    sketch.pinned_close[minute - CALM_BEFORE - 4 : minute - CALM_BEFORE + 4] = price + slope
    sketch.pinned_close[minute - CALM_BEFORE + 4 : minute] = below
    draw_run(scene, below, price - scene.step(price, 80), boom=400)
    draw_aftermath(scene)
    events = scene.events("volume_spike", "price_momentum", "tape_speed")
    return [*events, *scene.events("vwap_break", minute=minute + 1)]


def _draw_rejection(scene: Scene) -> list[PlannedEvent]:
    """Below VWAP, one bar that reaches above it and closes below, then the fall."""
    sketch, minute = scene.sketch, scene.story.minute
    price = sketch.calm(minute - CALM_BEFORE, minute)
    sketch.pinned_close[minute - 30 : minute] = price + scene.step(price, 120)
    failed = price + scene.step(price, 150)
    sketch.pinned_close[minute - 5] = failed
    sketch.pinned_high[minute - 5] = price - scene.step(price, 60)
    draw_run(scene, failed, failed + LEAD * scene.step(failed, 80), boom=400)
    draw_aftermath(scene)
    return scene.events("vwap_break", "volume_spike", "tape_speed")


def _draw_burst(scene: Scene) -> list[PlannedEvent]:
    """Many small trades in one minute that hardly moves."""
    sketch, minute = scene.sketch, scene.story.minute
    price = sketch.calm(minute - CALM_BEFORE, minute + 3)
    count = max(64, (7 if scene.story.strong else 5) * sketch.mean_trades(minute))
    sketch.pinned_close[minute] = price + scene.step(price, 25)
    sketch.trades[minute] = count
    sketch.volume[minute] = max(count * SHARES_PER_TRADE, int(sketch.volume[minute]) * 3 // 2)
    return scene.events("tape_speed")


def _draw_stampede(scene: Scene) -> list[PlannedEvent]:
    """A strong spike in which everybody trades: more than 50,000 trades within ten minutes."""
    events = draw_spike(scene)
    crowd = slice(scene.story.minute, scene.story.minute + 7)
    scene.sketch.trades[crowd] = _STAMPEDE_TRADES
    scene.sketch.volume[crowd] = _STAMPEDE_TRADES * _STAMPEDE_SHARES
    return events


def draw_run(scene: Scene, price: int, summit: int, boom: int) -> None:
    """Four bars with little volume from `price` to `summit` in even steps, then the decisive bar with `boom` bps."""
    sketch, minute = scene.sketch, scene.story.minute
    pace, crowd = sketch.baseline(minute - LEAD), sketch.mean_trades(minute - LEAD)
    for number, at in enumerate(range(minute - LEAD, minute), start=1):
        sketch.pinned_close[at] = price + (summit - price) * number // LEAD
        sketch.volume[at] = max(pace * 5 // 4, int(sketch.volume[at]))
        sketch.trades[at] = min(crowd * 5 // 4, int(sketch.volume[at]) // SHARES_PER_TRADE)
    sketch.volume[minute - LEAD : minute] = np.minimum(sketch.volume[minute - LEAD : minute], pace * 4 // 3)
    _draw_decisive_bar(scene, summit + scene.step(price, boom))


def _draw_decisive_bar(scene: Scene, close: int) -> None:
    """The decisive bar of a story: far more volume and trades than the bars before it."""
    sketch, story = scene.sketch, scene.story
    regular = RTH_OPEN <= story.minute < scene.session.close
    floor_shares, floor_cents = _REGULAR_FLOOR if regular else _EXTENDED_FLOOR
    times = scene.draw(1, 20, 36) if story.strong else scene.draw(2, 10, 12)
    volume = max(sketch.baseline(story.minute) * times, floor_shares, floor_cents // close)
    crowd = sketch.mean_trades(story.minute)
    trades = max(130, 9 * crowd) if story.strong else max(72, 6 * crowd)
    sketch.pinned_close[story.minute] = close
    sketch.volume[story.minute] = volume
    sketch.trades[story.minute] = min(trades, volume // SHARES_PER_TRADE)
    sketch.wick_up[story.minute] = sketch.wick_down[story.minute] = max(close // 1000, 1)
    sketch.exists[story.minute] = True
    sketch.odd_only[story.minute] = False


def draw_aftermath(scene: Scene) -> None:
    """Six bars of decreasing volume; the day continues at their last price."""
    sketch, story = scene.sketch, scene.story
    pace, crowd = sketch.baseline(story.minute), sketch.mean_trades(story.minute)
    strength = 100 if story.strong else 40
    close = int(sketch.pinned_close[story.minute])
    for offset, (bps, pct) in enumerate(zip(_AFTERMATH_BPS, _AFTERMATH_PCT, strict=True), start=1):
        at = story.minute + offset
        close += scene.step(close, bps)
        sketch.pinned_close[at] = close
        sketch.exists[at], sketch.odd_only[at] = True, False
        sketch.volume[at] = pace * max(pct * strength // 100, 110) // 100
        sketch.trades[at] = min(
            crowd * max(pct * strength // 250, 100) // 100, int(sketch.volume[at]) // SHARES_PER_TRADE
        )
    sketch.rest_at(story.minute + len(_AFTERMATH_BPS) + 1, close)


_DRAWERS: Final[Mapping[Tale, Drawer]] = {
    Tale.SPIKE: draw_spike,
    Tale.BASE_BREAK: _draw_base_break,
    Tale.OPENING_DRIVE: _draw_drive,
    Tale.RECLAIM: _draw_reclaim,
    Tale.REJECTION: _draw_rejection,
    Tale.BURST: _draw_burst,
    Tale.FLUSH: _draw_flush,
    Tale.HALT: draw_halt,
    Tale.STAMPEDE: _draw_stampede,
}
