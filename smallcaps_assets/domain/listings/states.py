"""The states of every ticker through time, from the vendor's lists and its answers on single tickers."""

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.listings.tables import OBSERVATIONS, SNAPSHOT

# The rows of the lists, each with the sessions on which the vendor listed it unchanged.
SIGHTINGS: Final = pl.Schema({**SNAPSHOT, "days": pl.List(pl.Date())})
# Runs of equal observations of one ticker. `first` and `last` number the sessions of the first and the last of them,
# `row` numbers the row that was observed; null where the ticker was not listed.
TICKER_STATES: Final = pl.Schema({"symbol": pl.String(), "first": pl.Int64(), "last": pl.Int64(), "row": pl.UInt32()})


class Evidence(NamedTuple):
    """What the vendor said of its tickers.

    Attributes:
        sessions: every XNYS session from the first list to the last one, in order.
        days: the sessions of the lists, in order.
        sightings: SIGHTINGS of the lists.
        observations: OBSERVATIONS of other sessions.
    """

    sessions: Sequence[date]
    days: Sequence[date]
    sightings: pl.DataFrame
    observations: pl.DataFrame


class TickerHistory(NamedTuple):
    """The states of every ticker through time.

    Attributes:
        sessions: every XNYS session from the first list to the last one, in order.
        states: TICKER_STATES, by symbol and time.
        rows: the rows that they number (SNAPSHOT).
    """

    sessions: Sequence[date]
    states: pl.DataFrame
    rows: pl.DataFrame


def to_history(evidence: Evidence) -> TickerHistory:
    """The states of every ticker that a list or an answer has.

    A ticker is absent from a list that has no row of it. A list whose rows of a ticker contradict each other says
    nothing of it.
    """
    sessions = evidence.sessions
    numbers = pl.DataFrame({"day": list(sessions)}, schema={"day": pl.Date}).with_row_index("at").cast({"at": pl.Int64})
    answered = evidence.observations.join(numbers, on="day")
    rows = pl.concat([evidence.sightings.select(*SNAPSHOT), answered.filter("is_listed").select(*SNAPSHOT)])
    rows = rows.unique(maintain_order=True).with_row_index("row")
    names = list(SNAPSHOT)
    listed = (
        evidence.sightings.join(rows, on=names, nulls_equal=True)
        .select("symbol", "row", "is_clear", day="days")
        .explode("day", empty_as_null=True)
        .join(numbers, on="day")
        .drop("day")
    )
    # the answer of a single ticker counts where a list has one as well
    lists = numbers.filter(pl.col("day").is_in(list(evidence.days))).select("at")
    symbols = rows.select("symbol").unique()
    grid = symbols.join(lists, how="cross").join(listed, on=["symbol", "at"], how="left")
    single = answered.join(rows, on=names, how="left", nulls_equal=True).select("symbol", "at", "row", "is_clear")
    everything = pl.concat([grid.select("symbol", "at", "row", "is_clear"), single])
    observed = (
        everything.unique(["symbol", "at"], keep="last", maintain_order=True)
        .filter(pl.col("row").is_null() | pl.col("is_clear"))
        .sort("symbol", "at")
    )
    begins = pl.struct("symbol", "row").ne_missing(pl.struct("symbol", "row").shift())
    states = (
        observed.with_columns(run=begins.fill_null(value=True).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(pl.col("symbol").first(), first=pl.col("at").first(), last=pl.col("at").last(), row=pl.col("row").first())
        .select(*TICKER_STATES)
        .match_to_schema(TICKER_STATES)
    )
    return TickerHistory(sessions, states, rows.select(*SNAPSHOT))


def decisive_observations(history: TickerHistory, kept: Sequence[date]) -> pl.DataFrame:
    """The observations (OBSERVATIONS) that lists of other days than `kept`, and answers, are needed for.

    These are the first and the last one of each state. With them and the lists of `kept` the history is the same.
    """
    of_lists = {number for number, day in enumerate(history.sessions) if day in set(kept)}
    ends = pl.concat([history.states.select("symbol", "row", at=name) for name in ("first", "last")]).unique()
    needed = ends.filter(~pl.col("at").is_in(sorted(of_lists)))
    days = pl.DataFrame({"day": list(history.sessions)}, schema={"day": pl.Date}).with_row_index("at")
    rows = history.rows.with_row_index("row").rename({"symbol": "_symbol"})
    return (
        needed.join(days.cast({"at": pl.Int64}), on="at")
        .join(rows, on="row", how="left")
        .with_columns(is_listed=pl.col("row").is_not_null())
        .select(*OBSERVATIONS)
        .match_to_schema(OBSERVATIONS)
        .sort("symbol", "day")
    )
