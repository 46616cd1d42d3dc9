"""What the bars say of an event when its minute is over (research specification, section 8)."""

from typing import Final, NamedTuple, Self

import numpy as np
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.features import FeatureParams, before, with_days, with_features, with_windows
from smallcaps_assets.domain.listings.borders import NO_BORDERS, ListingBorders, by_symbol_again
from smallcaps_assets.domain.research.bars.bar_windows import (
    amihud,
    edge_spread_bps,
    parkinson,
    relative_volume_to_time,
)
from smallcaps_assets.domain.research.bars.event_history import with_event_history
from smallcaps_assets.domain.research.bars.halts import HaltParams, bar_runs, with_halts
from smallcaps_assets.domain.research.bars.market_state import MarketStateParams, day_states
from smallcaps_assets.domain.research.prices import micro
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.sessions import NEW_YORK, new_york_date, with_session

# Share counts and the dates from which they were known.
FLOATS: Final = pl.Schema({"symbol": pl.String(), "known_from": pl.Date(), "float_shares": pl.Float64()})
_RETURN_BARS: Final = (1, 5, 15, 30)
_KEYS: Final = ("event_id", "symbol", "event_type", "timestamp", "direction")


class BarFeatureParams(MarketStateParams, HaltParams):
    """Look-backs. Fields are keys of `research:`."""

    recent_bars: int = Field(default=20, gt=1)
    recent_min_bars: int = Field(default=5, gt=0)
    rvol_to_time_days: int = Field(default=20, gt=0)
    rvol_to_time_min_days: int = Field(default=5, gt=0)
    edge_spread_bars: int = Field(default=60, gt=2)
    edge_spread_min_bars: int = Field(default=20, gt=2)


class MarketData(NamedTuple):
    """What bar features are computed from besides the events.

    Attributes:
        bars: usable bars (BARS), sorted by symbol and timestamp; those outside the sessions are ignored.
        sessions: SESSION_TABLE of every session from the first to the last day.
        candidates: CANDIDATES with `in_causal_sample`; None if detection kept none.
        splits: SPLITS; None if they were not asked for.
        floats: FLOATS; None if they are not known.
        borders: where tickers change their owners; nothing looks back over one.
    """

    bars: pl.DataFrame
    sessions: pl.DataFrame
    candidates: pl.DataFrame | None = None
    splits: pl.DataFrame | None = None
    floats: pl.DataFrame | None = None
    borders: ListingBorders = NO_BORDERS

    def by_owner(self) -> Self:
        """The same with a symbol for each owner of a ticker, see `ListingBorders.by_owner`, and without borders."""
        of = self.borders.by_owner
        minute = new_york_date(pl.col("timestamp"))
        return self._replace(
            bars=of(self.bars, minute),
            candidates=None if self.candidates is None else of(self.candidates, minute),
            splits=None if self.splits is None else of(self.splits, "execution_date"),
            floats=None if self.floats is None else of(self.floats, "known_from"),
            borders=NO_BORDERS,
        )


def event_bar_features(
    events: pl.DataFrame, market: MarketData, features: FeatureParams, params: BarFeatureParams
) -> pl.DataFrame:
    """One row (BAR_FEATURES) per event that has a bar, in the order of MASTER.

    Args:
        events: RESEARCH_EVENTS.
        market: bars and what else is known of the symbols.
        features: look-backs of detection, whose features are repeated here.
        params: look-backs.
    """
    if market.borders:
        owned = market.borders.by_owner(events, new_york_date(pl.col("timestamp")))
        return by_symbol_again(event_bar_features(owned, market.by_owner(), features, params))
    labeled = with_session(market.bars, market.sessions)
    labeled = labeled.filter(pl.col("day").is_not_null())
    states = day_states(labeled, market.sessions, market.splits, params)
    runs = bar_runs(labeled, market.sessions, params)
    bars = _with_bar_columns(with_features(with_days(labeled), features), market.sessions)
    own = events.select(*_KEYS, "in_causal_sample").with_row_index("order")
    rows = bars.join(own, on=["symbol", "timestamp"], how="inner").sort("order").drop("order")
    rows = with_windows(rows, bars, features)
    rows = _with_preceding_bars(rows, bars, params)
    rows = rows.join(states, on=["symbol", "day"], how="left", maintain_order="left")
    rows = with_event_history(with_halts(rows, runs), market.candidates, market.sessions)
    rows = _with_floats(rows, market.floats)
    return rows.sort("symbol", "timestamp", "event_type", maintain_order=True).select(_columns())


