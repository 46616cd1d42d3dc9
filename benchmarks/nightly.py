"""One night over many symbols, as the daemon runs it, then the same night again. The last line is one JSON object.

python benchmarks/nightly.py [--symbols 2190] [--sessions 25] [--behind 0.05]

The lake is prepared without Dagster: every symbol has bars and shards up to the session before the night's; a share of
the symbols lacks two more sessions. The exchange runs in a separate process without a rate limit; symbols copy the bars
of a few, and responses are cached, so that the exchange does not dominate. The run is a separate process, measured from
import to exit, with the repository's dagster.yaml on SQLite. Seconds by step are those of the event log; those of
processor time (`_cpu_s`) are taken where a step starts and ends, of all threads, and `cpu_s` is that of the whole
process. `recording` is the time that Dagster took to write the outcome of the partitions. The exit code is 1 if a
requirement is not met.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import instance_config, load_settings, pass_to_children, use_dagster_home
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply

REPOSITORY = Path(__file__).parents[1]
NIGHT = date(2025, 11, 28)
FIRST = date(2025, 9, 2)
TWINS = 8
CLOCK = datetime(2026, 1, 5, 12, tzinfo=UTC)
MORE_BEHIND = 2  # sessions


class Twins:
    """The exchange, with the bars of a few symbols for all, and with cached responses."""

    def __init__(self, market: SimulatedMarket) -> None:
        self._exchange = Exchange(market)
        self._twins = twins(market)
        self._known: dict[str, Reply] = {}

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        parts = path.split("/")
        if "aggs" not in parts:
            return self._exchange.reply(path, query, headers)
        symbol, place = parts[4], 4
        twin = twin_of(symbol, self._twins)
        path_of_twin = "/".join([*parts[:place], twin, *parts[place + 1 :]])
        question = f"{path_of_twin}?{sorted(query.items())}"
        if question not in self._known:
            self._known[question] = self._exchange.reply(path_of_twin, query, headers)
        known = self._known[question]
        return Reply(known.status, known.headers, known.body.replace(f'"{twin}"'.encode(), f'"{symbol}"'.encode()))


def twins(market: SimulatedMarket) -> list[str]:
    """The symbols whose bars all others copy."""
    trading = (symbol for symbol in market.symbols() if market.days(symbol, NIGHT, NIGHT))
    return [symbol for symbol, _ in zip(trading, range(TWINS), strict=False)]


def twin_of(symbol: str, some: list[str]) -> str:
    return some[int(hashlib.sha256(symbol.encode()).hexdigest(), 16) % len(some)]


def serving(symbols: int) -> None:
    """The process of the exchange: prints its address, then serves until its standard input ends."""
    with serve(Twins(SimulatedMarket(symbols=symbols, clock=lambda: CLOCK))) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


@contextmanager
def exchange(symbols: int) -> Iterator[str]:
    command = [sys.executable, __file__, "--child", "serving", str(symbols)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout  # noqa: S101, PT018
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def prepare(root: str, symbols: list[str], bars: Mapping[str, pl.DataFrame], days: list[date], behind: float) -> int:
    """Write bars and shards of symbols up to the last of `days`; for a share of them, up to an earlier day."""
    from smallcaps_assets.defs.resources import LakeResource  # noqa: PLC0415 -- it imports Dagster

    lake, settings = LakeResource(root=root), load_settings()
    for place, symbol in enumerate(symbols):
        late = behind > 0 and place % max(1, round(1 / behind)) == 0
        stored = days[:-MORE_BEHIND] if late else days
        copied = bars[twin_of(symbol, list(bars))].with_columns(symbol=pl.lit(symbol))
        for month, some in groupby(stored, key=lambda day: day.replace(day=1)):
            lake.bars().add(symbol, month, list(some), copied, clean_bars(copied.clear()).quarantined)
    return sum(not outcome.problems for outcome in lake.detector(settings).run(symbols))


class StepTimes:
    """Processor time of the steps of a run in this process, one after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def __call__(self, entry: Any) -> None:  # noqa: ANN401 -- of Dagster's event log; Dagster is imported later
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        if event.is_step_start:
            self._began[event.step_key] = time.process_time()
        elif event.is_step_success or event.is_step_failure:
            self.seconds[event.step_key] = time.process_time() - self._began[event.step_key]


