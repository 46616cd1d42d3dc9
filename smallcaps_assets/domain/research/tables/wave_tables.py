"""Columns of the tables of what follows an event: type, unit and when they are known (research specification, 3)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.tables import UTC_US

_TEXT, _FLAG, _COUNT, _NUMBER = pl.String(), pl.Boolean(), pl.Int64(), pl.Float64()
EXCURSION_MIN: Final = (5, 15, 30, 60)
VELOCITY_MIN: Final = (1, 5, 10)


def _of(dtype: pl.DataType, unit: str, availability: Availability, *names: str) -> dict[str, ResearchColumn]:
    return {name: ResearchColumn(name, dtype, unit, availability) for name in names}


def _of_excursion(minutes: int) -> dict[str, ResearchColumn]:
    return {
        **_of(_NUMBER, "bps", "post", f"mfe_{minutes}_bps", f"mae_{minutes}_bps"),
        **_of(_NUMBER, "min", "post", f"minutes_to_mfe_{minutes}", f"minutes_to_mae_{minutes}"),
        **_of(_FLAG, "", "post", f"mfe_before_mae_{minutes}"),
    }


EVENT_WAVE_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id"),
    **_of(_COUNT, "", "key", "leg"),
    **_of(_TEXT, "", "post", "direction"),
    **_of(UTC_US, "", "post", "start_at"),
    **_of(_NUMBER, "USD", "post", "start_price"),
    **_of(UTC_US, "", "post", "end_at"),
    **_of(_NUMBER, "USD", "post", "end_price"),
    **_of(_NUMBER, "fraction", "post", "return"),
    **_of(_NUMBER, "s", "post", "duration_s"),
    **_of(_NUMBER, "shares", "post", "volume"),
    **_of(_NUMBER, "fraction", "post", "retracement"),
    **_of(UTC_US, "", "post", "confirmed_at"),
}
EVENT_WAVES: Final = schema_of(EVENT_WAVE_COLUMNS)

EVENT_OUTCOME_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id", "symbol"),
    **_of(UTC_US, "", "key", "timestamp"),
    **_of(_TEXT, "", "key", "event_type"),
    **_of(_FLAG, "", "post", "in_master"),
    **_of(_NUMBER, "fraction", "post", "theta"),
    **_of(_FLAG, "", "post", "theta_default"),
    **_of(_NUMBER, "s", "post", "wave_horizon_s"),
    **_of(_COUNT, "bars", "post", "path_ambiguous_bars"),
    **_of(_COUNT, "legs", "post", "legs", "confirmed_legs"),
    **_of(_TEXT, "", "post", "first_leg_direction"),
    **_of(_NUMBER, "fraction", "post", "first_leg_return"),
    **_of(_NUMBER, "s", "post", "first_leg_s"),
    **_of(_NUMBER, "fraction", "post", "first_pullback"),
    **_of(_NUMBER, "bps/min", "post", *(f"velocity_{minutes}_bps_per_min" for minutes in VELOCITY_MIN)),
    **_of(_NUMBER, "bps/min2", "post", "acceleration_10_bps_per_min2"),
    **_of(_NUMBER, "bps/min", "pre", "velocity_pre_5"),
    **_of(_NUMBER, "bps/min2", "pre", "acceleration_pre_5"),
    **{name: column for minutes in EXCURSION_MIN for name, column in _of_excursion(minutes).items()},
    **_of(_TEXT, "", "post", "outcome"),
}
EVENT_OUTCOMES: Final = schema_of(EVENT_OUTCOME_COLUMNS)
