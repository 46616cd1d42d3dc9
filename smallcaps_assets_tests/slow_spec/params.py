"""Every threshold of the specification."""

from copy import deepcopy
from typing import Any, Final

Params = dict[str, Any]


def _profile(
    *,
    limits: tuple[int, int, int],
    score: float,
    window: tuple[int, int],
    extended: tuple[int, int],
    extension: tuple[float, float, float],
    quotes: tuple[bool, float],
    bar: tuple[float, float, float],
    day: tuple[float, float],
    columns: str,
) -> Params:
    return {
        "first_date": None,
        "last_date": None,
        "sessions": ["PM", "RTH", "AH"],
        "max_events": limits[0],
        "max_per_symbol": limits[1],
        "max_per_symbol_day": limits[2],
        "min_event_score": score,
        "window": {"before_min": window[0], "after_min": window[1]},
        "extended_window": {"before_min": extended[0], "after_min": extended[1]},
        "extension": {
            "speed_percentile": extension[0],
            "spread_percentile": extension[1],
            "vol_spike_x": extension[2],
            "max_extended_share": 0.25,
        },
        "quotes": {"by_change": quotes[0], "max_hz": quotes[1]},
        "bar": {"min_dollar_volume": bar[0], "min_volume": bar[1], "max_spread_pct": bar[2]},
        "day": {"min_dollar_volume": day[0], "min_rvol": day[1]},
        "columns": columns,
    }


DEFAULTS: Final[Params] = {
    "features": {"baseline_bars": 20, "min_history": 5, "return_bars": 5, "range_bars": 30, "vwap_decimals": 10},
    "rvol": {"days": 20, "min_days": 5, "sessions": 60},
    "volume_spike": {
        "spike_x": {"PM": 8.0, "RTH": 6.0, "AH": 8.0},
        "volume": {"PM": 15_000, "RTH": 10_000, "AH": 15_000},
        "dollar_volume": {"PM": 75_000, "RTH": 50_000, "AH": 75_000},
        "min_range": 0.015,
        "down_red_run": 2,
        "down_from_high": 0.02,
    },
    "vwap_break": {
        "up": {"run": 2, "factor": 1.006, "spike_x": 2.0},
        "down": {"run": 3, "factor": 1 - 0.008, "spike_x": 2.5, "require_failed_reclaim": True, "reclaim_bars": 10},
    },
    "price_momentum": {
        "up": {"return_5": 0.030, "spike_x": 1.8},
        "down": {"return_5": -0.035, "acceleration": 1.2, "return_floor": 0.001},
    },
    "consolidation_break": {"flatness": 0.5, "spike_x": 2.0, "up": 1.010, "down": 0.990},
    "opening_range_break": {"minutes": 15, "min_bars": 3, "up": 1.005, "down": 0.995, "spike_x": 1.8},
    "tape_speed": {"transactions": 50, "ratio": 3.0},
    "flush": {"from_high": 0.08, "lowest_of_bars": 15, "spike_x": 4.0, "red_run": 3},
    "filters": {
        "close": [1.0, 500],
        "dollar_volume_day": {"bullish": 500_000, "bearish": 1_000_000},
        "float_shares": {"bullish": 5_000_000, "bearish": 10_000_000},
        "short_of_float": 0.40,
        "days_to_cover": 5,
    },
    "score": {
        "volume_spike_magnitude": {"weight": 0.30, "spike_x": 50},
        "price_change_magnitude": {"weight": 0.25, "change": 0.10},
        "volume_confirm": {"weight": 0.20, "dollars": 50_000, "decades": 2},
        "consecutive_bars": {"weight": 0.15, "bars": 5},
        "distance_from_vwap": {"weight": 0.10, "distance": 0.05},
    },
    "cooldown": {"minutes": 10, "keep_share": 0.9},
    "group": {"minutes": 5},
    "type_weights": {
        "volume_spike": 1.00,
        "vwap_break": 0.98,
        "consolidation_break": 0.96,
        "opening_range_break": 0.94,
        "price_momentum": 0.92,
        "flush": 0.90,
        "tape_speed": 0.88,
    },
    "bucket_shares": {"0400-0930": 0.10, "1600-2000": 0.05, "0930-1015": 0.25, "1015-1400": 0.35, "1400-1600": 0.25},
    "profiles": {
        "core": _profile(
            limits=(10_000, 3, 1),
            score=0.60,
            window=(3, 7),
            extended=(10, 20),
            extension=(90, 90, 8.0),
            quotes=(True, 5),
            bar=(100_000, 10_000, 5),
            day=(500_000, 1.5),
            columns="minimal",
        ),
        "plus": _profile(
            limits=(20_000, 5, 2),
            score=0.50,
            window=(5, 15),
            extended=(10, 20),
            extension=(85, 85, 6.0),
            quotes=(False, 20),
            bar=(50_000, 5_000, 5),
            day=(250_000, 1.2),
            columns="minimal",
        ),
        "premium": _profile(
            limits=(50_000, 10, 3),
            score=0.40,
            window=(10, 20),
            extended=(15, 30),
            extension=(80, 80, 4.0),
            quotes=(False, 50),
            bar=(25_000, 2_500, 5),
            day=(100_000, 1.0),
            columns="all",
        ),
    },
}


def altered(changes: Params, base: Params = DEFAULTS) -> Params:
    """A copy of `base` with the nested `changes` merged into it."""
    result = deepcopy(base)
    for name, value in changes.items():
        result[name] = altered(value, result[name]) if isinstance(value, dict) and name in result else deepcopy(value)
    return result
