"""Thousands of symbols in the web UI: its pages, and the backfill of a wave. The last line is one JSON object.

python benchmarks/scale.py [--symbols 2000] [--events 300] [--variants sqlite,sqlite_subset,postgresql_subset]

Registers the symbols in three waves in a separate lake and state, with a manifest of events in wave PM spread
over them. `smallcaps ui` serves them; its GraphQL is asked what the pages ask, cold and warm, a Chromium opens the page
of partitions, and the backfill of wave PM over all symbols, trades and quotes, is launched as the page does it. What is
Dagster's is the wall time without that inside our asset bodies, from STEP_START to the first ASSET_MATERIALIZATION of
its event log.

The reference captures the same windows in this process without Dagster. The exchange has a separate process and
answers from memory.

A variant is the storage of Dagster's state, with `_subset` where DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS is on.
PostgreSQL runs as a temporary cluster on this machine; without it (or without the extra `postgresql`) its variants are
skipped with the reason.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import requests
import yaml
from capture import client_of, exchange

from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UNIVERSE, UniverseStore
from smallcaps_assets.pipeline.source import profile_tape, source_identity
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.pipeline.tape.cost_estimate import Planner, require_room
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket

REPOSITORY = Path(__file__).parents[1]
SUBSET = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
HOST = "127.0.0.1"
REPEATS = 5
TAPES = [["core", f"tape_{kind}"] for kind in TAPE_KINDS]
SKIPPED = "skipped"

PARTITIONS = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name partitionKeys }
  assetPartitionStatuses { __typename ... on MultiPartitionStatuses { primaryDimensionName ranges {
    primaryDimStartKey primaryDimEndKey
    secondaryDim { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } } } } } } } }"""
OVERVIEW = """query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionStats { numPartitions numMaterialized numMaterializing numFailed }
  latestMaterializationByPartition(partitions: []) { timestamp } } } }"""
LAUNCH = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATE = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""


@dataclass(frozen=True)
class Place:
    """A home with its configuration and lake, and the environment variables of a variant."""

    home: Path
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        return load_settings(self.home / "config" / "config.yaml", {})

    @property
    def lake(self) -> Lake:
        return Lake(self.home / "lake")


