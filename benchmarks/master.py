"""MASTER and manifests at full size, each in a fresh process, compared with a plain sorted copy of the shards.

python benchmarks/master.py [--events 1000000] [--symbols 2000] [--sessions 750] [--months 3] [--folder FOLDER]

Creates a lake of event shards, with month files of bars for a plan and a status to read; an existing lake in FOLDER is
reused. Prints for each piece of work its seconds, CPU seconds (`cpu_s`, which matter on a busy machine), and the peak
memory of its process, imports included.

    reference         the shards, scanned and written as one sorted parquet file
    build             MASTER in memory: shards read, joined and grouped
    master            `master_events` through Dagster, with its checks; `step_s` is its step: shards read,
                      joined and checked, charts drawn, published
    select            the events of each profile from a MASTER in memory
    manifest_PROFILE  its manifest through Dagster, with its checks; `step_s`: MASTER read and checked, events selected,
                      charts drawn, frozen with its hashes
    command_PROFILE   `smallcaps manifest`; `run_s` is without imports
    survey            the footers of all shards, as read by checks
    plan              `smallcaps plan` of a premium manifest of the maximum size, with nothing captured
    status            `smallcaps status` of the same

The last line is one JSON object; the exit code is 1 if MASTER or a manifest exceeds its limit.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import dagster as dg
import event_lake
import polars as pl
import yaml
from memory import peak_mb

from smallcaps_assets import cli
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import PROFILES, Settings, lake_path, load_settings, pass_to_children

REPOSITORY: Final = Path(__file__).parents[1]
MASTER_MAY_TAKE_S, MANIFEST_MAY_TAKE_S, MAY_TAKE_MB = 10.0, 3.0, 1_500
# lets premium select its maximum number of events, of however few symbols
WIDE: Final = {"max_per_symbol": 1_000, "max_per_symbol_day": 10, "min_event_score": 0.1, "min_day_rvol": 0.0}

Figures = dict[str, Any]


def timed(figures: Figures, name: str, work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """The result of `work`; adds its seconds and CPU seconds to `figures`."""
    began, busy = time.perf_counter(), time.process_time()
    result = work()
    figures[f"{name}_s"] = round(time.perf_counter() - began, 3)
    figures[f"{name}_cpu_s"] = round(time.process_time() - busy, 3)
    return result


def reference(lake: Lake, _: Settings, figures: Figures) -> None:
    def copy() -> None:
        rows = ShardStore(lake).scan().sort("symbol", "timestamp", "event_type").collect()
        rows.write_parquet(lake.root.with_name("reference.parquet"), compression="zstd", statistics=True)

    timed(figures, "whole", copy)


def build(lake: Lake, settings: Settings, figures: Figures) -> None:
    shards = timed(figures, "read", lambda: ShardStore(lake).scan().collect())
    master = timed(figures, "build", lambda: build_master(shards, settings.cooldown))
    figures |= {"rows_of_shards": shards.height, "events": master.height}


def through_dagster(lake: Lake, settings: Settings, figures: Figures, *, asset: str) -> None:
    """Materialize an asset, with its checks, in one run."""
    state, step = lake.root.with_name("state"), asset.replace("/", "__")
    state.mkdir(exist_ok=True)
    job = build_defs(settings).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(state), {"telemetry": {"enabled": False}}) as instance:
        key = dg.AssetKey.from_user_string(asset)
        result = timed(figures, "run", lambda: job.execute_in_process(instance=instance, asset_selection=[key]))
        for stats in instance.get_run_step_stats(result.run_id):
            name = {step: "step", f"{step}_checks": "checks"}.get(stats.step_key, stats.step_key)
            figures[f"{name}_s"] = round((stats.end_time or 0) - (stats.start_time or 0), 3)
    figures["red"] = [check.check_name for check in result.get_asset_check_evaluations() if not check.passed]


def select(lake: Lake, settings: Settings, figures: Figures) -> None:
    master = timed(figures, "read", lambda: pl.read_parquet(lake.master, hive_partitioning=False))
    for profile in PROFILES:
        chosen = timed(figures, profile, partial(select_events, master, settings.profiles[profile], settings.ranking))
        figures[f"{profile}_rows"] = chosen.manifest.height


def command(lake: Lake, _: Settings, figures: Figures, *, line: str) -> None:
    folder = lake.root.parent
    places = {"MASTER": lake.master, "OUT": folder / "manifests", "CONFIG": folder / "config.yaml"}
    words = [str(places.get(word, word)) for word in line.split()]
    assert timed(figures, "run", lambda: cli.main(words)) == 0  # noqa: S101


def survey(lake: Lake, settings: Settings, figures: Figures) -> None:
    shards = timed(figures, "run", LakeResource(root=str(lake.root)).detector(settings).survey)
    figures |= {"shards": shards.height, "current": int(shards["current"].sum())}


def widen(lake: Lake, settings: Settings, figures: Figures) -> None:
    """Replace the current manifest of premium with one of the maximum size."""
    params = settings.profiles["premium"].model_copy(update=WIDE)
    chosen = select_events(pl.read_parquet(lake.master), params, settings.ranking)
    store = ManifestStore.in_lake(lake, "premium")
    store.freeze(chosen, config_hash="wide", master_sha256="wide", now=datetime.now(UTC))
    figures["rows"] = chosen.manifest.height


# all pieces of work, each after those that it depends on
WORKS: Final[Mapping[str, Callable[[Lake, Settings, Figures], None]]] = {
    "reference": reference,
    "build": build,
    "master": partial(through_dagster, asset="master_events"),
    "select": select,
    **{f"manifest_{profile}": partial(through_dagster, asset=f"{profile}/manifest") for profile in PROFILES},
    **{
        f"command_{profile}": partial(command, line=f"manifest --profile {profile} --master MASTER --out OUT")
        for profile in PROFILES
    },
    "survey": survey,
    "widen": widen,
    "plan": partial(command, line="plan --profile premium --config CONFIG"),
    "status": partial(command, line="status --profile premium --config CONFIG"),
}


def configure(folder: Path, sessions: int) -> None:
    """Configure this process and its children for the lake in `folder`, which has `sessions` sessions."""
    document = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    first = event_lake.last_sessions(sessions, load_settings(None, {}))["date"][0]
    document["lake"]["path"] = str(folder / "lake")
    document["history"] |= {"first_session": f"{first}", "last_session": f"{event_lake.LAST}"}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    pass_to_children(config, {})


def make(folder: Path, arguments: argparse.Namespace) -> None:
    """Create the lake in a separate process, so that its memory is not measured."""
    settings, lake = load_settings(), Lake(folder / "lake")
    symbols, sessions = event_lake.names(arguments.symbols), event_lake.last_sessions(arguments.sessions, settings)
    events = event_lake.make_events(arguments.events, symbols, sessions, settings)
    event_lake.make_shards(lake, events, symbols, sessions, settings)
    event_lake.make_bars(lake, symbols, sessions["date"].to_list(), arguments.months)


def measure(name: str) -> Figures:
    """Measure one piece of work in this process."""
    figures: Figures = {}
    settings = load_settings()
    WORKS[name](Lake(lake_path(settings)), settings, figures)
    return figures | {"peak_mb": round(peak_mb())}


def in_a_process(name: str) -> Figures:
    """Measure one piece of work in a separate process."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *sys.argv, "--child", name], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}:\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures | {"wall_s": round(time.perf_counter() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="rows of all shards together")
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=750)
    parser.add_argument("--months", type=int, default=3, help="the last so many months have files of bars")
    parser.add_argument("--folder", type=Path, help="where the lake is made, or lies already")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="only these")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child == "make":
        make(lake_path(load_settings()).parent, arguments)
        return 0
    if arguments.child:
        print(json.dumps(measure(arguments.child)))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        configure(folder, arguments.sessions)
        if not (folder / "lake").is_dir():
            began = time.perf_counter()
            subprocess.run([sys.executable, *sys.argv, "--child", "make"], check=True)
            print(f"lake made in {time.perf_counter() - began:.0f} s", flush=True)
        # an identical manifest is not written again
        for chosen_before in (folder / "lake" / "manifests", folder / "manifests"):
            shutil.rmtree(chosen_before, ignore_errors=True)
        figures: Figures = {"events": arguments.events, "symbols": arguments.symbols}
        for name in arguments.works:
            figures[name] = in_a_process(name)
            print({name: figures[name]}, flush=True)
    print(json.dumps(figures))
    return 0 if _within_bounds(figures) else 1


def _within_bounds(figures: Figures) -> bool:
    master = figures.get("master", {"step_s": 0, "peak_mb": 0})
    manifests = [figures[f"{way}_{profile}"] for way in ("manifest", "command") for profile in PROFILES
                 if f"{way}_{profile}" in figures]  # fmt: skip
    slowest = max((one.get("step_s", one["run_s"]) for one in manifests), default=0)
    largest = max((one["peak_mb"] for one in (master, *manifests)), default=0)
    return master["step_s"] <= MASTER_MAY_TAKE_S and slowest <= MANIFEST_MAY_TAKE_S and largest <= MAY_TAKE_MB


if __name__ == "__main__":
    raise SystemExit(main())
