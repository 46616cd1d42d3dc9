"""A wave over thousands of symbols on one and on several machines. The last line is one JSON object.

python benchmarks/cluster.py [--symbols 2000] [--events 300] [--machines 1,2] [--per-run 200]

Symbols, manifest and web UI are those of `scale.py`: the backfill of wave PM over all symbols, trades and quotes, of
core. State of Dagster is in PostgreSQL, ids of runs are in Redis, and each worker executes one run at a time on a
machine of its own (a table of processes with a host name) of this computer. So processors are shared: what more
machines bring where runs wait, for the exchange with its 40 ms and for their own start, can be seen here, and what they
compute cannot. Needs PostgreSQL, Redis and `unshare` of Linux.

`bodies_s` is the time in which any run was inside our asset bodies; Dagster's share is the rest of the wall time.
`without_dagster_s` captures the same windows in one process. `noticed_s` is the time from the end of a machine at once,
as in a power cut, until the state says that its run has failed, of `--kills` machines, one after another.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dagster as dg
import yaml
from capture import LATENCY_S, exchange
from scale import TAPES, Place, backfill, bodies, fill, prepare, reference, serving

from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.defs.runs.run_tags import HOST_TAG
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.postgresql import postgresql_server
from smallcaps_assets_tests.recovery.cluster import Cluster, Machine
from smallcaps_assets_tests.recovery.cluster_test import HoldQuotes, failed_at, launch, status
from smallcaps_assets_tests.redis_server import redis_server
from smallcaps_assets_tests.web_server import RUNS_S, until

OVERRIDE = "deploy/celery/dagster.yaml"


def cluster_of(home: Path, base_url: str, slots: int, per_run: int, variables: dict[str, str]) -> Place:
    """A place of `scale.py` whose runs go to workers."""
    place = prepare(home, base_url, "sqlite", variables)
    file = home / "config" / "config.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["dagster"]["laid_over"] = OVERRIDE
    settings["partitions_per_run"] = per_run
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    override = yaml.safe_load((home / OVERRIDE).read_text(encoding="utf-8"))
    override["concurrency"]["pools"]["default_limit"] = slots
    (home / OVERRIDE).write_text(yaml.safe_dump(override), encoding="utf-8")
    return place


@contextmanager
def machines(place: Place, number: int) -> Iterator[list[Machine]]:
    """Machines that take runs."""
    with ExitStack() as ends:
        made = []
        for name in range(1, number + 1):
            made.append(Machine(f"node-{name}", place.home, os.environ | place.environment))
            ends.callback(made[-1].kill)
        for machine in made:
            machine.wait_until_it_works()
        yield made


def measure(place: Place, symbols: list[str], events: int, number: int) -> dict[str, float | str]:
    """The backfill on so many machines."""
    fill(place, symbols, events)
    with open_state(place.settings) as instance:
        instance.add_dynamic_partitions("symbols", symbols)
    with machines(place, number), serving(place) as ui:
        name, wall = backfill(ui, symbols)
    with open_state(place.settings) as instance:
        runs, inside = bodies(instance, name)
        recorded = [len(instance.get_materialized_partitions(dg.AssetKey(path))) for path in TAPES]
        of = Counter(run.tags[HOST_TAG] for run in instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": name})))
    assert recorded == [len(symbols)] * len(TAPES), recorded  # noqa: S101
    assert len(of) == min(number, runs), of  # noqa: S101
    return {
        "runs": runs,
        "runs_by_machine": ", ".join(f"{host} {times}" for host, times in sorted(of.items())),
        "wall_s": wall,
        "bodies_s": inside,
        "dagster_share": (wall - inside) / wall,
    }


def deaths(number: int) -> Iterator[float]:
    """Seconds until the death of a machine with a run that waits for an answer was noticed, of so many machines."""
    for _ in range(number):
        with tempfile.TemporaryDirectory() as folder, Cluster.running(Path(folder), "first", "second") as cluster:
            cluster.gate.rule = hold = HoldQuotes("CRVO")
            run = launch(cluster, "CRVO")
            until("the run waits", lambda hold=hold: bool(hold.waiting), RUNS_S)  # type: ignore[misc]
            cluster.machines[str(cluster.machine_of(run))].kill()
            killed_at = time.time()
            until("it has failed", lambda: status(cluster, run) == dg.DagsterRunStatus.FAILURE, RUNS_S)  # noqa: B023
            hold.release("CRVO")
            yield failed_at(cluster, run) - killed_at


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=300, help="of wave PM, in all")
    parser.add_argument("--machines", default="1,2", help="empty: no wave, only --kills")
    parser.add_argument("--per-run", type=int, default=200, help="partitions_per_run")
    parser.add_argument("--kills", type=int, default=3, help="machines that die")
    arguments = parser.parse_args()
    twins = SimulatedMarket().symbols()
    symbols = [f"{twins[number % len(twins)]}.{number:05d}" for number in range(arguments.symbols)]
    figures: dict[str, float | str] = {"symbols": len(symbols), "events": arguments.events, "latency_s": LATENCY_S}
    if arguments.kills:
        noticed = sorted(deaths(arguments.kills))
        print(f"deaths noticed after {', '.join(f'{seconds:.1f}' for seconds in noticed)} s", flush=True)
        figures["noticed_s"] = noticed[-1]
    with exchange(latency_s=LATENCY_S) as base_url:
        for _ in range(2 if arguments.machines else 0):  # once for the exchange to learn its answers
            with tempfile.TemporaryDirectory() as folder:
                place = prepare(Path(folder), base_url, "sqlite", {})
                fill(place, symbols, arguments.events)
                figures["without_dagster_s"] = reference(place, symbols, base_url)
        for number in map(int, filter(None, arguments.machines.split(","))):
            with tempfile.TemporaryDirectory() as folder, redis_server() as broker, postgresql_server() as database:
                variables = {**database, "SMALLCAPS_BROKER_URL": broker}
                place = cluster_of(Path(folder), base_url, number, arguments.per_run, variables)
                began = time.monotonic()
                found = measure(place, symbols, arguments.events, number)
            print(f"{number} machines, {time.monotonic() - began:.0f} s with start and end: {found}", flush=True)
            figures |= {f"machines_{number}_{name}": value for name, value in found.items()}
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps(rounded))


if __name__ == "__main__":
    main()