def prepare(home: Path, base_url: str, storage: str, environment: Mapping[str, str]) -> Place:
    """A home like a fresh clone, on the exchange of the benchmark."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, home / name)
    shutil.copytree(REPOSITORY / "deploy", home / "deploy")
    document = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    document["source"] |= {"kind": "vendor", "base_url": base_url}
    document["dagster"]["laid_over"] = "deploy/postgresql/dagster.yaml" if storage == "postgresql" else None
    (home / "config").mkdir()
    (home / "config" / "config.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    variables = {"SMALLCAPS_HOME": str(home), "MASSIVE_API_KEY": "benchmark", **environment}
    os.environ.update(variables)
    return Place(home, variables)


def fill(place: Place, symbols: list[str], events: int) -> None:
    """The universe, and a manifest of so many events of wave PM, spread over the symbols."""
    frame = pl.DataFrame({"symbol": symbols}).with_columns(
        active=pl.lit(value=True), ticker_type=pl.lit("CS"), market_cap_usd=pl.lit(3e8)
    )
    nulls = (pl.lit(None, dtype=dtype).alias(name) for name, dtype in UNIVERSE.items() if name not in frame.columns)
    place.lake.root.mkdir()
    question = {"source": source_identity(place.settings.source)}
    UniverseStore(place.lake).replace(frame.with_columns(*nulls).select(*UNIVERSE), question)
    days = trading_dates(date(2025, 10, 20), date(2025, 12, 1))
    rows = []
    for number in range(events):
        symbol, day = symbols[number * len(symbols) // events], days[number // len(symbols) % len(days)]
        at = datetime(day.year, day.month, day.day, 13, 7, tzinfo=UTC)
        rows.append({"event_id": f"{symbol}_{at:%Y%m%d_%H%M}", "symbol": symbol, "session": "PM", "timestamp": at,
                     "date": f"{day}", "window_before_min": 3, "window_after_min": 7, "extended": False,
                     "rank": number + 1})  # fmt: skip
    manifest = pl.DataFrame([dict.fromkeys(MANIFEST) | row for row in rows], schema=MANIFEST)
    ManifestStore.in_lake(place.lake, "core").freeze(
        Selection(manifest, [], {}), config_hash="benchmark", master_sha256="none", now=datetime.now(UTC)
    )


def reference(place: Place, symbols: list[str], base_url: str) -> float:
    """Seconds that the same windows take without Dagster, in runs of the same size."""
    settings, store = place.settings, profile_tape(place.lake, "core", place.settings)
    manifest, client = ManifestStore.in_lake(place.lake, "core").load(), client_of(base_url, None)
    began = time.perf_counter()
    for kind in TAPE_KINDS:
        for first in range(0, len(symbols), settings.partitions_per_run):
            pairs = [(symbol, "PM") for symbol in symbols[first : first + settings.partitions_per_run]]
            plan = Planner(store, settings.capture.assumptions, None).plan(manifest, [kind], pairs)
            require_room(plan, settings.capture.free_disk)
            work = Capture(kind, store, client, settings.fetch_threads, "benchmark", log=lambda line: None)  # noqa: ARG005
            assert len(list(work.run(manifest, pairs))) == len(pairs)  # noqa: S101
    return time.perf_counter() - began


class Served:
    """`smallcaps ui` of a place."""

    def __init__(self, place: Place) -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://{HOST}:{port}"
        self._log = (place.home / "ui.log").open("wb")
        command = [sys.executable, "-m", "smallcaps_assets.cli", "ui", "--host", HOST, "--port", str(port)]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | place.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.log = place.home / "ui.log"

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        answer = requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=300)
        document: dict[str, Any] = answer.json()
        if "errors" in document:
            raise SystemExit(json.dumps(document["errors"])[:2000])
        found: dict[str, Any] = document["data"]
        return found

    def wait(self) -> None:
        def answers() -> bool:
            if self._process.poll() is not None:
                raise SystemExit(self.log.read_text(encoding="utf-8", errors="replace"))
            try:
                found = self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
            except requests.RequestException:
                return False
            return bool(found["repositoriesOrError"].get("nodes"))

        until(answers, 180)

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(timeout=60)
        self._log.close()


def until(condition: Callable[[], bool], limit_s: float, every_s: float = 0.5) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"still not so after {limit_s:.0f} s")
        time.sleep(every_s)


@contextmanager
def serving(place: Place) -> Iterator[Served]:
    ui = Served(place)
    try:
        ui.wait()
        yield ui
    finally:
        ui.stop()


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def queries(ui: Served, when: str) -> dict[str, float]:
    """What the page of partitions and the overview of tape_trades ask: the first time, and the median of others."""
    figures = {}
    for name, query in (("partitions", PARTITIONS), ("overview", OVERVIEW)):
        taken = [seconds(lambda query=query: ui.ask(query, key={"path": TAPES[0]})) for _ in range(REPEATS + 1)]
        figures |= {f"{name}_{when}_cold_s": taken[0], f"{name}_{when}_warm_s": statistics.median(taken[1:])}
    return figures


def page(ui: Served, when: str, state: str, number: int) -> dict[str, float]:
    """Seconds until the page of partitions shows its counts in a new browser; nothing where there is no Chromium."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415

        from smallcaps_assets_tests.browser.web_ui import BROWSER_FLAGS, find_browser  # noqa: PLC0415
    except ImportError:
        return {}
    found = find_browser()
    if found is None:
        return {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(BROWSER_FLAGS))
        shown = browser.new_page()
        began = time.perf_counter()
        shown.goto(f"{ui.url}/assets/core/tape_trades?view=partitions")
        counted = re.compile(rf"^{state} \(({number}|{number:,})\)$")
        shown.get_by_text(counted).first.wait_for(timeout=180_000)
        taken = time.perf_counter() - began
        browser.close()
    return {f"page_{when}_s": taken}


def backfill(ui: Served, symbols: list[str]) -> tuple[str, float]:
    """Launch wave PM of all symbols as the page does; its id, and the wall time until it is over."""
    params = {
        "assetSelection": [{"path": path} for path in TAPES],
        "partitionNames": [f"{symbol}|PM" for symbol in symbols],
        "tags": [],
    }
    began = time.perf_counter()
    launched = ui.ask(LAUNCH, params=params)["launchPartitionBackfill"]
    if launched["__typename"] != "LaunchBackfillSuccess":
        raise SystemExit(json.dumps(launched))
    name = launched["backfillId"]
    done = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
    until(lambda: ui.ask(STATE, id=name)["partitionBackfillOrError"]["status"] in done, 3 * 3600, 1.0)
    taken = time.perf_counter() - began
    state = ui.ask(STATE, id=name)["partitionBackfillOrError"]["status"]
    if state != "COMPLETED_SUCCESS":
        raise SystemExit(f"{state}\n{ui.log.read_text(encoding='utf-8', errors='replace')[-5000:]}")
    return name, taken


def bodies(instance: dg.DagsterInstance, name: str) -> tuple[int, float]:
    """How many runs a backfill made, and how long any of them was inside one of our asset bodies."""
    runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name}))
    spans = []
    for run in runs:
        times: dict[str | None, float] = {}
        ends = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.ASSET_MATERIALIZATION}
        for entry in instance.all_logs(run.run_id, of_type=ends):
            if entry.dagster_event and entry.dagster_event.event_type == dg.DagsterEventType.STEP_START:
                times[entry.step_key] = entry.timestamp
            elif entry.step_key in times:  # what comes after is recording
                spans.append((times.pop(entry.step_key), entry.timestamp))
    inside, reached = 0.0, 0.0
    for begin, end in sorted(spans):
        inside += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return len(runs), inside


