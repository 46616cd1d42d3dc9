"""Research tables of synthetic tape and bars, compared with reading the same files and with detection.

python benchmarks/research.py [--symbols 200] [--windows 1] [--trades 10000] [--quotes 2100] [--many 8]
                              [--events 2000] [--bar-symbols 200] [--sessions 750] [--repeats 3]
Writes trades and quotes of windows (rows of each: --trades, --quotes), then measures in fresh processes: a scan of
these files with Polars; micro_features of them and bar_reconciliation of them, each from the files to a file;
`smallcaps research`, which makes these and more; micro_features of --many times as many windows with as many rows in
all, for the memory. Then the asset micro_features of a lake of --events events beside a scan of its tape, how many
cores it keeps busy (processor time over time), and the asset of one event more; last, for each of --bar-symbols,
detection of its bars and event_bar_features of the candidates.
The last line is one JSON object; its ratios of processor time can be compared between machines.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
from detect import FIRST, HOT_DAYS, LAST, synthetic_bars
from memory import peak_mb
from research_lake import make_manifest, measure_lake, write_tape
from research_market import Windows, write_market

from smallcaps_assets.cli import main as smallcaps
from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.research.bars.bar_features import MarketData, event_bar_features
from smallcaps_assets.domain.research.micro.days import sort_rows, spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.sample import research_events, with_causal_sample
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.research.tape.reconciliation import reconcile_bars
from smallcaps_assets.lake.files.publish import publish_lazy
from smallcaps_assets.pipeline.calendar import sessions_and_earlier, sessions_between
from smallcaps_assets.pipeline.research.batches import DayBatch, at_once, day_batches, on_all_cores
from smallcaps_assets.pipeline.research.files.inputs import ResearchInputs, open_inputs
from smallcaps_assets.pipeline.research.files.tables import EVENTS_AT_ONCE, RESEARCH_TABLES, SEGMENT_ORDER, TAPE_AT_ONCE
from smallcaps_assets.pipeline.research.table_parts import OrderedTable, TableParts
from smallcaps_assets.settings.settings import Settings, load_settings

WINDOW_MIN: Final = (3, 7)


class Tape:
    """The files of a market, opened, and how they are computed in batches."""

    def __init__(self, folder: Path, *, with_quotes: bool = True) -> None:
        """Open the files in `folder`."""
        self.settings: Settings = load_settings(overrides={})
        bars, trades, quotes = (sorted((folder / kind).iterdir()) for kind in KINDS)
        of_quotes = quotes if with_quotes else None
        self.inputs: ResearchInputs = open_inputs(folder / "events.parquet", bars, trades, of_quotes, None)
        days = self.inputs.bars.per_day["day"]
        self.sessions = sessions_and_earlier(days.min(), days.max(), 5, self.settings.sessions)  # type: ignore[arg-type]  # dates
        self.reading = TapeReading(self.inputs.conditions, self.sessions, self.settings.research)

    def batches(self) -> list[DayBatch]:
        """Those of `smallcaps research`."""
        tape = [index.per_day for index in (self.inputs.trades, self.inputs.quotes) if index is not None]
        return day_batches(pl.concat(tape), at_once(TAPE_AT_ONCE))

    def events(self, batch: DayBatch) -> pl.DataFrame:
        """The events of a batch."""
        return self.inputs.events.filter(pl.col("symbol").is_in(list(batch.symbols)))

    def write(self, name: str, compute: Callable[[DayBatch], pl.DataFrame], out: Path) -> dict[str, float]:
        """Compute a table batch by batch and write it in its order."""
        parts = TableParts(out, name, RESEARCH_TABLES[name])

        def add(numbered: tuple[int, DayBatch]) -> None:
            parts.add(numbered[0], compute(numbered[1]))

        list(on_all_cores(add, enumerate(self.batches())))
        table: OrderedTable = parts.one_after_another()
        if name == "micro_features":
            table = parts.merged("event_id", self.inputs.events["event_id"], EVENTS_AT_ONCE, SEGMENT_ORDER)
        publish_lazy(out / f"{name}.parquet", table.lazy(), table.height)
        return {"rows_out": table.height}


KINDS: Final = ("bars", "trades", "quotes")


def scan(folder: Path, _: Path) -> dict[str, float]:
    """Read trades and quotes with plain Polars."""
    rows = (pl.scan_parquet(folder / kind / "*.parquet").collect().height for kind in ("trades", "quotes"))
    return {"rows": sum(rows)}


def micro(folder: Path, out: Path) -> dict[str, float]:
    """micro_features, from the files of tape to its own."""
    tape = Tape(folder)
    assert tape.inputs.trades is not None  # noqa: S101 -- written by us
    assert tape.inputs.quotes is not None  # noqa: S101
    trades, quotes = tape.inputs.trades, tape.inputs.quotes

    def compute(batch: DayBatch) -> pl.DataFrame:
        rows = spans_by_day(tape.events(batch), trades.read(batch), quotes.read(batch), tape.settings.research)
        return micro_features(*rows, tape.reading)

    return tape.write("micro_features", compute, out)


def figures(folder: Path, _: Path) -> dict[str, float]:
    """Of micro_features what is computed of rows in memory, sorted by span, one batch after the other."""
    tape = Tape(folder)
    assert tape.inputs.trades is not None  # noqa: S101 -- written by us
    assert tape.inputs.quotes is not None  # noqa: S101
    spent, rows = 0.0, 0
    for batch in tape.batches():
        trades, quotes = tape.inputs.trades.read(batch), tape.inputs.quotes.read(batch)
        spans = spans_by_day(tape.events(batch), trades, quotes, tape.settings.research)
        started = time.process_time()
        micro_features(*spans, tape.reading)
        spent, rows = spent + time.process_time() - started, rows + trades.height + quotes.height
    return {"figures_cpu_s": spent, "rows": rows}


def reconciliation(folder: Path, out: Path) -> dict[str, float]:
    """bar_reconciliation of the windows, from the files of trades and bars to its own."""
    tape = Tape(folder, with_quotes=False)
    assert tape.inputs.trades is not None  # noqa: S101 -- written by us
    trades = tape.inputs.trades
    before, after = (timedelta(minutes=minutes) for minutes in WINDOW_MIN)

    def compute(batch: DayBatch) -> pl.DataFrame:
        at = pl.col("timestamp")
        spans = tape.events(batch).select("symbol", start=at - before, end=at + after).sort("symbol", "start")
        return reconcile_bars(
            sort_rows(trades.read(batch), ("symbol", "timestamp", "sequence_number")),
            clean_bars(tape.inputs.bars.read(batch)).good,
            spans,
            sessions=tape.sessions,
            conditions=tape.inputs.conditions,
            params=tape.settings.research,
        )

    return tape.write("bar_reconciliation", compute, out)


def command(folder: Path, out: Path) -> dict[str, float]:
    """`smallcaps research` of the market."""
    given = [str(word) for kind in KINDS for word in (f"--{kind}", folder / kind)]
    smallcaps(["research", "--events", str(folder / "events.parquet"), *given, "--out", str(out / "research")])
    return {}


def bar_features(symbols: int, sessions: int, repeats: int) -> dict[str, float]:
    """Processor seconds of detection of each symbol, and of the features of its candidates."""
    settings = load_settings(overrides={})
    table = sessions_between(FIRST, LAST, settings.sessions).head(sessions)
    spent, rows, events = {"detection": 0.0, "with_candidates": 0.0, "features": 0.0}, 0, 0
    for number in range(symbols + 1):
        bars = synthetic_bars(f"S{number:04d}", number, table, HOT_DAYS)
        search = partial(detect, bars, table, settings.detection)
        found, candidates = search(), search(keep_candidates=True).candidates
        assert candidates is not None  # noqa: S101 -- as asked for

        def features(
            bars: pl.DataFrame = bars, found: pl.DataFrame = found.events, candidates: pl.DataFrame = candidates
        ) -> pl.DataFrame:
            sampled = with_causal_sample(candidates, settings.detection.filters, settings.research)
            master = build_master(found, settings.detection.cooldown)
            every, market = research_events(master, sampled), MarketData(bars, table, sampled)
            return event_bar_features(every, market, settings.detection.features, settings.research)

        if number:  # the first one warms up
            spent["detection"] += cpu_of(search, repeats)
            spent["with_candidates"] += cpu_of(partial(search, keep_candidates=True), repeats)
            spent["features"] += cpu_of(features, repeats)
            rows, events = rows + bars.height, events + features().height
    return {**spent, "bars": rows, "events": events}


def cpu_of(work: Callable[[], object], repeats: int) -> float:
    """The least processor seconds of some repeats."""

    def once() -> Iterator[float]:
        for _ in range(repeats):
            started = time.process_time()
            work()
            yield time.process_time() - started

    return min(once())


WORK: Final[dict[str, Callable[[Path, Path], dict[str, float]]]] = {
    "scan": scan,
    "micro": micro,
    "figures": figures,
    "reconciliation": reconciliation,
    "command": command,
}


def work_here(work: str, folder: Path) -> None:
    """The process of `measure`: imports and a first run of a small market are not counted."""
    with tempfile.TemporaryDirectory() as place:
        small, outs = write_market(Path(place) / "small", 2, Windows(1, 100, 100)), Path(place)
        for name in ("warm", "out"):
            (outs / name).mkdir()
        WORK[work](small, outs / "warm")
        started, cpu = time.perf_counter(), time.process_time()
        figures = WORK[work](folder, outs / "out")
        spent = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "peak_mb": peak_mb()}
    print(json.dumps(spent | figures))


def measure(work: str, folder: Path, repeats: int) -> dict[str, float]:
    """The run with the least processor time of some, each in a separate process."""
    command = [sys.executable, __file__, "--work", work, "--folder", str(folder)]

    def once() -> dict[str, float]:
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]
        return dict(json.loads(output))

    return min((once() for _ in range(repeats)), key=lambda figures: figures["cpu_s"])


def compare(read: dict[str, float], found: dict[str, float]) -> dict[str, float]:
    """Work on tape beside a scan of it."""
    return {
        "cpu_s": round(found["cpu_s"], 2),
        "ratio_to_scan_cpu": round(found["cpu_s"] / read["cpu_s"], 2),
        "rows_per_cpu_s": round(read["rows"] / found["cpu_s"]),
        "cores_busy": round(found["cpu_s"] / found["wall_s"], 2),
        "peak_mb": round(found["peak_mb"]),
    }


def of_market(folder: Path, work: list[str], repeats: int) -> dict[str, object]:
    """Every figure of one market."""
    read = measure("scan", folder, repeats)
    found = {name: compare(read, measure(name, folder, repeats)) for name in work}
    alone = min(measure("figures", folder, 1)["figures_cpu_s"] for _ in range(repeats))
    return {
        "rows": int(read["rows"]),
        "scan_cpu_s": round(read["cpu_s"], 3),
        "micro_of_rows_in_memory_rows_per_cpu_s": round(read["rows"] / alone),
        **found,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--windows", type=int, default=1, help="of a symbol")
    parser.add_argument("--trades", type=int, default=10_000, help="of a window")
    parser.add_argument("--quotes", type=int, default=2_100, help="of a window")
    parser.add_argument("--many", type=int, default=8, help="times as many windows, each with fewer rows")
    parser.add_argument("--events", type=int, default=2_000, help="of the lake")
    parser.add_argument("--bar-symbols", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.work:
        work_here(arguments.work, arguments.folder)
        return
    repeats, times = arguments.repeats, arguments.many
    with tempfile.TemporaryDirectory() as place:
        size = Windows(arguments.windows, arguments.trades, arguments.quotes)
        market = write_market(Path(place) / "market", arguments.symbols, size)
        figures: dict[str, object] = of_market(market, ["micro", "reconciliation", "command"], repeats)
        print(figures, flush=True)
        fewer = Windows(size.windows * times, size.trades // times, size.quotes // times)
        many = write_market(Path(place) / "many", arguments.symbols, fewer)
        figures["many_windows"] = {"times": times, **of_market(many, ["micro", "command"], repeats)}
        print(figures["many_windows"], flush=True)
    with tempfile.TemporaryDirectory() as place:
        manifest = make_manifest(arguments.events)
        figures["lake"] = measure_lake(write_tape(Path(place) / "lake", manifest, size), manifest)
        print(figures["lake"], flush=True)
    bars = bar_features(arguments.bar_symbols, arguments.sessions, repeats)
    figures["event_bar_features"] = {
        "symbols": arguments.bar_symbols,
        "sessions": arguments.sessions,
        "bars": int(bars["bars"]),
        "events": int(bars["events"]),
        "detection_cpu_s": round(bars["detection"], 2),
        "ratio_to_detection_cpu": round(bars["features"] / bars["detection"], 2),
        "ratio_to_detection_with_candidates_cpu": round(bars["features"] / bars["with_candidates"], 2),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
