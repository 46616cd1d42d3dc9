"""A cluster for tests to break: `smallcaps ui`, PostgreSQL, Redis, and workers on machines of their own.

A machine is a table of processes with a host name. When it is killed, everything on it is gone at once, as in a power
cut. All machines see the same lake, at the same place.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Final, Self

import dagster as dg
import polars as pl
import pytest
import yaml

from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.runs.run_tags import HOST_TAG
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.source import source_identity
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets.simulated.hours import trading_dates
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate, event, manifest_of
from smallcaps_assets_tests.postgresql import postgresql_server
from smallcaps_assets_tests.redis_server import redis_server
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.web_server import STARTS_S, WebUI, until

FOLLOWED: Final = ("AVLO", "BNRX", "CRVO", "DRFT")
FIRST, LAST = date(2025, 11, 26), date(2025, 11, 28)
# of the vendor, and of the settings
PER_MINUTE: Final = 600
SLOTS: Final = 2
REQUIRED: Final = "SMALLCAPS_REQUIRE_REDIS"
KEY: Final = "a-key-of-tests"
# another user's machine is no hindrance, and the death of `unshare` is that of the machine
_MACHINE: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts")
_OVERRIDE: Final = "deploy/celery/dagster.yaml"


class CountingGate(Gate):
    """A gate that also records the status of every answer."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.statuses: list[int] = []

    def reply(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Reply:
        answer = super().reply(path, query, headers)
        self.statuses.append(answer.status)
        return answer


class Machine:
    """`smallcaps worker` on a machine of its own."""

    def __init__(self, name: str, home: Path, environment: Mapping[str, str]) -> None:
        self.name, self.log = name, home / f"{name}.log"
        command = f'hostname "$0" && {sys.executable} -m smallcaps_assets.cli worker --runs 1; exit $?'
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_MACHINE, "sh", "-c", command, name],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_it_works(self) -> None:
        """Wait until the worker takes runs."""

        def works() -> bool:
            assert self._process.poll() is None, self.log.read_text()
            return "Ctrl-C ends it" in self.log.read_text()

        until(f"{self.name} works", works, STARTS_S)

    def kill(self) -> None:
        """End everything on it at once."""
        self._process.kill()
        self._process.wait(30)


class Cluster:
    """A lake with a manifest of `core` and no tape, the web UI with its daemon, and machines that work on it."""

    ui: WebUI
    instance: dg.DagsterInstance
    settings: Settings

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.home, self.lake = folder / "home", Lake(folder / f"lake-{os.getpid()}-{folder.name}")
        # the calendar is read once, here: a library that it uses silences its own warnings, which threads undo
        trading_dates(FIRST, LAST)
        market = SimulatedMarket(seed=7, symbols=len(FOLLOWED), clock=lambda: LATER)
        self.gate = CountingGate(Exchange(market, requests_per_minute=PER_MINUTE))
        self.server = serve(self.gate)  # type: ignore[arg-type]
        self.gate.base_url = self.server.base_url
        self.machines: dict[str, Machine] = {}
        self.variables = {**variables, "SMALLCAPS_HOME": str(self.home), "MASSIVE_API_KEY": KEY}
        _configure(self.home, self.lake, self.server.base_url)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *machines: str) -> Iterator[Self]:
        """A running cluster, whose machines take runs."""
        with ExitStack() as ends, pytest.MonkeyPatch.context() as patch:
            broker = ends.enter_context(redis_server())
            _require_machines()
            database = ends.enter_context(postgresql_server())
            cluster = cls(folder, {**database, "SMALLCAPS_BROKER_URL": broker})
            ends.callback(cluster.server.close)
            for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
                patch.setenv(name, "put back at the end")
                patch.delenv(name)
            for name, value in cluster.variables.items():
                patch.setenv(name, value)
            cluster.settings = load_settings()
            cluster.instance = ends.enter_context(open_state(cluster.settings))
            _fill(cluster.lake, cluster.settings)
            cluster.instance.add_dynamic_partitions(SYMBOLS.name or "", list(FOLLOWED))
            cluster.ui = WebUI(cluster.lake.root, home=cluster.home, environment=cluster.variables)
            ends.callback(cluster.ui.stop)
            for name in machines:
                ends.callback(cluster.start_machine(name).kill)
            cluster.ui.wait_until_it_answers()
            for machine in cluster.machines.values():
                machine.wait_until_it_works()
            yield cluster

    def start_machine(self, name: str) -> Machine:
        """Start a machine, which takes runs a few seconds later."""
        self.machines[name] = machine = Machine(name, self.home, os.environ | self.variables)
        return machine

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def machine_of(self, run_id: str) -> str | None:
        """The name of the machine that a run is on."""
        return self.run(run_id).tags.get(HOST_TAG)

    def texts(self) -> str:
        """Everything that the cluster wrote to terminals and into the folders of its states."""
        files = [*self.home.rglob("*.log"), *self.home.rglob("*.yaml"), *self.home.rglob("*.jsonl"), self.ui.log]
        return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def _configure(home: Path, lake: Lake, base_url: str) -> None:
    for folder in ("config", "deploy"):
        shutil.copytree(REPOSITORY / folder, home / folder)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, home)
    file = home / "config" / "config.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["source"] |= {"kind": "vendor", "base_url": base_url, "requests_per_minute": PER_MINUTE}
    settings["lake"]["path"] = str(lake.root)
    settings["history"] |= {"first_session": FIRST, "last_session": LAST}
    settings |= {"partitions_per_run": 1, "dagster": {"laid_over": _OVERRIDE}}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    override = home / _OVERRIDE
    document = yaml.safe_load(override.read_text(encoding="utf-8"))
    document["concurrency"]["pools"]["default_limit"] = SLOTS
    document["run_monitoring"]["cancel_timeout_seconds"] = 10
    override.write_text(yaml.safe_dump(document), encoding="utf-8")


def _fill(lake: Lake, settings: Settings) -> None:
    """The universe, and a manifest with two windows of regular hours of each symbol."""
    lake.root.mkdir(exist_ok=True)
    named = pl.DataFrame({"symbol": FOLLOWED, "ticker_type": "CS", "market_cap_usd": 1e8})
    rows = named.with_columns(active=pl.lit(value=True)).match_to_schema(UNIVERSE, missing_columns="insert")
    UniverseStore(lake).replace(rows, {"source": source_identity(settings.source)})
    times = [(symbol, f"{day} 1{number}:00") for number, symbol in enumerate(FOLLOWED) for day in (FIRST, LAST)]
    events = [event(at, symbol=symbol, event_id=f"{symbol}_{at}") for symbol, at in times]
    frozen = Selection(manifest_of(*events), [{"step": "max_events", "rows": len(events)}], {})
    store = ManifestStore.in_lake(lake, "core")
    store.freeze(frozen, config_hash="0" * 16, master_sha256="0" * 64, now=LATER)


def _require_machines() -> None:
    """Skip where a test cannot have tables of processes of its own."""
    tried = shutil.which("unshare") and subprocess.run(
        [*_MACHINE, "hostname", "tried"], capture_output=True, check=False
    )
    if not tried or tried.returncode:
        assert REQUIRED not in os.environ, f"no machines on {platform.node()}"
        pytest.skip("needs unshare, to give each worker a machine of its own")
