"""The plan of a day of DRILL: one story after which the price returns to the level of the day before the close."""

from typing import Final

import numpy as np

from smallcaps_assets.simulated.hours import RTH_OPEN, TradingDay
from smallcaps_assets.simulated.market.drill.company import DrillCompany, drill_stories
from smallcaps_assets.simulated.market.plan import (
    CALM_BEFORE,
    LEAD,
    DayPlan,
    Drawer,
    PlannedEvent,
    Scene,
    draw_aftermath,
    draw_halt,
    draw_run,
    draw_spike,
    plan_stories,
)
from smallcaps_assets.simulated.market.sketch import MIN_CALM_TRADES
from smallcaps_assets.simulated.market.stories import Tale

# A gap in the bars after so few trades is no halt: its first minute counts from the story's.
THIN_GAP_AFTER: Final = 45
THIN_GAP_MINUTES: Final = 7
# After the story, or the reopening after a pause, every one of these minutes has trades, so that more can be planted.
LIVELY_MINUTES: Final = 9
_LIVELY_TRADES: Final = 10
_RETURN_MINUTES: Final = 90
_BEFORE_CLOSE: Final = 25
_FIRST_RETURN: Final = 11


def plan_drill(company: DrillCompany, session: TradingDay) -> DayPlan:
    """The plan of a day of DRILL; a pure function of seed and trading day."""
    return plan_stories(company, session, drill_stories(company, session), _DRAWERS)


def reopening(plan: DayPlan, minute: int) -> int:
    """The first minute after `minute` that trades."""
    return minute + 1 + int(np.argmax(plan.trades[minute + 1 :] > 0))


def _draw_surge(scene: Scene) -> list[PlannedEvent]:
    events = draw_spike(scene)
    _enliven(scene, scene.story.minute + 1)
    _return_to_level(scene, scene.story.minute)
    return events


def _draw_pause(scene: Scene) -> list[PlannedEvent]:
    """A spike, five to nine minutes without a trade, and a reopening away from the last price."""
    events = draw_halt(scene)
    sketch, minute = scene.sketch, scene.story.minute
    opens = minute + 1 + int(np.argmax(sketch.exists[minute + 1 :]))
    _enliven(scene, opens + 1)
    _return_to_level(scene, opens)
    return events


def _draw_collapse(scene: Scene) -> list[PlannedEvent]:
    """A fall of about 12 percent: far enough for the short sale restriction."""
    price = scene.sketch.calm(scene.story.minute - CALM_BEFORE, scene.story.minute)
    draw_run(scene, price, price + LEAD * scene.step(price, 240), boom=320)
    draw_aftermath(scene)
    _enliven(scene, scene.story.minute + 1)
    _return_to_level(scene, scene.story.minute)
    return scene.events("flush", "volume_spike", "tape_speed")


def _draw_dip(scene: Scene) -> list[PlannedEvent]:
    """A fall of about 7 percent, too little for the short sale restriction; later a gap after few trades."""
    sketch, minute = scene.sketch, scene.story.minute
    price = sketch.calm(minute - CALM_BEFORE, minute)
    draw_run(scene, price, price + LEAD * scene.step(price, 60), boom=400)
    draw_aftermath(scene)
    _enliven(scene, minute + 1)
    _return_to_level(scene, minute)
    gap = minute + THIN_GAP_AFTER
    sketch.calm(gap - CALM_BEFORE // 4, gap)
    sketch.trades[gap - CALM_BEFORE // 4 : gap] = MIN_CALM_TRADES
    sketch.exists[gap : gap + THIN_GAP_MINUTES] = False
    sketch.odd_only[gap : gap + THIN_GAP_MINUTES] = False
    return scene.events("volume_spike", "tape_speed")


def _enliven(scene: Scene, first: int) -> None:
    """Let every minute of LIVELY_MINUTES from `first` on have several trades."""
    sketch, lively = scene.sketch, slice(first, first + LIVELY_MINUTES)
    sketch.exists[lively], sketch.odd_only[lively] = True, False
    sketch.trades[lively] = np.maximum(sketch.trades[lively], _LIVELY_TRADES)
    sketch.volume[lively] = np.maximum(sketch.volume[lively], _LIVELY_TRADES * 100)


def _return_to_level(scene: Scene, minute: int) -> None:
    """Continue the day on an even path from the price after the story to the level of the day's start."""
    sketch = scene.sketch
    first = minute + _FIRST_RETURN
    steps = min(_RETURN_MINUTES, scene.session.close - _BEFORE_CLOSE - first)
    price, level = int(sketch.level[first]), int(sketch.level[RTH_OPEN])
    sketch.level[first : first + steps] = price + (level - price) * np.arange(1, steps + 1) // steps
    sketch.level[first + steps :] = level


_DRAWERS: Final[dict[Tale, Drawer]] = {
    Tale.SURGE: _draw_surge,
    Tale.PAUSE: _draw_pause,
    Tale.COLLAPSE: _draw_collapse,
    Tale.DIP: _draw_dip,
}
