"""An experiment with stricter settings over a lake: from its event candidates, and from its bars, in the same run.

python benchmarks/experiments.py [--symbols 200] [--copies 10] [--sessions 750] [--hot-days 0.0077] [--lake DIR]
Creates a lake of synthetic symbols (those of detect.py) with shards, candidates and MASTER, and further symbols with
the same bars, shards and candidates under other names. Then runs `smallcaps detect` in fresh processes from the
candidates of all of them, with two stricter thresholds and other weights, compared with MASTER. Seconds are those of
the whole command with the start of Python, the least of --repeats runs.
A sample of symbols (--sample) is judged in a lake of its own, which has only their files and events, from candidates
and from bars: the events found, gained and lost have to be the same files, byte for byte. The figures from bars are of
that lake: the start is taken off, and the rest divided by the number of its symbols.
With fewer than 2,000 symbols the seconds of that number are projected: the least of several starts, and the rest by
symbol; not from fewer than 100 symbols, whose rest is as small as the start varies. Those from bars are projected from
the sample. Making a lake of 200 symbols takes about 450 s of processor time: --lake keeps it, and uses it the next
time; condition bars that an earlier release did not publish are added. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import polars as pl
from detect import FIRST, LAST, detector, run, synthetic_bars, write_symbol

from smallcaps_assets.commands.detecting.experiment import sample
from smallcaps_assets.domain.events.detection import event_ids
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.candidates import CandidateOrigin, CandidateStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings

PROJECTED_SYMBOLS: Final = 2_000
LEAST_TO_PROJECT: Final = 100
STARTS: Final = 5
# 570,000 events of 2,000 symbols in 750 sessions
HOT_DAYS: Final = 0.0077
STRICTER: Final = (
    "detectors.volume_spike.regular.min_spike_x=8",
    "detectors.price_momentum.up_min_return=0.04",
    "score.weights.consecutive_bars=0.2",
)


def make_lake(folder: Path, symbols: int, sessions: int, hot_days: float, copies: int) -> dict[str, float]:
    """A lake of as many symbols, detected, each under as many names."""
    folder.mkdir()
    settings, lake = load_settings(overrides={}), Lake(folder)
    days = sessions_between(FIRST, LAST, settings.sessions).head(sessions)
    names = [f"S{number:04}" for number in range(symbols)]
    for number, name in enumerate(names):
        bars = synthetic_bars(name, number, days, hot_days)
        write_symbol(BarsStore(lake), name, bars, days)
    started = time.perf_counter()
    figures = run(detector(folder), names)
    detected = time.perf_counter() - started
    for name in names:
        copy_symbol(lake, name, [f"{name}.{copy}" for copy in range(1, copies)])
    shards = ShardStore(lake).scan().collect()
    publish_frame(lake.master, build_master(shards, settings.cooldown), below=lake.root)
    sizes = {
        "candidates_mb": sum(lake.candidates_of(name).stat().st_size for name in names) / 1e6,
        "condition_bars_mb": sum(lake.condition_bars_of(name).stat().st_size for name in names) / 1e6,
        "bars_mb": sum(path.stat().st_size for name in names for path in lake.bars(name).iterdir()) / 1e6,
    }
    return {
        "events": shards.height,
        "candidates_of_originals": figures["candidates"],
        "detect_s": round(detected, 1),
        **{name: round(size, 1) for name, size in sizes.items()},
    }


def copy_symbol(lake: Lake, symbol: str, others: Sequence[str]) -> None:
    """Further symbols that have the bars, events and candidates of one; no bar of theirs is ever read."""
    coverage = ShardStore(lake).coverage(symbol)
    require(coverage is not None, symbol)
    assert coverage is not None  # noqa: S101 -- as required
    shard, candidates = pl.read_parquet(lake.shard(symbol)), pl.read_parquet(lake.candidates_of(symbol))
    with os.scandir(lake.bars(symbol)) as files:
        states = {file.name.removesuffix(".parquet"): FileState.of(file) for file in files}
    # the state of a file that was just written is not recorded, and then it would be opened
    months = {name: MonthCoverage(states[name], month.text) for name, month in coverage.months.items()}
    for other in others:
        lake.bars(other).mkdir()
        for bars in lake.bars(symbol).iterdir():
            os.link(bars, lake.bars(other) / bars.name)
        events, edges = (rows.with_columns(symbol=pl.lit(other)) for rows in (shard, candidates))
        events, edges = (rows.with_columns(event_ids(rows)) for rows in (events, edges))
        CandidateStore(lake).publish(other, edges, CandidateOrigin.of_shard(coverage))
        ShardStore(lake).replace(other, events, replace(coverage, content=None, footer=None, months=months))


def add_condition_bars(lake: Lake) -> int:
    """Publish the condition bars that candidates of an earlier release lack; returns of how many symbols."""
    store, added = CandidateStore(lake), 0
    for path in lake.candidates.glob("symbol=*.parquet"):
        symbol = symbol_of(path.stem)
        origin = store.origin(symbol, conditions=True)
        if origin is not None and store.origin_of_condition_bars(symbol) != origin:
            kept = store.read(symbol, [origin], conditions=True).rows
            require(kept is not None, symbol)
            assert kept is not None  # noqa: S101 -- as required
            store.publish_condition_bars(symbol, kept, origin)
            added += 1
    return added


def make_lake_of(lake: Lake, symbols: Sequence[str], folder: Path) -> None:
    """A lake of some symbols of another: copies of their files, whose times stay, and MASTER of their events."""
    some = Lake(folder)
    folder.mkdir()
    events = pl.scan_parquet(lake.master).filter(pl.col("symbol").is_in(list(symbols))).collect()
    publish_frame(some.master, events, below=folder)
    for symbol in symbols:
        for place in (Lake.candidates_of, Lake.condition_bars_of, Lake.shard):
            place(some, symbol).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(place(lake, symbol), place(some, symbol))
        shutil.copytree(lake.bars(symbol), some.bars(symbol))
        require(ShardStore(some).coverage(symbol) == ShardStore(lake).coverage(symbol), symbol)


def experiment(folder: Path, out: Path, *flags: str) -> dict[str, Any]:
    """Run the command in a process of its own; its seconds, its memory and its document."""
    out.mkdir(exist_ok=True)
    files = [f"--{name}={out / f'{name}.parquet'}" for name in ("out", "gained", "lost")]
    command = ["detect", "--lake", str(folder), "--compare", str(Lake(folder).master), "--json", *files]
    command += [part for setting in STRICTER for part in ("--set", setting)]
    command += flags
    code = (
        "import sys, json; from memory import peak_mb; from smallcaps_assets.cli import main; "
        "code = main(sys.argv[1:]); print(json.dumps({'peak_mb': peak_mb()})); raise SystemExit(code)"
    )
    started, cpu = time.perf_counter(), children_cpu_s()
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )
    seconds, cpu = time.perf_counter() - started, children_cpu_s() - cpu
    document, memory = map(json.loads, done.stdout.splitlines()[-2:])
    return {"s": seconds, "cpu_s": cpu, **memory, "document": document, "files": dict(_hashes(out))}


def children_cpu_s() -> float:
    """Processor seconds of the processes that ended; 0 on systems that do not count them."""
    times = os.times()
    return times.children_user + times.children_system


def _hashes(out: Path) -> Iterator[tuple[str, str]]:
    for name in ("out", "gained", "lost"):
        yield name, hashlib.sha256((out / f"{name}.parquet").read_bytes()).hexdigest()


def require(holds: bool, details: object) -> None:  # noqa: FBT001
    """Exit if the measured work is not the intended one."""
    if not holds:
        raise SystemExit(f"unexpected work, nothing measured: {details}")


def measure(folder: Path, scratch: Path, repeats: int, sampled: int) -> dict[str, object]:
    """The figures of all symbols from candidates, and of a sample from candidates and from bars."""
    out = scratch / "out"
    judged = [experiment(folder, out) for _ in range(repeats)]
    symbols = judged[0]["document"]["symbols"]
    for one in judged:
        require(one["document"]["road"]["from_candidates"] == symbols, one["document"]["road"])
    small = scratch / "sample"
    make_lake_of(Lake(folder), sample(BarsStore(Lake(folder)).symbols(), min(sampled, symbols), seed=0), small)
    same, bars = experiment(small, out), experiment(small, out, "--from-bars")
    require(bars["document"]["road"]["from_bars"] == same["document"]["road"]["from_candidates"], bars["document"])
    require(same["files"] == bars["files"], "the events of both roads differ")
    require(same["document"]["events"] == bars["document"]["events"], same["document"]["events"])
    best, start = min(one["s"] for one in judged), min(_start_s() for _ in range(STARTS))
    by_symbol = (best - start) / symbols
    of_bars = (bars["s"] - start) / bars["document"]["symbols"]

    def projected(per_symbol: float) -> float | None:
        return round(start + PROJECTED_SYMBOLS * per_symbol, 1) if symbols >= LEAST_TO_PROJECT else None

    return {
        "symbols": symbols,
        "events_compared": judged[0]["document"]["events"],
        "from_candidates_s": round(best, 2),
        "start_s": round(start, 2),
        "from_candidates_cpu_s": round(min(one["cpu_s"] for one in judged), 1),
        "from_candidates_mb": round(max(one["peak_mb"] for one in judged)),
        "from_candidates_ms_per_symbol": round(1000 * by_symbol, 1),
        "from_bars_symbols": bars["document"]["symbols"],
        "from_bars_s": round(bars["s"], 2),
        "from_bars_cpu_s": round(bars["cpu_s"], 1),
        "from_bars_mb": round(bars["peak_mb"]),
        "from_bars_ms_per_symbol": round(1000 * of_bars, 1),
        "projected_s_for_2000_symbols": projected(by_symbol) if symbols < PROJECTED_SYMBOLS else None,
        "projected_from_bars_s_for_2000_symbols": projected(of_bars),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--hot-days", type=float, default=HOT_DAYS)
    parser.add_argument("--copies", type=int, default=10, help="names of each symbol (default: 10)")
    parser.add_argument("--sample", type=int, default=16, help="symbols that are also detected from bars (default: 16)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lake", type=Path, help="keep the lake there, or use the one that an earlier run kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.lake or Path(scratch) / "lake"
        size = (arguments.symbols, arguments.sessions, arguments.hot_days, arguments.copies)
        made = (
            {"condition_bars_added": add_condition_bars(Lake(folder))} if folder.is_dir() else make_lake(folder, *size)
        )
        figures = measure(folder, Path(scratch), arguments.repeats, arguments.sample)
        print(json.dumps({"sessions": arguments.sessions, **made, **figures}))


def _start_s() -> float:
    """Seconds that the command takes before it does anything."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import smallcaps_assets.commands.detect"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
