"""Detection of synthetic symbols of 750 sessions through `Detector`, compared with reading the same files.

python benchmarks/detect.py [--symbols 20 60 180] [--sessions 750] [--nights 200] [--hot-days 0.13]
Creates a lake, then measures in fresh processes: a scan of the same columns; detection from scratch, with the shipped
settings and without the dollar-volume filter of days; the former as runs of asset `event_shards` with Dagster's state
on SQLite; one new session for every symbol; and one changed threshold. The last line is one JSON object; its ratios can
be compared between machines.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from memory import peak_mb

from smallcaps_assets.domain.events.detection import BARS_READ
from smallcaps_assets.domain.tables import BARS, REFERENCE
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.settings.settings import load_settings

FIRST, LAST = date(2022, 1, 3), date(2024, 12, 31)
# Typical of small caps: few days are hot, the others dull and below the dollar volume that an event needs. On a hot day
# more minutes trade, and episodes of a quarter of an hour, in which some minutes trade a multiple, are more frequent.
# About 410 bars a day, of which 2 % are events before filters and cooldown.
HOT_DAYS = 0.13
MINUTES = {"hot": 0.5, "dull": 0.4}
EPISODES = {"hot": 0.0095, "dull": 0.0014}
SHARES = {"hot": 8_000, "dull": 40}
EPISODE_MIN, BURSTS = 12, 0.5
REPEATS = 3


def synthetic_bars(symbol: str, seed: int, sessions: pl.DataFrame, hot_share: float = HOT_DAYS) -> pl.DataFrame:
    """Random minute bars of dull days and of a share of hot days."""
    rng = np.random.default_rng(seed)
    hot_days = rng.random(sessions.height) < hot_share
    minutes = sessions.select(
        pl.datetime_ranges("premarket_open", "afterhours_close", "1m", closed="left", time_unit="us").alias(
            "timestamp"
        ),
        pl.Series("hot", hot_days),
    ).explode("timestamp")
    hot = minutes["hot"].to_numpy()

    def by_day(values: dict[str, float], which: np.ndarray) -> np.ndarray:
        return np.where(which, values["hot"], values["dull"])

    begins = rng.random(minutes.height) < by_day(EPISODES, hot)
    lively = np.convolve(begins, np.ones(EPISODE_MIN))[: minutes.height] > 0
    traded = lively | (rng.random(minutes.height) < by_day(MINUTES, hot))
    kept, lively, hot = minutes.filter(pl.Series(traded)), lively[traded], hot[traded]
    rows = kept.height
    burst = lively & (rng.random(rows) < BURSTS)
    force = np.where(burst, rng.lognormal(1.6, 1.2, rows), 1)
    steps = 0.0015 * rng.standard_normal(rows) * np.where(burst, 4 * np.sqrt(force), 1)
    close = np.round(10 * np.exp(np.cumsum(steps - steps.mean())), 4)
    opened = np.concatenate(([close[0]], close[:-1]))
    wick = np.abs(rng.standard_normal((2, rows))) * 0.001
    volume = np.floor(rng.gamma(4, 0.25, rows) * by_day(SHARES, hot) * force) + 1
    return pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, rows, eager=True),
            "timestamp": kept["timestamp"],
            "open": opened,
            "high": np.maximum(opened, close) * (1 + wick[0]),
            "low": np.minimum(opened, close) * (1 - wick[1]),
            "close": close,
            "volume": volume,
            "vwap": close,
            "transactions": (volume / 30).astype(np.int64) + 1,
        },
        schema=BARS,
    )


def write_symbol(store: BarsStore, symbol: str, bars: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Store the bars of one symbol as the lake does, month by month."""
    months = sessions.with_columns(month=pl.col("date").dt.truncate("1mo"))
    labelled = bars.with_columns(month=pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.date())
    by_month = labelled.with_columns(pl.col("month").dt.truncate("1mo")).partition_by("month", as_dict=True)
    nothing = bars.clear().with_columns(reason=pl.lit(""))
    for (month,), days in months.group_by("month", maintain_order=True):
        of_month = by_month.get((month,), labelled.clear()).drop("month")
        store.add(symbol, month, days["date"].to_list(), of_month, nothing)


def detector(folder: Path, **changes: object) -> Detector:
    """The detector of the lake in a folder."""
    settings, lake = load_settings(overrides=changes), Lake(folder)
    return Detector(BarsStore(lake), ShardStore(lake), settings.detection, settings.sessions, REFERENCE.to_frame())


def scan(folder: Path, symbols: Sequence[str]) -> dict[str, float]:
    """Read the columns of detection with plain Polars, one symbol after the other."""
    files = (Lake(folder).bars(symbol) / "*.parquet" for symbol in symbols)
    columns = [name for name in BARS_READ if name != "symbol"]
    frames = (pl.scan_parquet(pattern, hive_partitioning=False).select(columns).collect() for pattern in files)
    return {"bars": sum(frame.height for frame in frames)}