def measure(place: Place, symbols: list[str], events: int) -> dict[str, float]:
    """One variant."""
    fill(place, symbols, events)
    with open_state(place.settings) as instance:
        instance.add_dynamic_partitions("symbols", symbols)
    figures: dict[str, float] = {}
    with serving(place) as ui:
        figures |= queries(ui, "before") | page(ui, "before", "Missing", 3 * len(symbols))
        print({name: round(value, 2) for name, value in figures.items()}, flush=True)
        name, wall = backfill(ui, symbols)
        figures |= queries(ui, "after") | page(ui, "after", "Materialized", len(symbols))
    with open_state(place.settings) as instance:
        runs, inside = bodies(instance, name)
        recorded = [len(instance.get_materialized_partitions(dg.AssetKey(path))) for path in TAPES]
    assert recorded == [len(symbols)] * len(TAPES), recorded  # noqa: S101
    status = [sys.executable, "-m", "smallcaps_assets.cli", "status", "--profile", "core"]
    return figures | {
        "runs": runs,
        "wall_s": wall,
        "bodies_s": inside,
        "dagster_share": (wall - inside) / wall,
        "dagster_ms_per_partition": 1000 * (wall - inside) / sum(recorded),
        "status_s": seconds(lambda: subprocess.run(status, check=True, stdout=subprocess.DEVNULL, cwd=REPOSITORY)),
    }


def without_postgresql() -> str | None:
    """Why PostgreSQL cannot be measured here; None if it can."""
    if importlib.util.find_spec("dagster_postgres") is None:
        return 'the extra is not installed: pip install -e ".[postgresql]"'
    if programs() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    return None


def programs() -> Path | None:
    """The folder of PostgreSQL's programs: on the PATH, else where Debian installs them."""
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


@contextmanager
def postgresql() -> Iterator[dict[str, str]]:
    """A temporary cluster that listens on this machine only; yields its connection variables."""
    place = programs()
    assert place  # noqa: S101
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [str(place / program), *arguments], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL
            )

        data = f"{folder}/data"
        run("initdb", "-D", data, "-A", "trust", "-U", "smallcaps")
        command = [str(place / "postgres"), "-D", data, "-h", HOST, "-p", str(port), "-k", folder]
        log = subprocess.DEVNULL
        with subprocess.Popen(command, user=user, cwd="/", stdout=log, stderr=log) as server:
            try:
                ready = [str(place / "pg_isready"), "-q", "-h", HOST, "-p", str(port)]
                until(lambda: subprocess.run(ready, check=False).returncode == 0, 60)
                run("createdb", "-h", HOST, "-p", str(port), "-U", "smallcaps", "dagster")
                names = {"PGHOST": HOST, "PGPORT": str(port), "PGUSER": "smallcaps", "PGDATABASE": "dagster"}
                yield names | {"PGPASSWORD": "any"}
            finally:
                server.send_signal(signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=300, help="of wave PM, in all")
    parser.add_argument("--variants", default="sqlite,sqlite_subset,postgresql_subset")
    arguments = parser.parse_args()
    twins = SimulatedMarket().symbols()
    symbols = [f"{twins[number % len(twins)]}.{number:05d}" for number in range(arguments.symbols)]
    figures: dict[str, float | str] = {"symbols": len(symbols), "events": arguments.events}
    with exchange() as base_url:
        for _ in range(2):  # once for the exchange to learn its answers
            with tempfile.TemporaryDirectory() as folder:
                place = prepare(Path(folder), base_url, "sqlite", {})
                fill(place, symbols, arguments.events)
                figures["without_dagster_s"] = reference(place, symbols, base_url)
        print(f"without Dagster {figures['without_dagster_s']:.1f} s", flush=True)
        for variant in arguments.variants.split(","):
            storage, _, subset = variant.partition("_")
            reason = without_postgresql() if storage == "postgresql" else None
            if reason:
                print(f"{variant}: {SKIPPED}, {reason}", flush=True)
                figures[variant] = f"{SKIPPED}: {reason}"
                continue
            cluster = postgresql() if storage == "postgresql" else nullcontext({})
            with tempfile.TemporaryDirectory() as folder, cluster as reached:
                place = prepare(Path(folder), base_url, storage, {SUBSET: "1" if subset else "0", **reached})
                found = measure(place, symbols, arguments.events)
            print(f"{variant}: { {name: round(value, 3) for name, value in found.items()} }", flush=True)
            figures |= {f"{variant}_{name}": value for name, value in found.items()}
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps(rounded))


if __name__ == "__main__":
    main()
