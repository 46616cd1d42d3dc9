"""Bar figures at the minutes of imported events."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.events.features import (
    FeatureParams,
    daily_dollar_volume,
    relative_volume,
    with_days,
    with_features,
    with_windows,
)
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import EVENTS

FACTS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": EVENTS["timestamp"],
        "bar_close": pl.Float64(),
        "bar_volume": pl.Float64(),
        "vwap_at_event": pl.Float64(),
        "flatness_score": pl.Float64(),
        "rvol_day": pl.Float64(),
        "dollar_volume_day": pl.Float64(),
        "dollar_volume_to_event": pl.Float64(),
        "transactions": pl.Int64(),
    }
)


def bar_facts(
    bars: pl.DataFrame,
    sessions: pl.DataFrame,
    minutes: pl.DataFrame,
    params: FeatureParams,
    borders: ListingBorders = NO_BORDERS,
) -> pl.DataFrame:
    """FACTS of each of `minutes` (symbol, timestamp) that has a bar.

    Args:
        bars: BARS, sorted by symbol and timestamp: whole days, and the earlier days that `rvol_day` needs.
        sessions: SESSION_TABLE that covers their dates.
        minutes: the minutes of events, without repeats.
        params: look-back lengths.
        borders: where tickers change their owners; `rvol_day` does not look back over one.
    """
    inside = with_session(bars, sessions).filter(pl.col("session").is_not_null())
    features = with_features(with_days(inside), params)
    rows = features.join(minutes, on=["symbol", "timestamp"], how="semi", maintain_order="left")
    days = relative_volume(daily_dollar_volume(features), sessions, params, borders)
    return (
        with_windows(rows, features, params)
        .lazy()
        .join(days.lazy(), on=["symbol", "day"], how="left")
        .rename({"close": "bar_close", "volume": "bar_volume", "flatness": "flatness_score"})
        .with_columns(vwap_at_event="vwap_session")
        .select(*FACTS)
        .sort("symbol", "timestamp")
        .collect()
        .match_to_schema(FACTS)
    )