def require(holds: bool, details: object) -> None:  # noqa: FBT001
    """Exit if the measured work is not the intended one."""
    if not holds:
        raise SystemExit(f"unexpected work, nothing measured: {details}")


def run(ready: Detector, symbols: Sequence[str]) -> dict[str, float]:
    """Bring the shards up to date."""
    figures: dict[str, float] = {}
    for outcome in ready.run(symbols):
        require(not outcome.problems, outcome.problems)
        for name, value in outcome.figures.items():
            figures[name] = figures.get(name, 0) + value
    return figures


def assets(folder: Path, symbols: Sequence[str]) -> dict[str, float]:
    """The same as a backfill over all symbols in the web UI, in runs of as many partitions as configured."""
    import dagster as dg  # noqa: PLC0415 -- not needed by the other measurements

    from smallcaps_assets.definitions import build_defs  # noqa: PLC0415
    from smallcaps_assets.defs.partitions import range_tags  # noqa: PLC0415
    from smallcaps_assets.defs.runs.run_log import RUN_LOG  # noqa: PLC0415

    settings = load_settings(overrides={"lake": {"path": str(folder)}})
    job, key = build_defs(settings).resolve_implicit_global_asset_job_def(), dg.AssetKey("event_shards")
    size = settings.partitions_per_run
    inside = 0.0
    with (
        tempfile.TemporaryDirectory() as state,
        dg.DagsterInstance.local_temp(state, {"telemetry": {"enabled": False}}) as instance,
    ):
        instance.add_dynamic_partitions("symbols", list(symbols))
        for first in range(0, len(symbols), size):
            part = symbols[first : first + size]
            tags = range_tags(part[0], part[-1])
            result = job.execute_in_process(
                run_config={"loggers": {RUN_LOG: {}}}, instance=instance, asset_selection=[key], tags=tags
            )
            (stats,) = (one for one in instance.get_run_step_stats(result.run_id) if one.step_key == "event_shards")
            inside += (stats.end_time or 0) - (stats.start_time or 0)
        done = len(instance.get_materialized_partitions(key))
    require(done == len(symbols), done)
    return {"steps_s": inside}


NO_DOLLARS = {f"min_dollar_volume_day_{bias}_usd": 0 for bias in ("bullish", "bearish")}
WORK: dict[str, Callable[[Path, Sequence[str]], Callable[[], dict[str, float]]]] = {
    "scan": partial(partial, scan),
    "detect": lambda folder, symbols: partial(run, detector(folder), symbols),
    "every_day": lambda folder, symbols: partial(run, detector(folder, filters=NO_DOLLARS), symbols),
    "assets": partial(partial, assets),
    "threshold": lambda folder, symbols: partial(
        run, detector(folder, detectors={"flush": {"min_spike_x": 5.0}}), symbols
    ),
}


def measure(work: str, folder: Path, symbols: int) -> dict[str, float]:
    """Run `work` in a separate process; return its seconds, CPU seconds, peak memory and counts."""
    command = [sys.executable, __file__, "--work", work, "--lake", str(folder), "--symbols", str(symbols)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
    return dict(json.loads(output))


def work_here(work: str, folder: Path, symbols: Sequence[str]) -> None:
    """The process of `measure`: imports, settings, and a warm-up detection in another lake are not counted."""
    first, second = sessions_between(FIRST, LAST, load_settings(overrides={}).sessions).head(2).iter_slices(1)
    with tempfile.TemporaryDirectory() as elsewhere:
        for seed, session in enumerate((first, second)):
            write_symbol(BarsStore(Lake(Path(elsewhere))), "WARM", synthetic_bars("WARM", seed, session), session)
            scan(Path(elsewhere), ["WARM"])
            run(detector(Path(elsewhere)), ["WARM"])
    ready = WORK[work](folder, symbols)
    started, cpu = time.perf_counter(), time.process_time()
    figures = ready()
    resources = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "peak_mb": peak_mb()}
    print(json.dumps(resources | figures))


def best(work: str, folder: Path, symbols: int, repeats: int) -> dict[str, float]:
    """The fastest of some runs; work that detects all events starts without shards."""
    runs = []
    for _ in range(repeats):
        if work in {"detect", "every_day", "assets"}:
            shutil.rmtree(Lake(folder).shards, ignore_errors=True)
        runs.append(measure(work, folder, symbols))
    return min(runs, key=lambda figures: figures["wall_s"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, nargs="+", default=[20, 60, 180])
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--nights", type=int, default=200, help="symbols that get one new session")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--hot-days", type=float, default=HOT_DAYS, help="share of the days that are hot")
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--lake", type=Path)
    arguments = parser.parse_args()
    most = max(*arguments.symbols, arguments.nights) if not arguments.work else arguments.symbols[0]
    symbols = [f"S{number:04d}" for number in range(most)]
    if arguments.work:
        work_here(arguments.work, arguments.lake, symbols)
        return
    sessions = sessions_between(FIRST, LAST, load_settings(overrides={}).sessions).head(arguments.sessions)
    with tempfile.TemporaryDirectory() as folder:
        figures = benchmark(write_lake(Path(folder), symbols, sessions, arguments.hot_days), arguments)
    print(json.dumps(figures))


