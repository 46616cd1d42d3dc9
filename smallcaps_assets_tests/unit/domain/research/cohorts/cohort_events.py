"""Rows that cohorts are made of, for tests."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from smallcaps_assets.domain.research.cohorts.spec_rows import COHORT_EVENTS

EASTERN = ZoneInfo("America/New_York")
BUCKET = "0930-1015"


def event_of(number: int, day: date, net: float | None, **changed: Any) -> dict[str, Any]:
    """A labeled event at 10:00 New York time in both selections, with some columns changed."""
    entry = datetime.combine(day, time(10, 0), EASTERN).astimezone(UTC)
    return {
        "event_id": f"E{number:06d}",
        "label_spec": "15,1,1",
        "symbol": f"S{number % 20:02d}",
        "event_type": "volume_spike",
        "direction": "up",
        "date": day.isoformat(),
        "time_bucket": BUCKET,
        "flatness_score": None,
        "in_master": True,
        "in_causal_sample": True,
        "state": "ok",
        "entry_at": entry,
        "t1": entry + timedelta(minutes=15),
        "tie": False,
        "label": 1,
        "halt_in_label": None,
        "cost_bps": 20.0,
        "net_return": net,
        "mfe_15_bps": None,
    } | changed


def frame_of(rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """The rows as COHORT_EVENTS."""
    return pl.DataFrame(list(rows), schema=COHORT_EVENTS)


def random_events(
    events: int, first: date, days: int, seed: int, specs: Iterable[str] = ("15,1,1",), **means: float
) -> pl.DataFrame:
    """Events of 40 symbols, 2 types and 2 time buckets, whose net returns are normal, 0 on average, sd 3 %.

    Args:
        events: how many.
        first: the first of `days` dates in succession.
        days: how many dates.
        seed: other events.
        specs: every event has a label of each, with the same net return.
        means: mean net returns by event type, of those in the first bucket and not of the others.
    """
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "number": np.arange(events),
            "symbol": random.integers(0, 40, events),
            "event_type": random.choice(["flush", "volume_spike"], events),
            "time_bucket": random.choice([BUCKET, "1015-1400"], events),
            "day": np.sort(random.integers(0, days, events)),
            "minute": random.integers(0, 300, events),
            "flatness_score": random.gamma(2.0, 0.5, events),
            "net_return": random.normal(0, 0.03, events),
        }
    )
    entry = pl.lit(datetime.combine(first, time(14, 30), UTC)) + pl.duration(
        days=pl.col("day"), minutes=pl.col("minute")
    )
    mean = pl.when(time_bucket=BUCKET).then(
        pl.col("event_type").replace_strict(means, default=0.0, return_dtype=pl.Float64)
    )
    rows = frame.with_columns(
        event_id=pl.format("E{}", "number"),
        symbol=pl.format("S{}", "symbol"),
        direction=pl.lit("up"),
        date=(pl.lit(first) + pl.duration(days=pl.col("day"))).dt.to_string("%Y-%m-%d"),
        in_master=True,
        in_causal_sample=pl.col("number") % 10 != 0,
        state=pl.lit("ok"),
        entry_at=entry,
        t1=entry + pl.duration(minutes=15),
        tie=False,
        label=pl.lit(0, pl.Int64),
        halt_in_label=False,
        cost_bps=20.0,
        net_return=pl.col("net_return") + mean.fill_null(0.0),
        mfe_15_bps=pl.lit(None, pl.Float64),
    )
    return pl.concat(
        rows.with_columns(label_spec=pl.lit(spec)).select(*COHORT_EVENTS).cast(COHORT_EVENTS) for spec in specs
    )
