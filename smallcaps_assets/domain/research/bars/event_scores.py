"""Where an event's score lies among those of recent events of its kind (research specification, section 3.5)."""

import numpy as np
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.research.tables.bar_tables import EVENT_SCORES


class ScoreNormParams(Params):
    """Fields are keys of `research:`."""

    score_days: int = Field(default=60, gt=0)
    score_min_events: int = Field(default=50, gt=0)
    score_mad_factor: float = Field(default=1.4826, gt=0)


def event_scores(events: pl.DataFrame, sessions: pl.DataFrame, params: ScoreNormParams) -> pl.DataFrame:
    """One row (EVENT_SCORES) per event, in the order of `events`.

    The reference of an event is the MASTER events of its event type and session on the `score_days` trading days before
    its date. `score_n` is their number; with fewer than `score_min_events` of them the rest is null.

    Args:
        events: RESEARCH_EVENTS; those with `in_master` are the reference.
        sessions: SESSION_TABLE of every session from the first to the last date.
        params: the reference.
    """
    calendar = sessions.select(
        date=pl.col("date").dt.to_string("%Y-%m-%d"), number=pl.col("date").rank("ordinal").cast(pl.Int64)
    )
    rows = events.select("event_id", "event_type", "session", "date", "score", "in_master").join(
        calendar, on="date", how="left", maintain_order="left"
    )
    by_type = rows.with_row_index("order").partition_by("event_type", maintain_order=True)
    parts = [_of_type(part, params) for part in by_type]
    if not parts:
        return EVENT_SCORES.to_frame()
    return pl.concat(parts).sort("order").select(*EVENT_SCORES).match_to_schema(EVENT_SCORES)


def _of_type(rows: pl.DataFrame, params: ScoreNormParams) -> pl.DataFrame:
    """`rows` of one event type with the columns of EVENT_SCORES, in any order."""
    windows = _references(rows.filter("in_master"), params.score_days)
    placed = rows.join(windows.drop("scores"), on=["session", "number"], how="left")
    # the scores of all references in one array, each reference sorted: a position in it is a rank
    ranks = pl.concat([rows["score"], windows["scores"].explode(empty_as_null=False)]).rank("dense").to_numpy()
    own, reference = ranks[: rows.height].astype(np.int64), ranks[rows.height :].astype(np.int64)
    lengths = windows["scores"].list.len().to_numpy().astype(np.int64)
    step = np.int64(rows.height + len(reference) + 1)
    keys = np.repeat(np.arange(windows.height), lengths) * step + reference
    window = placed.sort("order")["window"].fill_null(0).to_numpy().astype(np.int64)
    own_keys = window * step + own
    starts = np.append(np.cumsum(lengths) - lengths, 0)[window]
    less = keys.searchsorted(own_keys, side="left") - starts
    equal = keys.searchsorted(own_keys, side="right") - starts - less
    count, enough = pl.col("score_n"), pl.col("score_n") >= params.score_min_events
    spread = pl.when(pl.col("mad") != 0).then(pl.col("mad") * params.score_mad_factor)
    return (
        placed.sort("order")
        .with_columns(pl.Series("rank", less + 0.5 * equal), score_n=pl.col("score_n").fill_null(0))
        .with_columns(
            score_percentile=pl.when(enough).then(pl.col("rank") / count),
            score_robust_z=pl.when(enough).then((pl.col("score") - pl.col("median")) / spread),
        )
    )


def _references(master: pl.DataFrame, days: int) -> pl.DataFrame:
    """One row per session and trading day with a reference: its number, size, median, MAD and sorted scores."""
    score = pl.col("score")
    return (
        master.drop_nulls("number")
        .sort("session", "number")
        .group_by_dynamic(
            "number", every="1i", period=f"{days}i", offset=f"-{days}i", closed="left", label="left", group_by="session"
        )
        .agg(
            score_n=pl.len().cast(pl.Int64),
            median=score.median(),
            mad=(score - score.median()).abs().median(),
            scores=score.sort(),
        )
        .with_columns(pl.col("number") + days)
        .with_row_index("window")
    )