class Night(NamedTuple):
    """A lake whose symbols lack the last session, and the bars of that session."""

    folder: Path
    sessions: pl.DataFrame
    last_bars: dict[str, pl.DataFrame]


def write_lake(folder: Path, symbols: Sequence[str], sessions: pl.DataFrame, hot_days: float) -> Night:
    """Write all sessions of every symbol except the last."""
    store, last_bars = BarsStore(Lake(folder)), {}
    progress = with_progress(symbols, len(symbols), "symbols written", lambda line: print(line, flush=True))
    for number, symbol in enumerate(progress):
        bars = synthetic_bars(symbol, number, sessions, hot_days)
        new = pl.col("timestamp") >= sessions["premarket_open"][-1]
        write_symbol(store, symbol, bars.filter(~new), sessions.head(-1))
        last_bars[symbol] = bars.filter(new)
    return Night(folder, sessions, last_bars)


def benchmark(night: Night, arguments: argparse.Namespace) -> dict[str, object]:
    """All figures."""
    by_symbols: dict[int, dict[str, Any]] = {}
    for number in sorted({*arguments.symbols, arguments.nights}):
        read = best("scan", night.folder, number, arguments.repeats)
        by_symbols[number] = {
            "bars": int(read["bars"]),
            "scan_s_per_symbol": round(read["wall_s"] / number, 4),
            **{
                work: compare_with_scan(read, best(work, night.folder, number, arguments.repeats), number)
                for work in ("detect", "every_day")
            },
        }
        print(number, by_symbols[number], flush=True)
    per_symbol = by_symbols[arguments.nights]["detect"]["s_per_symbol"]
    whole = best("assets", night.folder, arguments.nights, 1)
    return {
        "sessions": night.sessions.height,
        "by_symbols": by_symbols,
        "projected_min_for_2000_symbols": round(2_000 * per_symbol / 60, 1),
        "assets_s": round(whole["wall_s"], 1),
        "assets_symbols_per_hour": round(3600 * arguments.nights / whole["wall_s"]),
        "dagsters_share_pct": round(100 * (1 - arguments.nights * per_symbol / whole["wall_s"]), 1),
        **changes(night, arguments.nights, arguments.repeats),
    }


def compare_with_scan(read: dict[str, float], found: dict[str, float], symbols: int) -> dict[str, float]:
    """The cost of detection compared with reading the same bars."""
    return {
        "days_looked_at_share": round(1 - found["days_filtered"] / found["sessions"], 3),
        "events_before_cooldown_share": round((found["events_found"] - found["events_filtered"]) / read["bars"], 4),
        "events": int(found["events"]),
        "s_per_symbol": round(found["wall_s"] / symbols, 4),
        "cpu_s_per_symbol": round(found["cpu_s"] / symbols, 4),
        "ratio_to_scan": round(found["wall_s"] / read["wall_s"], 2),
        "ratio_to_scan_cpu": round(found["cpu_s"] / read["cpu_s"], 2),
        "peak_mb": round(found["peak_mb"]),
    }


def changes(night: Night, symbols: int, repeats: int) -> dict[str, float]:
    """Cost of one changed threshold and of one new session for every symbol, compared with full detection."""
    full = best("detect", night.folder, symbols, repeats)
    threshold = measure("threshold", night.folder, symbols)
    require(threshold["event_types_detected"] == symbols, threshold)
    measure("detect", night.folder, symbols)
    for symbol, bars in list(night.last_bars.items())[:symbols]:
        write_symbol(BarsStore(Lake(night.folder)), symbol, bars, night.sessions.tail(1))
    new = quickest_night(night.folder, symbols, repeats)
    nothing = min(measure("detect", night.folder, symbols)["wall_s"] for _ in range(repeats))
    return {
        "full_s": round(full["wall_s"], 2),
        "one_session_s": round(new["wall_s"], 3),
        "one_session_share_pct": round(100 * new["wall_s"] / full["wall_s"], 2),
        "one_session_share_cpu_pct": round(100 * new["cpu_s"] / full["cpu_s"], 2),
        "one_threshold_share_pct": round(100 * threshold["wall_s"] / full["wall_s"], 1),
        "nothing_new_s": round(nothing, 3),
    }


def quickest_night(folder: Path, symbols: int, repeats: int) -> dict[str, float]:
    """The fastest of some detections of the one session missing from the shards, which are restored each time."""
    events, runs = Lake(folder).shards.parent, []  # the shards, and what they cover beyond their footers
    with tempfile.TemporaryDirectory() as aside:
        before = shutil.copytree(events, Path(aside) / "events")
        for _ in range(repeats):
            shutil.rmtree(events)
            shutil.copytree(before, events)
            runs.append(measure("detect", folder, symbols))
            require(runs[-1]["sessions_detected"] == symbols, runs[-1])
    return min(runs, key=lambda figures: figures["wall_s"])


if __name__ == "__main__":
    main()
