"""Import of day files (symbol=X/date=Y.parquet) into an empty lake, and again, beside one scan of the same files.

python benchmarks/imports.py [--symbols 50] [--sessions 750] [--folder DIR]
Prices are of 32 bits and times of New York without a zone, as people have them. The command runs in a process of its
own, twice; the second run must change no byte. The last line is one JSON object; ratios to the scan travel between
machines.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import psutil
from detect import FIRST, LAST, synthetic_bars

from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import load_settings

REPOSITORY = Path(__file__).parents[1]
ZONE = "America/New_York"


def write_day_files(folder: Path, symbols: int, sessions: pl.DataFrame) -> int:
    """Day files of random bars; returns how many rows they hold."""
    rows = 0
    for number in range(symbols):
        bars = synthetic_bars(f"S{number:03d}", number, sessions).drop("symbol")
        rows += bars.height
        local = pl.col("timestamp").dt.convert_time_zone(ZONE)
        days = bars.with_columns(
            pl.col("open", "high", "low", "close", "vwap").cast(pl.Float32),
            pl.col("volume").cast(pl.Int64),
            timestamp=local.dt.replace_time_zone(None),
            day=local.dt.date(),
        ).partition_by("day", as_dict=True, include_key=False)
        own = folder / f"symbol=S{number:03d}"
        own.mkdir(parents=True)
        for (day,), frame in days.items():
            frame.write_parquet(own / f"date={day}.parquet")
        print(f"wrote day files of {number + 1}/{symbols} symbols", flush=True)
    return rows


def home_of(folder: Path) -> Path:
    """A folder like a fresh clone."""
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


def imported(home: Path, files: Path) -> tuple[float, float, str]:
    """Seconds, peak memory in MB and the output of `smallcaps import bars`."""
    command = [sys.executable, "-m", "smallcaps_assets.cli", "import", "bars", str(files), "--timezone", ZONE]
    environment = os.environ | {"SMALLCAPS_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    started, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=output, stderr=output)
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, seen.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    print(text, flush=True)
    if process.returncode:
        raise SystemExit(f"the import failed with exit code {process.returncode}")
    return seconds, peak / 1e6, text


def scan_seconds(files: Path) -> float:
    """Seconds that Polars takes to read every column of the same files, symbol by symbol."""
    started = time.perf_counter()
    for folder in sorted(files.iterdir()):
        pl.scan_parquet(sorted(folder.glob("*.parquet")), hive_partitioning=False).collect()
    return time.perf_counter() - started


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    settings = load_settings(overrides={})
    sessions = sessions_between(FIRST, LAST, settings.sessions).head(arguments.sessions)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        files, home = Path(made) / "minute", home_of(Path(made) / "home")
        rows = write_day_files(files, arguments.symbols, sessions)
        count = sum(1 for _ in files.rglob("*.parquet"))
        scan = scan_seconds(files)
        first_s, first_mb, output = imported(home, files)
        new = int(re.search(r"([\d,]+) bars new", output)[1].replace(",", ""))  # type: ignore[index]
        before = states(home / "lake")
        second_s, second_mb, _ = imported(home, files)
        unchanged = states(home / "lake") == before
    figures = {
        "symbols": arguments.symbols,
        "files": count,
        "rows": rows,
        "rows_imported": new,
        "files_per_s": round(count / first_s),
        "rows_per_s": round(rows / first_s),
        "import_s": round(first_s, 2),
        "scan_s": round(scan, 2),
        "ratio_to_scan": round(first_s / scan, 2),
        "peak_mb": round(first_mb),
        "again_s": round(second_s, 2),
        "again_peak_mb": round(second_mb),
        "no_byte_changed": unchanged,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
