"""Halts and short sale restriction around events, from the bars of their day and the days before."""

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS, bar_halts, bar_runs
from smallcaps_assets.domain.research.bars.market_state import day_states
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.domain.tables import BARS, UTC_US
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import Settings

# far enough back for the trading day before, and for the close before that one
_LOOK_BACK: Final = timedelta(days=12)

# `ssr_from`: from when on the short sale restriction holds, null where it does not or is not known; of a restriction
# of the day before, the start of pre-market.
RESTRICTIONS: Final = pl.Schema({"event_id": pl.String(), "ssr_source": pl.String(), "ssr_from": UTC_US})


class MarketMarks(NamedTuple):
    """RESTRICTIONS of every event, and HALTS of confidence 1 of their symbols and days."""

    restrictions: pl.DataFrame
    halts: pl.DataFrame


def market_marks(lake: Lake, events: pl.DataFrame, settings: Settings) -> MarketMarks:
    """The marks of events (MANIFEST); see research specification, sections 5.2 and 5.3.

    Raises:
        LakeError: a file of bars cannot be read.
    """
    if events.is_empty():
        return MarketMarks(RESTRICTIONS.to_frame(), HALTS.to_frame())
    store = BarsStore(lake)
    days = events.select("symbol", day=pl.col("date").str.to_date("%Y-%m-%d"))
    each = [
        store.read(symbol, day - _LOOK_BACK, day) for symbol, day in days.unique().sort("symbol", "day").iter_rows()
    ]
    bars = pl.concat([BARS.to_frame(), *each]).unique(["symbol", "timestamp"]).sort("symbol", "timestamp")
    first, last = min(days["day"].to_list()), max(days["day"].to_list())
    sessions = sessions_between(first - _LOOK_BACK, last, settings.sessions)
    labeled = with_session(bars, sessions).filter(pl.col("day").is_not_null())
    states = day_states(labeled, sessions, ReferenceTables(lake).splits(), settings.research)
    opened = sessions.select("premarket_open", day="date")
    prior_day = pl.col("ssr_previous").fill_null(value=False)
    same_day = pl.col("ssr_at").is_not_null()
    restrictions = (
        events.select("event_id")
        .hstack(days)
        .join(states.select("symbol", "day", "ssr_previous", "ssr_at"), on=["symbol", "day"], how="left")
        .join(opened, on="day", how="left")
        .select(
            "event_id",
            ssr_source=pl.when(prior_day).then(pl.lit("prior_day")).when(same_day).then(pl.lit("same_day")),
            ssr_from=pl.when(prior_day).then("premarket_open").otherwise("ssr_at"),
        )
        .match_to_schema(RESTRICTIONS)
    )
    return MarketMarks(restrictions, bar_halts(bar_runs(labeled, sessions, settings.research)))