def _with_bar_columns(bars: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """Every bar with what its events need of the bars before it, and with the numbers of its symbol and day."""
    close = pl.col("close")
    calendar = sessions.select(
        "regular_close", day=pl.col("date"), number=pl.col("date").rank("ordinal").cast(pl.Int64) - 1
    )
    local = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt
    return bars.join(calendar, on="day", how="left", maintain_order="left").with_columns(
        *(before(close, count).alias(f"close_{count}") for count in (*_RETURN_BARS, 10)),
        day_low=pl.col("low").cum_min().over("day_start"),
        volume_to_event=pl.col("volume").cum_sum().over("day_start"),
        symbol_number=pl.col("symbol").rle_id(),
        minute=local.hour().cast(pl.Int64) * 60 + local.minute(),
        last_start=before(pl.col("timestamp")),
    )


def _with_preceding_bars(rows: pl.DataFrame, bars: pl.DataFrame, params: BarFeatureParams) -> pl.DataFrame:
    first_numbers = bars.group_by("symbol").agg(first_number=pl.col("number").min())
    first = rows.join(first_numbers, on="symbol", how="left", maintain_order="left")["first_number"]
    # bars in order of time: the place of a minute of an event's day
    start = bars["day_start"].to_numpy().astype(np.int64) << 32
    keys = start + bars["timestamp"].dt.epoch("s").to_numpy() // 60
    own = keys[rows["bar"].to_numpy()]
    by_quarter = keys.searchsorted(own - 15, side="right") - 1
    known = by_quarter >= rows["day_start"].to_numpy()
    close_15min = bars["close"].gather(np.where(known, by_quarter, 0)).set(pl.Series(~known), None)
    half_hour = keys.searchsorted(own - 29, side="left")
    return rows.with_columns(
        close_15min.alias("close_15min"),
        pl.Series("bars_last_30min", rows["bar"].to_numpy() - half_hour + 1, dtype=pl.Int64),
        parkinson(bars, rows, params.recent_bars, params.recent_min_bars),
        amihud(bars, rows, params.recent_bars, params.recent_min_bars),
        edge_spread_bps(bars, rows, params.edge_spread_bars, params.edge_spread_min_bars),
        relative_volume_to_time(bars, rows, first, params.rvol_to_time_days, params.rvol_to_time_min_days),
    )


def _with_floats(rows: pl.DataFrame, floats: pl.DataFrame | None) -> pl.DataFrame:
    """`rows` with the latest `float_shares` that were known on the day; null without."""
    if floats is None:
        return rows.with_columns(float_shares=pl.lit(None, pl.Float64))
    known = floats.select(*FLOATS).sort("known_from")
    return (
        rows.with_row_index("place")
        .sort("day")
        .join_asof(
            known, left_on="day", right_on="known_from", by="symbol", strategy="backward", check_sortedness=False
        )
        .sort("place")
        .drop("place", "known_from")
    )


def _columns() -> list[pl.Expr]:
    """BAR_FEATURES of events whose rows have what bars, day and history give."""
    close, timestamp = pl.col("close"), pl.col("timestamp")
    premarket = pl.col("session") == "PM"
    opened = pl.when(premarket).then(close).otherwise("rth_open")
    sign = pl.when(pl.col("direction") == "up").then(1e4).otherwise(-1e4)
    # a column: Polars divides by a number as it multiplies by its inverse, but not where there are few rows
    five = 0.0 * close + 5.0
    velocity = sign * (close / pl.col("close_5")).log() / five
    earlier = sign * (pl.col("close_5") / pl.col("close_10")).log() / five
    same_day = pl.when(pl.col("prior_close").is_not_null()).then((pl.col("ssr_at") <= timestamp).fill_null(value=False))
    prior_day = pl.col("ssr_previous")
    source = pl.when(prior_day).then(pl.lit("prior_day")).when(same_day).then(pl.lit("same_day"))
    computed = {
        "ln_dollar_volume_to_event": pl.col("dollar_volume_to_event").log(),
        "minutes_from_open": _minutes(timestamp - pl.col("regular_open")),
        "minutes_to_close": _minutes(pl.col("regular_close") - timestamp),
        "weekday": pl.col("day").dt.weekday().cast(pl.Int64),
        "return_from_prior_close": close / pl.col("prior_close") - 1,
        "gap_return": opened / pl.col("prior_close") - 1,
        **{f"return_{count}": close / pl.col(f"close_{count}") - 1 for count in _RETURN_BARS},
        "return_15min": close / pl.col("close_15min") - 1,
        "range_position": _share_of("close", "day_low", "day_high"),
        "distance_day_high": close / pl.col("day_high") - 1,
        "distance_vwap": close / pl.col("vwap_session") - 1,
        "body_share": _bar_share(micro("close") - micro("open")),
        "close_location": _bar_share(2 * micro("close") - micro("high") - micro("low")),
        "flatness_score": pl.col("flatness"),
        "minutes_since_last_bar": _minutes(timestamp - pl.col("last_start")),
        "average_trade_usd": pl.col("dollar_volume") / pl.when(pl.col("transactions") > 0).then("transactions"),
        "velocity_pre_5": velocity,
        "acceleration_pre_5": (velocity - earlier) / five,
        "float_turnover": pl.col("volume_to_event") / pl.when(pl.col("float_shares") > 0).then("float_shares"),
        "ssr_at_event": prior_day | same_day,
        "ssr_source": source,
    }
    return [computed.get(name, pl.col(name)).cast(dtype).alias(name) for name, dtype in BAR_FEATURES.items()]


def _minutes(duration: pl.Expr) -> pl.Expr:
    return duration.dt.total_minutes().cast(pl.Float64)


def _share_of(price: str, low: str, high: str) -> pl.Expr:
    """Where a price lies between two others, from 0 to 1; null where they are equal."""
    width = micro(high) - micro(low)
    return (micro(price) - micro(low)) / pl.when(width != 0).then(width)


def _bar_share(difference: pl.Expr) -> pl.Expr:
    """A difference of prices as a share of the bar's range; 0 where that is 0."""
    width = micro("high") - micro("low")
    return pl.when(width == 0).then(0.0).otherwise(difference / width)
