"""Halts seen in minute bars (research specification, section 5.3): long runs without a bar after busy minutes."""

from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import UTC_NS, UTC_US

# Runs of RTH minutes without a bar, [start, end). `undecided`: the transactions before it are not known.
BAR_RUNS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "day": pl.Date(),
        "start": UTC_US,
        "end": UTC_US,
        "n5": pl.Int64(),
        "is_halt": pl.Boolean(),
        "undecided": pl.Boolean(),
    }
)
# Confidence 1: from bars, without an event; 2: from the tape of an event's window.
HALTS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "confidence": pl.Int64(),
        "event_id": pl.String(),
        "start": UTC_NS,
        "date": pl.String(),
        "end": UTC_NS,
        "seconds": pl.Float64(),
        "n5": pl.Int64(),
    }
)
_MINUTE: Final = timedelta(minutes=1)
_US_PER_MIN: Final = 60_000_000


class HaltParams(Params):
    """When a gap is a halt. Fields are keys of `research:`."""

    halt_min_gap_min: int = Field(default=5, gt=0)
    halt_min_trades: int = Field(default=50, gt=0)
    # transactions are counted in this time before a gap
    halt_busy_min: int = Field(default=5, gt=0)


def bar_runs(labeled: pl.DataFrame, sessions: pl.DataFrame, params: HaltParams) -> pl.DataFrame:
    """Runs of RTH minutes without a bar that could be halts (BAR_RUNS), sorted by symbol and start.

    A run follows an RTH bar and ends at the next one of the day or at the RTH close. It is a halt where the bars of the
    minutes before it, of any session, have enough transactions; where one of these is null, it is undecided.

    Args:
        labeled: bars in sessions, sorted by symbol and timestamp, with `day` and `session`, see `with_session`.
        sessions: SESSION_TABLE.
        params: thresholds.
    """
    closes = sessions.select("regular_close", day="date")
    rows = labeled.select("symbol", "day", "timestamp", "session", "transactions").with_row_index("row")
    regular = rows.filter(pl.col("session") == "RTH").join(closes, on="day", how="left", maintain_order="left")
    same_day = (pl.col("symbol") == pl.col("symbol").shift(-1)) & (pl.col("day") == pl.col("day").shift(-1))
    runs = regular.with_columns(
        start=pl.col("timestamp") + _MINUTE,
        end=pl.when(same_day).then(pl.col("timestamp").shift(-1)).otherwise("regular_close"),
    ).filter(pl.col("end") - pl.col("start") >= timedelta(minutes=params.halt_min_gap_min))
    # a bar starts in the minutes before the run if it does not lie further back; all of them are on the same day
    keys = rows["symbol"].rle_id().to_numpy().astype(np.int64) << 32 | _minutes(rows["timestamp"])
    last = runs["row"].to_numpy().astype(np.int64)
    first = keys.searchsorted(keys[last] + 1 - params.halt_busy_min, side="left")
    known = np.append(0, np.cumsum(rows["transactions"].fill_null(0).to_numpy()))
    unknown = np.append(0, np.cumsum(rows["transactions"].is_null().to_numpy()))
    n5 = pl.Series("n5", known[last + 1] - known[first], dtype=pl.Int64)
    undecided = pl.Series("undecided", unknown[last + 1] > unknown[first], dtype=pl.Boolean)
    found = runs.with_columns(n5, undecided)
    return found.with_columns(is_halt=~pl.col("undecided") & (pl.col("n5") >= params.halt_min_trades)).select(*BAR_RUNS)


def bar_halts(runs: pl.DataFrame) -> pl.DataFrame:
    """The halts (HALTS, confidence 1) among runs without bars, sorted by symbol and start."""
    return (
        runs.filter("is_halt")
        .select(
            "symbol",
            "n5",
            confidence=pl.lit(1, pl.Int64),
            event_id=pl.lit(None, pl.String),
            start=pl.col("start").cast(UTC_NS),
            date=pl.col("day").dt.to_string("%Y-%m-%d"),
            end=pl.col("end").cast(UTC_NS),
            seconds=(pl.col("end") - pl.col("start")).dt.total_seconds().cast(pl.Float64),
        )
        .select(*HALTS)
    )


def with_halts(events: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """`events` (with `symbol`, `day`, `timestamp`) with `minutes_since_halt` and `halts_known_at_event`, in order.

    The minutes are from the end of the last halt of the day to the event; null without one, and after an undecided run.
    """
    by = ["symbol", "day"]
    unsure = runs.filter("undecided").group_by(by).agg(unsure_from=pl.col("end").min())
    rows = events.with_row_index("order").join(unsure, on=by, how="left")
    ends = runs.filter("is_halt").select(*by, halt_end="end").sort("halt_end")
    rows = rows.sort("timestamp").join_asof(
        ends, left_on="timestamp", right_on="halt_end", by=by, strategy="backward", check_sortedness=False
    )
    known = (pl.col("unsure_from") > pl.col("timestamp")).fill_null(value=True)
    since = (pl.col("timestamp") - pl.col("halt_end")).dt.total_minutes().cast(pl.Float64)
    return (
        rows.with_columns(halts_known_at_event=known, minutes_since_halt=pl.when(known).then(since))
        .sort("order")
        .drop("order", "unsure_from", "halt_end")
    )


def _minutes(timestamps: pl.Series) -> np.ndarray:
    return timestamps.to_physical().to_numpy() // _US_PER_MIN
