"""What follows events: legs, excursions, outcomes and labels of synthetic bars, beside reading the same points once.

python benchmarks/outcomes.py [--events 570000] [--batches 20] [--symbols 8] [--sessions 120] [--repeats 3]
Each batch has the same bars of --symbols symbols and other events; the tables of one batch are in memory at a time.
Every work is measured in fresh processes, on one thread but for what Polars divides. The last line is one JSON object;
its ratios of processor time can be compared between machines.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from detect import FIRST, LAST, synthetic_bars
from fresh_processes import compare_works, parse_sizes
from memory import peak_mb

from smallcaps_assets.domain.research.bars.halts import bar_runs
from smallcaps_assets.domain.research.outcomes.bars_after import BarsAfter, bars_after
from smallcaps_assets.domain.research.outcomes.event_labels import event_labels
from smallcaps_assets.domain.research.outcomes.waves import event_waves
from smallcaps_assets.domain.research.outcomes.zigzag import order_points
from smallcaps_assets.domain.sessions import with_session
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings

PATH_BARS: Final = 60


class Market(NamedTuple):
    """Bars in sessions, the sessions, and the runs without bars."""

    bars: pl.DataFrame
    sessions: pl.DataFrame
    runs: pl.DataFrame


class Batch(NamedTuple):
    """Events with the bars after them, what is read of their features, and the runs without bars."""

    after: BarsAfter
    features: pl.DataFrame
    runs: pl.DataFrame


def make_market(symbols: int, sessions: int) -> Market:
    """Bars of hot days, which have one in nearly every minute."""
    table = sessions_between(FIRST, LAST, load_settings(overrides={}).sessions).head(sessions)
    bars = pl.concat([synthetic_bars(f"S{number:04d}", number, table, 1.0) for number in range(symbols)])
    labeled = with_session(bars, table).filter(pl.col("day").is_not_null())
    return Market(labeled, table, bar_runs(labeled, table, load_settings(overrides={}).research.params))


def make_batch(market: Market, events: int, seed: int) -> Batch:
    """Random bars as events."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(market.bars.height, events, replace=False))
    chosen = market.bars.select("symbol", "timestamp")[rows].with_columns(
        event_id=pl.format("E{}", pl.Series(rows)),
        event_type=pl.lit("flush"),
        direction=pl.Series(rng.choice(["up", "down"], events)),
        in_master=pl.lit(value=True),
        bar_atr=pl.Series(rng.uniform(0.001, 0.005, events)),
        velocity_pre_5=pl.lit(0.0),
        acceleration_pre_5=pl.lit(0.0),
    )
    return Batch(bars_after(chosen, market.bars, market.sessions), chosen, market.runs)


def read_points(batch: Batch) -> dict[str, int]:
    """Read every point of PATH_BARS bars after each event once."""
    points = order_points(batch.after.bars).micros
    last = points.shape[1] - 1
    total = 0
    for bar in range(PATH_BARS):
        total += int(points[:, np.minimum(batch.after.first + bar, last)].sum() % 7)
    return {"rest": total}


def waves(batch: Batch) -> dict[str, int]:
    """The legs and the figures of each event."""
    made = event_waves(batch.after, batch.features, load_settings(overrides={}).research)
    return {"legs": made.waves.height, "events": made.outcomes.height}


def labels(batch: Batch) -> dict[str, int]:
    """The labels of each event by every spec, without costs."""
    return {"labels": event_labels(batch.after, batch.features, batch.runs).height}


def waves_and_labels(batch: Batch) -> dict[str, int]:
    """Both, as the step of a symbol makes them from the same bars."""
    return waves(batch) | labels(batch)


SIZES: Final = {"events": 570_000, "batches": 20, "symbols": 8, "sessions": 120}
WORK: Final[dict[str, Callable[[Batch], dict[str, int]]]] = {
    "read_points": read_points,
    "waves": waves,
    "labels": labels,
    "waves_and_labels": waves_and_labels,
}


def work_here(work: str, arguments: argparse.Namespace) -> None:
    """One work, in a process of its own: what makes the batches is not timed, and a first batch is not counted."""
    market = make_market(arguments.symbols, arguments.sessions)
    events = arguments.events // arguments.batches
    wall = cpu = 0.0
    total: dict[str, int] = {}
    for number in range(arguments.batches + 1):
        batch = make_batch(market, events, number)
        started, spent = time.perf_counter(), time.process_time()
        found = WORK[work](batch)
        if number:
            wall, cpu = wall + time.perf_counter() - started, cpu + time.process_time() - spent
            total = {name: total.get(name, 0) + count for name, count in found.items()}
    print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb(), "bars": market.bars.height, **total}))


def main() -> None:
    """Measure and print."""
    arguments = parse_sizes(__doc__, SIZES, WORK)
    if arguments.work:
        work_here(arguments.work, arguments)
    else:
        compare_works(__file__, WORK, arguments, SIZES, "ratio_to_reading_cpu")


if __name__ == "__main__":
    main()