def night() -> dict[str, Any]:
    """The run of one night in this process, configured by the environment."""
    import dagster as dg  # noqa: PLC0415 -- its import is part of the measurement

    from smallcaps_assets.definitions import defs  # noqa: PLC0415
    from smallcaps_assets.defs.resources import LakeResource  # noqa: PLC0415
    from smallcaps_assets.defs.schedules import night_request  # noqa: PLC0415
    from smallcaps_assets.settings.settings import lake_path  # noqa: PLC0415

    settings = load_settings()
    with dg.DagsterInstance.get() as instance:
        lake = LakeResource(root=str(lake_path(settings)))
        request = night_request(instance, settings, lake, datetime(2025, 11, 29, 1, 45, tzinfo=UTC))
        assert isinstance(request, dg.RunRequest), request  # noqa: S101
        run_id, spent = f"{uuid.uuid4()}", StepTimes()
        instance.add_event_listener(run_id, spent)
        result = defs.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            run_config=dict(request.run_config),
            tags=request.tags,
            raise_on_error=False,
            run_id=run_id,
        )
        figures: dict[str, Any] = {"success": result.success}
        times: dict[str, list[float]] = {}
        for entry in instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            key = entry.asset_materialization.asset_key.to_user_string() if entry.asset_materialization else ""
            times.setdefault(key, []).append(entry.timestamp)
        for step in instance.get_run_step_stats(result.run_id):
            figures[f"{step.step_key}_s"] = round((step.end_time or 0) - (step.start_time or 0), 2)
            figures[f"{step.step_key}_cpu_s"] = round(spent.seconds.get(step.step_key, 0.0), 2)
        for asset in ("minute_bars", "event_shards"):
            recorded = times.get(asset, [0.0])  # nothing, where nothing changed
            figures[f"{asset}_recorded"] = len(times.get(asset, []))
            figures[f"{asset}_recording_s"] = round(max(recorded) - min(recorded), 2)
        (report,) = (
            event.step_materialization_data.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key == dg.AssetKey("nightly_report")
        )
    names = ("symbols", "symbols_behind", "symbol_sessions", "bars", "requests", "events_detected", "master_rows")
    return figures | {name: report[name].value for name in names} | {"cpu_s": round(time.process_time(), 1)}


def measure() -> dict[str, Any]:
    """One night in a separate process, from import to exit."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--child", "night", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3_000:])
    return {"wall_s": round(time.perf_counter() - began, 1), **json.loads(done.stdout.splitlines()[-1])}


def digest(root: Path) -> str:
    """One hash of every file of the lake, with its name."""
    found = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def begin(folder: Path, base_url: str, arguments: argparse.Namespace) -> int:
    """Create settings, Dagster's state and a lake without the night's session; return the number of symbols."""
    import dagster as dg  # noqa: PLC0415

    from smallcaps_assets.definitions import build_defs  # noqa: PLC0415

    lake = Lake(folder / "lake")
    overrides = {
        "lake": {"path": str(lake.root)},
        "source": {"kind": "vendor", "base_url": base_url, "requests_per_minute": None},
        "history": {"first_session": f"{FIRST}", "last_session": f"{NIGHT}"},
    }
    days = sessions_between(FIRST, NIGHT, load_settings(overrides={}).sessions)["date"].to_list()
    days = days[-arguments.sessions - 1 :]
    overrides["history"]["first_session"] = f"{days[0]}"
    os.environ["MASSIVE_API_KEY"] = "benchmark"
    pass_to_children(REPOSITORY / "config" / "config.yaml", overrides)
    state = folder / "state"
    state.mkdir()
    (state / "dagster.yaml").write_text(instance_config(REPOSITORY / "dagster.yaml", state))
    use_dagster_home(state)
    with dg.DagsterInstance.get() as instance:
        job = build_defs(load_settings()).resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("universe")]).success  # noqa: S101
    market = SimulatedMarket(symbols=arguments.symbols, clock=lambda: CLOCK)
    bars = {symbol: market.bars(symbol, days[0], days[-1]) for symbol in twins(market)}
    symbols = UniverseStore(lake).read().filter("active")["symbol"].to_list()
    parts = [symbols[::2], symbols[1::2]]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        work = [pool.submit(prepare, str(lake.root), part, bars, days[:-1], arguments.behind) for part in parts]
        assert sum(one.result() for one in work) == len(symbols)  # noqa: S101
    return len(symbols)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2_190, help="companies listed; about nine in ten are followed")
    parser.add_argument("--sessions", type=int, default=25, help="sessions that are there before the night")
    parser.add_argument("--behind", type=float, default=0.05, help="share of symbols that lack two sessions more")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "NUMBER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, number = arguments.child
        if name == "serving":
            serving(int(number))
        else:
            print(json.dumps(night()))
        return 0
    with tempfile.TemporaryDirectory() as folder, exchange(arguments.symbols) as base_url:
        began = time.perf_counter()
        symbols = begin(Path(folder), base_url, arguments)
        print(f"{symbols:,} symbols prepared in {time.perf_counter() - began:.0f} s", flush=True)
        first = measure()
        print({"night": first}, flush=True)
        before = digest(Path(folder) / "lake")
        again = measure()
        print({"again": again}, flush=True)
        unchanged = digest(Path(folder) / "lake") == before
    figures = first | {f"again_{name}": value for name, value in again.items()} | {"unchanged": unchanged}
    print(json.dumps(figures))
    whole = first["success"] and again["success"] and not first["symbols_behind"]
    return 0 if whole and unchanged and again["requests"] == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
