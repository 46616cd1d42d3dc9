"""Cohorts of every as_of of synthetic events, beside sorting the net returns of the same samples once each.

python benchmarks/cohorts.py [--events 570000] [--specs 3] [--months 36] [--symbols 3000] [--repeats 3]
Every work is measured in fresh processes; what makes the events is not timed. The last line is one JSON object; its
ratio of processor time can be compared between machines.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
import polars as pl
from fresh_processes import compare_works, parse_sizes
from memory import peak_mb

from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.spec_rows import COHORT_EVENTS, SELECTIONS

FIRST: Final = date(2023, 1, 2)
# a minute of the day from which on each time bucket is, counted from 04:00
BUCKETS: Final = {0: "0400-0930", 330: "0930-1015", 375: "1015-1400", 600: "1400-1600", 720: "1600-2000"}
TYPES: Final = 7
MINUTES: Final = 900
DAYS_OF_MONTH: Final = 30.4


def synthetic_events(events: int, specs: int, months: int, symbols: int) -> pl.DataFrame:
    """COHORT_EVENTS: few symbols have most events, 3 of 100 labels have no entry, returns are normal."""
    rng = np.random.default_rng(1)
    day = rng.integers(0, int(months * DAYS_OF_MONTH), events)
    minute = rng.integers(0, MINUTES, events)
    starts = np.array(list(BUCKETS))
    entry = pl.lit(datetime(FIRST.year, FIRST.month, FIRST.day, 9, tzinfo=UTC)) + pl.duration(
        days=pl.col("day"), minutes=pl.col("minute")
    )
    frame = pl.DataFrame(
        {
            "day": np.maximum(day - (day % 7 >= 5) * 2, 0),  # noqa: PLR2004 -- the weekend
            "minute": minute,
            "symbol": rng.zipf(1.3, events) % symbols,
            "event_type": rng.integers(0, TYPES, events),
            "direction": rng.choice(["up", "down"], events),
            "time_bucket": np.array(list(BUCKETS.values()))[starts.searchsorted(minute, side="right") - 1],
            "flatness_score": np.where(rng.random(events) < 0.3, np.nan, rng.gamma(2, 0.5, events)),  # noqa: PLR2004
        }
    ).with_columns(
        event_id=pl.format("SYM{}_volume_spike_20230101_093000_{}", "symbol", pl.int_range(pl.len())),
        symbol=pl.format("SYM{}", "symbol"),
        event_type=pl.format("type_{}", "event_type"),
        date=(pl.lit(FIRST) + pl.duration(days=pl.col("day"))).dt.to_string("%Y-%m-%d"),
        flatness_score=pl.col("flatness_score").fill_nan(None),
        entry_at=entry,
    )
    return pl.concat((_labeled(frame, 5 * 3**number, rng) for number in range(specs)), rechunk=True)


def _labeled(frame: pl.DataFrame, horizon: int, rng: np.random.Generator) -> pl.DataFrame:
    rows = frame.height
    entered = pl.Series(rng.random(rows) >= 0.03)  # noqa: PLR2004
    labels = frame.with_columns(
        label_spec=pl.lit(f"{horizon},1,1"),
        in_master=pl.Series(rng.random(rows) < 0.9),  # noqa: PLR2004
        in_causal_sample=pl.Series(rng.random(rows) < 0.8),  # noqa: PLR2004
        state=pl.when(entered).then(pl.lit("ok")).otherwise(pl.lit("no_entry")),
        t1=pl.col("entry_at") + pl.duration(minutes=pl.Series(rng.integers(1, horizon + 1, rows))),
        tie=pl.Series(rng.random(rows) < 0.05),  # noqa: PLR2004
        label=pl.Series(rng.integers(-1, 2, rows)),
        halt_in_label=pl.Series(rng.random(rows) < 0.02),  # noqa: PLR2004
        cost_bps=pl.Series(np.round(rng.gamma(2, 30, rows), 3)),
        net_return=pl.when(entered).then(pl.Series(rng.normal(0, 0.02, rows))),
        mfe_15_bps=pl.Series(rng.gamma(2, 50, rows)),
    )
    return labels.select(*COHORT_EVENTS).cast(dict(COHORT_EVENTS))


def sort_samples(events: pl.DataFrame) -> dict[str, int]:
    """Sort the net returns of the last 24 months before each month, of each spec and selection."""
    columns = ["label_spec", "date", *SELECTIONS.values(), "net_return"]
    rows = events.select(columns).drop_nulls().with_columns(day=pl.col("date").str.to_date("%Y-%m-%d"))
    month = rows.select(pl.col("day").dt.year().cast(pl.Int64) * 12 + pl.col("day").dt.month()).to_series().to_numpy()
    spec = rows["label_spec"].rank("dense").to_numpy()
    net = rows["net_return"].to_numpy()
    months = CohortParams().cohort_months
    sorted_rows = 0
    for flag in SELECTIONS.values():
        for number in range(1, int(spec.max()) + 1):
            own = np.flatnonzero(rows[flag].to_numpy() & (spec == number))
            of_month, of_net = month[own], net[own]
            for as_of in range(int(month.min()) + 1, int(month.max()) + 2):
                sample = np.sort(of_net[(of_month >= as_of - months) & (of_month < as_of)])
                sorted_rows += len(sample)
    return {"sample_rows": sorted_rows}


def cohorts(events: pl.DataFrame) -> dict[str, int]:
    """All cohorts and their members."""
    made = cohort_tables(events, CohortParams())
    return {"cohorts": made.cohorts.height, "members": made.members.height}


SIZES: Final = {"events": 570_000, "specs": 3, "months": 36, "symbols": 3000}
WORK: Final[dict[str, Callable[[pl.DataFrame], dict[str, int]]]] = {"sort_samples": sort_samples, "cohorts": cohorts}


def work_here(work: str, arguments: argparse.Namespace) -> None:
    """One work, in a process of its own."""
    events = synthetic_events(arguments.events, arguments.specs, arguments.months, arguments.symbols)
    started, spent = time.perf_counter(), time.process_time()
    found = WORK[work](events)
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), **found}))


def main() -> None:
    """Measure and print."""
    arguments = parse_sizes(__doc__, SIZES, WORK)
    if arguments.work:
        work_here(arguments.work, arguments)
    else:
        compare_works(__file__, WORK, arguments, SIZES, "ratio_to_sorting_cpu")


if __name__ == "__main__":
    main()
