"""What the columns of the research tables that are made from bars mean, for the catalog."""

from collections.abc import Mapping
from typing import Final

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.columns import ResearchColumn

_STATE_UNITS: Final = {"prior_close": "USD", "halts": "halts", "days_since_split": "trading days", "split_ratio": "x"}
_STATE_POST: Final = {"ssr_triggered", "halts_known", "halts"}
MARKET_STATE_COLUMNS: Final = {
    name: ResearchColumn(
        name,
        dtype,
        _STATE_UNITS.get(name, ""),
        "key" if name in {"symbol", "date"} else "post" if name in _STATE_POST else "pre",
    )
    for name, dtype in MARKET_STATE.items()
}
_HALT_KEYS: Final = {"symbol", "confidence", "event_id", "start", "date"}
HALT_COLUMNS: Final = {
    name: ResearchColumn(
        name,
        dtype,
        {"seconds": "s", "n5": "trades"}.get(name, ""),
        "key" if name in _HALT_KEYS else "post",
    )
    for name, dtype in HALTS.items()
}

_SPLITS: Final = {
    "split_on_date": "Whether a split was executed on the day; null where splits were never fetched.",
    "days_since_split": "Trading days since the last split, 20 at most; else null.",
    "split_ratio": "New shares per old share of that split.",
    "reverse_split": "Whether that split was a reverse split: fewer shares than before.",
}
BAR_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "symbol": COLUMNS["symbol"],
    "event_type": COLUMNS["event_type"],
    "timestamp": "UTC. The start of the event's minute; what is `pre` is known at its end.",
    "close": COLUMNS["close"],
    "ln_dollar_volume_to_event": "Logarithm of the dollar volume of the day up to the event.",
    "minutes_from_open": "Minutes since the regular open; negative in pre-market.",
    "minutes_to_close": "Minutes to the regular close; negative in after-hours.",
    "weekday": "Monday is 1.",
    "return_from_prior_close": "Close over the prior close, adjusted for splits, minus 1.",
    "gap_return": "First regular open over the prior close minus 1; in pre-market the close instead of the open.",
    "return_1": "Close over that of 1 bar before, minus 1.",
    "return_5": "Close over that of 5 bars before, minus 1.",
    "return_15": "Close over that of 15 bars before, minus 1.",
    "return_30": "Close over that of 30 bars before, minus 1.",
    "return_15min": "Close over that of the last bar which ended 15 minutes before, minus 1.",
    "range_position": "Where the close lies between low (0) and high (1) of the day so far; null where they are equal.",
    "distance_day_high": "Close over the high of the day so far, minus 1.",
    "distance_vwap": "Close over the volume-weighted price of the session so far, minus 1.",
    "body_share": "Close minus open over the range of the bar; 0 where it has none.",
    "close_location": "-1 where the bar closes at its low, 1 at its high; 0 where it has no range.",
    "bar_atr": "Typical range of a bar before the event, as a share of price.",
    "flatness_score": COLUMNS["flatness_score"],
    "parkinson_20": "Volatility of the 20 bars before by their ranges (Parkinson).",
    "rvol_to_time": "Dollar volume to the event over the mean of the same at that time of the 20 trading days before.",
    "amihud_20": "Absolute return per million dollars traded, mean of the 20 bars before (Amihud).",
    "bars_last_30min": "Bars that start in the 30 minutes up to the end of the event's minute.",
    "minutes_since_last_bar": "Minutes between the starts of this bar and the one before it on the day.",
    "average_trade_usd": "Dollar volume of the bar over its number of trades.",
    "edge_spread_bps_60": "Spread estimated from the 60 bars before (EDGE, signed root).",
    "event_number_in_day": "Which candidate of the symbol on the day it is, counted from 1.",
    "minutes_since_last_event": "Minutes since the candidate before it on the day.",
    "events_last_5min": "Earlier candidates of the symbol in the last 5 minutes.",
    "days_since_last_event": "Trading days back to the last earlier day with a candidate, 20 at most; else null.",
    "prior_day_return": "Prior close over the prior close before it, minus 1.",
    "prior_day_range": "Range of the regular hours of the prior close's day over that close.",
    "float_turnover": "Shares traded on the day so far over the float; null unless the float's date is known.",
    "in_causal_sample": "Whether the event belongs to the sample that is chosen without hindsight.",
    "velocity_pre_5": "Return over the 5 bars before, in the event's direction, per minute.",
    "acceleration_pre_5": "Change of that velocity since the 5 bars before them.",
    "ssr_at_event": "Whether the short sale restriction was in force; null where it is not known.",
    "ssr_source": "`prior_day` or `same_day`: by which day's fall the restriction was in force.",
    "minutes_since_halt": "Minutes since the end of the last halt of the day, as bars show it; null without one.",
    "halts_known_at_event": "Whether the bars before the event decide which gaps were halts.",
    **_SPLITS,
}
SCORE_TEXTS: Final[Mapping[str, str]] = {
    "event_id": COLUMNS["event_id"],
    "score_percentile": "Share of the reference with a lower score, ties half; null with fewer than 50 events.",
    "score_robust_z": "Score minus the median of the reference, over 1.4826 times its median absolute deviation.",
    "score_n": "Events of the reference: same type and session in the 60 trading days before.",
}
MARKET_STATE_TEXTS: Final[Mapping[str, str]] = {
    "symbol": COLUMNS["symbol"],
    "date": COLUMNS["date"],
    "prior_close": "Close of the last regular bar of the latest earlier day that has one, adjusted for splits.",
    "ssr_triggered": "Whether a regular bar fell 10 % below the prior close; null without a prior close.",
    "halts_known": "Whether the bars decide for every gap of the day whether it was a halt.",
    "halts": "Halts of the day, as bars show them.",
    **_SPLITS,
}
HALT_TEXTS: Final[Mapping[str, str]] = {
    "symbol": COLUMNS["symbol"],
    "confidence": "1: seen in minute bars; 2: seen in the tape of an event.",
    "event_id": "The event in whose tape the halt was seen; null of halts seen in bars.",
    "start": "UTC. End of the last minute before the halt, or its last trade.",
    "date": COLUMNS["date"],
    "end": "UTC. Start of the first minute after the halt, or the regular close.",
    "seconds": "Duration.",
    "n5": "Trades in the 5 minutes before it.",
}
