"""An experiment with stricter settings over a lake: from its event candidates, and from its bars, in the same run.

python benchmarks/experiments.py [--symbols 200] [--sessions 750] [--hot-days 0.0125] [--repeats 3]
Creates a lake of synthetic symbols (those of detect.py) with shards, candidates and MASTER. Then runs `smallcaps
detect` in fresh processes: once from bars, and from candidates, with two stricter thresholds and other weights,
compared with MASTER. The events found, gained and lost have to be the same files, byte for byte. Seconds are
those of the whole command with the start of Python. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from detect import FIRST, LAST, detector, run, synthetic_bars, write_symbol

from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings

PROJECTED_SYMBOLS: Final = 2_000
# 570,000 events of 2,000 symbols in 750 sessions
HOT_DAYS: Final = 0.0077
STRICTER: Final = (
    "detectors.volume_spike.regular.min_spike_x=8",
    "detectors.price_momentum.up_min_return=0.04",
    "score.weights.consecutive_bars=0.2",
)


def make_lake(folder: Path, symbols: int, sessions: int, hot_days: float) -> dict[str, float]:
    """A lake of as many symbols, detected."""
    folder.mkdir()
    settings, lake = load_settings(overrides={}), Lake(folder)
    days = sessions_between(FIRST, LAST, settings.sessions).head(sessions)
    names = [f"S{number:04}" for number in range(symbols)]
    for number, name in enumerate(names):
        bars = synthetic_bars(name, number, days, hot_days)
        write_symbol(BarsStore(lake), name, bars, days)
    started = time.perf_counter()
    figures = run(detector(folder), names)
    shards = ShardStore(lake).scan().collect()
    publish_frame(lake.master, build_master(shards, settings.cooldown), below=lake.root)
    sizes = {
        "candidates_mb": sum(lake.candidates_of(name).stat().st_size for name in names) / 1e6,
        "bars_mb": sum(path.stat().st_size for path in lake.minute_bars.rglob("*.parquet")) / 1e6,
    }
    return {
        "events": shards.height,
        "candidates": figures["candidates"],
        "detect_s": round(time.perf_counter() - started, 1),
        **{name: round(size, 1) for name, size in sizes.items()},
    }


def experiment(folder: Path, out: Path, *, from_bars: bool) -> dict[str, Any]:
    """Run the command in a process of its own; its seconds, its memory and its document."""
    out.mkdir(exist_ok=True)
    files = [f"--{name}={out / f'{name}.parquet'}" for name in ("out", "gained", "lost")]
    command = ["detect", "--lake", str(folder), "--compare", str(Lake(folder).master), "--json", *files]
    command += [part for setting in STRICTER for part in ("--set", setting)]
    command += ["--from-bars"] if from_bars else []
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


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--hot-days", type=float, default=HOT_DAYS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--lake", type=Path, help="keep the lake there, or use the one that an earlier run kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.lake or Path(scratch) / "lake"
        made = {} if folder.is_dir() else make_lake(folder, arguments.symbols, arguments.sessions, arguments.hot_days)
        bars = experiment(folder, Path(scratch) / "bars", from_bars=True)
        judged = [experiment(folder, Path(scratch) / "judged", from_bars=False) for _ in range(arguments.repeats)]
        require(bars["document"]["road"]["from_bars"] == arguments.symbols, bars["document"]["road"])
        for one in judged:
            require(one["document"]["road"]["from_candidates"] == arguments.symbols, one["document"]["road"])
            require(one["files"] == bars["files"], "the events of both roads differ")
            require(one["document"]["events"] == bars["document"]["events"], one["document"]["events"])
        best = min(one["s"] for one in judged)
        nothing = _start_s()
        per_symbol = (best - nothing) / arguments.symbols
        print(
            json.dumps(
                {
                    "symbols": arguments.symbols,
                    "sessions": arguments.sessions,
                    **made,
                    "events_compared": bars["document"]["events"],
                    "from_bars_s": round(bars["s"], 2),
                    "from_candidates_s": round(best, 2),
                    "start_s": round(nothing, 2),
                    "from_bars_cpu_s": round(bars["cpu_s"], 1),
                    "from_candidates_cpu_s": round(min(one["cpu_s"] for one in judged), 1),
                    "ratio": round(bars["s"] / best, 1),
                    "from_bars_mb": round(bars["peak_mb"]),
                    "from_candidates_mb": round(max(one["peak_mb"] for one in judged)),
                    "projected_s_for_2000_symbols": round(nothing + PROJECTED_SYMBOLS * per_symbol, 1),
                    "projected_from_bars_s_for_2000_symbols": round(
                        nothing + PROJECTED_SYMBOLS * (bars["s"] - nothing) / arguments.symbols, 1
                    ),
                }
            )
        )


def _start_s() -> float:
    """Seconds that the command takes before it does anything."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import smallcaps_assets.commands.detect"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
