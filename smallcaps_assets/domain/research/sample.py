"""The causal sample: candidates known as events at their time (research specification, section 0.9)."""

from datetime import timedelta
from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.events.cooldown import window_numbers
from smallcaps_assets.domain.events.detection import FilterParams
from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import EVENTS

# The events that research tables describe.
RESEARCH_EVENTS: Final = pl.Schema({**EVENTS, "in_master": pl.Boolean(), "in_causal_sample": pl.Boolean()})
_SCAN: Final = ("symbol", "event_type", "timestamp", "direction")


class SampleParams(Params):
    """Rules of the causal sample. Fields are keys of `research:`."""

    causal_min_dollars: float = Field(default=100_000, ge=0)
    causal_window_min: int = Field(default=10, gt=0, le=1440)


def with_causal_sample(candidates: pl.DataFrame, filters: FilterParams, params: SampleParams) -> pl.DataFrame:
    """`candidates` (CANDIDATES) with `in_causal_sample` (Boolean, knowable at `known_at`), in the order given.

    In the sample is the first candidate of each (symbol, event_type, date), `up` first in one minute, whose price and
    dollar volume of the day so far suffice, and then the next that comes at least the window after the one before it.
    """
    able = candidates.select(may_be_causal(filters, params)).to_series()
    rows = candidates.select(*_SCAN, "date", row=pl.int_range(pl.len())).filter(able)
    ordered = rows.sort(*_SCAN, descending=[False, False, False, True])
    window = window_numbers(ordered, ["symbol", "event_type", "date"], timedelta(minutes=params.causal_window_min))
    opening = ordered.filter(window.is_first_distinct())["row"]
    return candidates.with_columns(in_causal_sample=pl.int_range(pl.len()).is_in(opening.implode()))


def may_be_causal(filters: FilterParams, params: SampleParams) -> pl.Expr:
    """Whether price and dollar volume of a candidate suffice; others are neither in the sample nor keep any out."""
    able = pl.col("close").is_between(filters.min_close_usd, filters.max_close_usd)
    return (able & (pl.col("dollar_volume_to_event") >= params.causal_min_dollars)).fill_null(value=False)


def research_events(master: pl.DataFrame, sampled: pl.DataFrame | None) -> pl.DataFrame:
    """MASTER and the causal candidates that are not in it (RESEARCH_EVENTS), in the order of MASTER.

    Args:
        master: EVENTS.
        sampled: candidates with `in_causal_sample`; None if detection kept none: then the column is null.
    """
    if sampled is None:
        flagged = master.with_columns(in_master=True, in_causal_sample=pl.lit(None, pl.Boolean))
        return flagged.select(*RESEARCH_EVENTS).sort("symbol", "timestamp", "event_type", maintain_order=True)
    causal = sampled.filter("in_causal_sample")
    known = pl.col("event_id").is_in(causal["event_id"].implode())
    others = causal.filter(~pl.col("event_id").is_in(master["event_id"].implode()))
    rows = pl.concat(
        [
            master.with_columns(in_master=True, in_causal_sample=known).select(*RESEARCH_EVENTS),
            others.with_columns(in_master=False, event_group_id=pl.lit(None, pl.String)).select(*RESEARCH_EVENTS),
        ]
    )
    return rows.sort("symbol", "timestamp", "event_type", maintain_order=True)
