"""Columns of the research tables that are made from bars: type, unit and when they are known.

`key` identifies a row or describes its origin, `pre` is known when the event's minute is over, `post` is hindsight.
"""

from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.tables import UTC_US


def _of(dtype: pl.DataType, unit: str, availability: Availability, *names: str) -> dict[str, ResearchColumn]:
    return {name: ResearchColumn(name, dtype, unit, availability) for name in names}


def schema_of(columns: dict[str, ResearchColumn]) -> pl.Schema:
    """The schema of a table of the registry."""
    return pl.Schema({name: column.dtype for name, column in columns.items()})


_TEXT, _FLAG, _COUNT, _NUMBER = pl.String(), pl.Boolean(), pl.Int64(), pl.Float64()
BAR_FEATURE_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id", "symbol", "event_type"),
    **_of(UTC_US, "", "key", "timestamp"),
    **_of(_NUMBER, "USD", "pre", "close"),
    **_of(_NUMBER, "ln USD", "pre", "ln_dollar_volume_to_event"),
    **_of(_NUMBER, "min", "pre", "minutes_from_open", "minutes_to_close"),
    **_of(_COUNT, "ISO day", "pre", "weekday"),
    **_of(_NUMBER, "fraction", "pre", "return_from_prior_close", "gap_return", "return_1", "return_5", "return_15"),
    **_of(_NUMBER, "fraction", "pre", "return_30", "return_15min", "range_position", "distance_day_high"),
    **_of(_NUMBER, "fraction", "pre", "distance_vwap", "body_share", "close_location", "bar_atr"),
    **_of(_NUMBER, "ratio", "pre", "flatness_score"),
    **_of(_NUMBER, "log", "pre", "parkinson_20"),
    **_of(_NUMBER, "x", "pre", "rvol_to_time"),
    **_of(_NUMBER, "1e-6 per USD", "pre", "amihud_20"),
    **_of(_COUNT, "bars", "pre", "bars_last_30min"),
    **_of(_NUMBER, "min", "pre", "minutes_since_last_bar"),
    **_of(_NUMBER, "USD", "pre", "average_trade_usd"),
    **_of(_NUMBER, "bps", "pre", "edge_spread_bps_60"),
    **_of(_COUNT, "events", "pre", "event_number_in_day"),
    **_of(_NUMBER, "min", "pre", "minutes_since_last_event"),
    **_of(_COUNT, "events", "pre", "events_last_5min"),
    **_of(_COUNT, "trading days", "pre", "days_since_last_event"),
    **_of(_NUMBER, "fraction", "pre", "prior_day_return", "prior_day_range", "float_turnover"),
    **_of(_FLAG, "", "pre", "in_causal_sample"),
    **_of(_NUMBER, "bps/min", "pre", "velocity_pre_5"),
    **_of(_NUMBER, "bps/min2", "pre", "acceleration_pre_5"),
    **_of(_FLAG, "", "pre", "ssr_at_event"),
    **_of(_TEXT, "", "pre", "ssr_source"),
    **_of(_NUMBER, "min", "pre", "minutes_since_halt"),
    **_of(_FLAG, "", "pre", "halts_known_at_event", "split_on_date"),
    **_of(_COUNT, "trading days", "pre", "days_since_split"),
    **_of(_NUMBER, "x", "pre", "split_ratio"),
    **_of(_FLAG, "", "pre", "reverse_split"),
}
BAR_FEATURES: Final = schema_of(BAR_FEATURE_COLUMNS)

EVENT_SCORE_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id"),
    **_of(_NUMBER, "fraction", "pre", "score_percentile"),
    **_of(_NUMBER, "deviations", "pre", "score_robust_z"),
    **_of(_COUNT, "events", "pre", "score_n"),
}
EVENT_SCORES: Final = schema_of(EVENT_SCORE_COLUMNS)

_OHLC: Final = ("open", "high", "low", "close")
RECONCILIATION_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "symbol"),
    **_of(UTC_US, "", "key", "timestamp"),
    **_of(_TEXT, "", "post", "class"),
    **{
        name: column
        for side in ("bar", "tape")
        for name, column in {
            **_of(_NUMBER, "USD", "post", *(f"{side}_{price}" for price in _OHLC)),
            **_of(_NUMBER, "shares", "post", f"{side}_volume"),
            **_of(_COUNT, "trades", "post", f"{side}_transactions"),
            **_of(_NUMBER, "USD", "post", f"{side}_vwap"),
        }.items()
    },
    **_of(_NUMBER, "bps", "post", *(f"d{price}_bps" for price in _OHLC)),
    **_of(_NUMBER, "shares", "post", "dvolume"),
    **_of(_COUNT, "trades", "post", "dtransactions"),
}
BAR_RECONCILIATION: Final = schema_of(RECONCILIATION_COLUMNS)
EVENT_RECONCILIATION_COLUMNS: Final = {
    **_of(_TEXT, "", "key", "event_id"),
    **_of(_NUMBER, "fraction", "post", "reconciled_share"),
    **_of(_TEXT, "", "post", "worst_class", "event_bar_class"),
}
EVENT_RECONCILIATION: Final = schema_of(EVENT_RECONCILIATION_COLUMNS)
