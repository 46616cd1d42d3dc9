"""MASTER: the events of all shards, one row per event (specification, section 4)."""

from datetime import timedelta

import polars as pl

from smallcaps_assets.domain.events.cooldown import CooldownParams, window_numbers
from smallcaps_assets.domain.tables import EVENTS


def build_master(shards: pl.DataFrame, params: CooldownParams) -> pl.DataFrame:
    """MASTER (EVENTS), sorted by symbol, timestamp, event_type.

    Of the rows that share an event_id the one with the highest score stays, on a tie `up`. A group is the events of one
    symbol and ET date within the group window of its first event; its id is that event's symbol and UTC time.
    """
    # shards come in order of symbol; in one chunk the sort recognises it
    rows = _unique_events(shards.rechunk()).sort("symbol", "timestamp", "event_type", maintain_order=True)
    group = window_numbers(rows, ["symbol", "date"], timedelta(minutes=params.group_window_min))
    opened = pl.when(group.diff().fill_null(1) > 0).then("timestamp").forward_fill()
    group_id = pl.concat_str("symbol", opened.dt.strftime("%Y%m%d_%H%M%S"), separator="_")
    return rows.with_columns(event_group_id=group_id).select(*EVENTS).match_to_schema(EVENTS)


def _unique_events(shards: pl.DataFrame) -> pl.DataFrame:
    """The row of each event_id with the highest score, on a tie `up`, in the order of `shards`."""
    repeated = (
        shards.select("event_id", "score", "direction", row=pl.int_range(pl.len()))
        .filter(pl.col("event_id").is_duplicated())
        .sort("event_id", "score", "direction", descending=[False, True, True], maintain_order=True)
    )
    worse = repeated.filter(~pl.col("event_id").is_first_distinct())["row"]
    return shards.filter(~pl.int_range(pl.len()).is_in(worse.implode())) if worse.len() else shards
