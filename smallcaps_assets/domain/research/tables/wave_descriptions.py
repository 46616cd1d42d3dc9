"""What the columns of the tables of what follows an event mean, for the catalog."""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.tables.bar_descriptions import BAR_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EXCURSION_MIN, VELOCITY_MIN

EVENT_WAVE_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "leg": "Number of the leg after the event, counted from 1.",
    "direction": "`up` or `down`: where the leg goes.",
    "start_at": "UTC. End of the minute of its first price; leg 1 starts when the event is known.",
    "start_price": "Price at which it starts: the close of the event's bar, later the extreme of the leg before.",
    "end_at": "UTC. End of the minute of its extreme.",
    "end_price": "Its extreme.",
    "return": "End price over start price, minus 1.",
    "duration_s": "Time from start to end.",
    "volume": "Shares traded in the bars after that of its start, up to and with that of its end.",
    "retracement": "Its size in dollars over that of the leg before; null for leg 1.",
    "confirmed_at": "UTC. From when its end is a fact: the price has turned by theta. Null of the last leg.",
}


def _excursion_texts(minutes: int) -> dict[str, str]:
    until = f"within {minutes} minutes"
    return {
        f"mfe_{minutes}_bps": f"Most favourable price {until} against the entry, in the event's direction.",
        f"mae_{minutes}_bps": f"Most adverse price {until} against the entry, in the event's direction.",
        f"minutes_to_mfe_{minutes}": f"From when the event is known to the end of the minute of mfe_{minutes}_bps.",
        f"minutes_to_mae_{minutes}": f"From when the event is known to the end of the minute of mae_{minutes}_bps.",
        f"mfe_before_mae_{minutes}": "Whether the most favourable price comes first; null where both are one.",
    }


EVENT_OUTCOME_TEXTS: Final[Mapping[str, str]] = {
    **{name: BAR_TEXTS[name] for name in ("event_id", "symbol", "timestamp", "event_type")},
    "in_master": "Whether the event is in MASTER, whose filters and cooldown use hindsight.",
    "theta": "The move that makes a leg: three times bar_atr, between 1 % and 10 %.",
    "theta_default": "Whether theta is 2 % because bar_atr is null.",
    "wave_horizon_s": "Length of the path: to the horizon of the waves or the end of after-hours.",
    "path_ambiguous_bars": "Bars of the path as high as theta, in which the order of high and low can change the legs.",
    "legs": "Legs of the path.",
    "confirmed_legs": "Legs whose end is confirmed.",
    "first_leg_direction": "`up` or `down`: where leg 1 goes; null without a leg.",
    "first_leg_return": "Return of leg 1.",
    "first_leg_s": "Duration of leg 1.",
    "first_pullback": "Size of leg 2 over that of leg 1.",
    **{
        f"velocity_{minutes}_bps_per_min": f"Log return over {minutes} minutes, in the event's direction, per minute."
        for minutes in VELOCITY_MIN
    },
    "acceleration_10_bps_per_min2": "Change of velocity from the first five minutes to the next five.",
    **{name: BAR_TEXTS[name] for name in ("velocity_pre_5", "acceleration_pre_5")},
    **{name: text for minutes in EXCURSION_MIN for name, text in _excursion_texts(minutes).items()},
    "outcome": "Of 15 minutes: `stall` without a leg, `reversal` if leg 1 goes against the event, `continuation` or "
    "`failed_continuation` by where the price then is; null where after-hours end before.",
}
