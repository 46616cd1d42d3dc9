"""The platform on a small universe: a lake, its definitions, Dagster's state, and a gate in front of the vendor."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pytest

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.partitions import SYMBOLS, tape_key
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets_tests.conftest import LATER, Gate, close_client, open_gate, refusal

SYMBOLS_OF_MARKET = ["AVLO", "BNRX", "CRVO", "DRFT"]
TAPES = [dg.AssetKey([profile, f"tape_{kind}"]) for profile in PROFILES for kind in ("trades", "quotes")]
CORE_TAPES = [key for key in TAPES if key.path[0] == "core"]


@lru_cache(maxsize=16)
def _definitions(overrides: str) -> dg.Definitions:
    return build_defs(load_settings(overrides=json.loads(overrides)))


def state_in(folder: Path, storage: Mapping[str, Any] | None = None) -> dg.DagsterInstance:
    """Dagster's state in a folder, which may be a copy; one database for the events of all runs, not one for each.

    With `storage`, sections of dagster.yaml, the state is where they say.
    """
    if storage:
        return dg.DagsterInstance.local_temp(str(folder), {"telemetry": {"enabled": False}, **storage})
    one_file = {
        "module": "dagster._core.storage.event_log",
        "class": "ConsolidatedSqliteEventLogStorage",
        "config": {"base_dir": str(folder)},
    }
    return dg.DagsterInstance.local_temp(str(folder), {"telemetry": {"enabled": False}, "event_log_storage": one_file})


@dataclass
class Platform:
    """A lake, its definitions and Dagster's state, with a gate in front of the vendor."""

    gate: Gate
    root: Path
    instance: dg.DagsterInstance
    overrides: dict[str, Any]
    stages: dict[str, dg.ExecuteInProcessResult] = field(default_factory=dict)
    first_requests: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def definitions(self) -> dg.Definitions:
        """The definitions with the present overrides; built once for equal ones, since building takes half a second."""
        return _definitions(json.dumps(self.overrides))

    def run(
        self,
        *assets: str | Sequence[str],
        first: str | None = None,
        last: str | None = None,
        fails: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets, over the partitions from `first` to `last` if they have any; `config` by step."""
        tags = {}
        if first and last:
            tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey([name] if isinstance(name, str) else list(name)) for name in assets]
        result = job.execute_in_process(
            run_config={"ops": {step: {"config": given} for step, given in (config or {}).items()}},
            instance=self.instance,
            asset_selection=keys,
            tags=tags,
            raise_on_error=False,
        )
        assert result.success != fails
        return result

    def everything(self) -> None:
        """All assets of all symbols; of profile core only."""
        first, last = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
        self.stages["universe"] = self.run("universe")
        self.stages["bars"] = self.run("minute_bars", first=first, last=last)
        self.stages["shards"] = self.run("event_shards", first=first, last=last)
        self.stages["tables"] = self.run("master_events", *([profile, "manifest"] for profile in PROFILES))
        for wave in WAVES:
            keys = tape_key(first, wave), tape_key(last, wave)
            self.stages[wave] = self.run(*(key.path for key in CORE_TAPES), first=keys[0], last=keys[1])
        self.stages["ledger"] = self.run(["core", "capture_ledger"], ["core", "capture_report"])

    def materialized(self, key: dg.AssetKey) -> set[str]:
        return set(self.instance.get_materialized_partitions(key))


class Sites:
    """Places of lakes, each with a vendor, which the platforms of this process use one after another.

    Equal settings name the same place and the same vendor, and definitions of equal settings are built once.
    """

    def __init__(self, folder: Path, market: SimulatedMarket) -> None:
        self._folder, self._market = folder, market
        self._free: list[tuple[Path, Gate]] = []
        self._ends = ExitStack()
        self._made = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._ends.close()

    @contextmanager
    def free(self) -> Iterator[tuple[Path, Gate]]:
        """The place of a lake that is not there yet, and a vendor that was asked for nothing."""
        root, gate = self._free.pop() if self._free else self._another()
        gate.exchange, gate.rule = Exchange(self._market, clock=lambda: LATER), Gate(gate.exchange).rule
        gate.requests.clear()
        try:
            yield root, gate
        finally:
            shutil.rmtree(root.parent)
            root.parent.mkdir()
            self._free.append((root, gate))

    def _another(self) -> tuple[Path, Gate]:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        return folder / "lake", self._ends.enter_context(open_gate(self._market))

    def opened(
        self, state: Path | None = None, storage: Mapping[str, Any] | None = None, gate: Gate | None = None
    ) -> Iterator[Platform]:
        """A platform without a lake, with Dagster's state in a folder, as sensors and schedules need it, or in memory.

        With `storage`, sections of dagster.yaml, only the rest of the state is in the folder. The vendor is that of the
        place unless another is given.
        """
        if state:
            state.mkdir(parents=True)
        kept = state_in(state, storage) if state else dg.DagsterInstance.ephemeral()
        with self.free() as (root, its_own), kept as instance, _platform(gate or its_own, root, instance) as platform:
            yield platform

    @contextmanager
    def template(self, folder: Path, make: Callable[[Platform], object]) -> Iterator["Template"]:
        """What `make` makes of a platform without a lake, kept in a folder; its vendor answers while this is open."""
        with open_gate(self._market) as gate:
            template = None
            for platform in self.opened(folder / "state", gate=gate):
                make(platform)
                template = Template.of(platform, folder)
            assert template
            yield template

    def copied(
        self, template: "Template", state: Path | None = None, storage: Mapping[str, Any] | None = None
    ) -> Iterator[Platform]:
        """A copy of a lake and, in the folder `state`, of its state, which in a database is a new one.

        Without `state`, a new one in memory that knows the symbols: each run takes two thirds of the time.
        """
        with self.free() as (root, _):
            shutil.copytree(template.folder / "lake", root)
            if state and storage:
                state.mkdir()
            elif state:
                shutil.copytree(template.folder / "state", state)
            kept = state_in(state, storage) if state else dg.DagsterInstance.ephemeral()
            with kept as instance, _platform(template.gate, root, instance) as platform:
                if not state:
                    instance.add_dynamic_partitions(SYMBOLS.name or "", SYMBOLS_OF_MARKET)
                platform.overrides |= template.overrides
                template.gate.requests.clear()
                yield platform
            template.gate.rule = Gate(template.gate.exchange).rule


@contextmanager
def _platform(gate: Gate, root: Path, instance: dg.DagsterInstance) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASSIVE_API_KEY", "a-key-of-tests")
        overrides: dict[str, Any] = {
            "lake": {"path": str(root)},
            "source": {"kind": "vendor", "base_url": gate.base_url, "max_retries": 0},
            "history": {"first_session": "2025-11-24", "last_session": "2025-12-01"},
            "fetch_threads": 2,
        }
        yield Platform(gate, root, instance, overrides)
        close_client(load_settings(overrides=overrides).source)


@dataclass(frozen=True)
class Template:
    """A folder with a lake and its state, which tests copy; the vendor that they came from, and their settings."""

    folder: Path
    gate: Gate
    overrides: dict[str, Any]

    @classmethod
    def of(cls, platform: Platform, folder: Path) -> Self:
        """Of a platform whose state is in `folder`: its lake is copied there."""
        shutil.copytree(platform.root, folder / "lake")
        settings = {name: value for name, value in platform.overrides.items() if name not in {"lake", "source"}}
        return cls(folder, platform.gate, settings)


def metadata_of(result: dg.ExecuteInProcessResult, *path: str) -> dict[str | None, Mapping[str, dg.MetadataValue[Any]]]:
    """Metadata of an asset's materializations in a run, by partition."""
    found = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(path)
    ]
    return {materialization.partition: materialization.metadata for materialization in found}


def records_of(shown: dg.MetadataValue[Any]) -> list[dict[str, Any]]:
    """The rows of a metadata table."""
    assert isinstance(shown, dg.TableMetadataValue)
    return [{column.name: row.data[column.name] for column in shown.schema.columns} for row in shown.records]


def rows_of(shown: dg.MetadataValue[Any]) -> list[tuple[Any, ...]]:
    """The rows of a metadata table, as tuples."""
    return [tuple(row.values()) for row in records_of(shown)]


def by_path(platform: Platform, words: str, status: int = 503) -> None:
    platform.gate.rule = lambda path, query: refusal(status, "out of order") if words in path else None  # noqa: ARG005


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    while error.cause:
        error = error.cause
    return f"{error.cls_name}: {error.message}"


def recorded_by(platform: Platform, result: dg.ExecuteInProcessResult, *path: str) -> set[str | None]:
    """The partitions of an asset that a run recorded as materialized."""
    logs = platform.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    made = [log.asset_materialization for log in logs if log.asset_materialization]
    return {one.partition for one in made if one.asset_key == dg.AssetKey(path)}
