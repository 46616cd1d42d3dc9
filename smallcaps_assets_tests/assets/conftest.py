"""States of Dagster in both kinds of storage; a lake up to the manifest of core, made once for a module's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from smallcaps_assets.settings.settings import BATCH_SIZE, BATCH_VARIABLE
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.assets.platform_test import SYMBOLS_OF_MARKET, Platform, opened, state_in
from smallcaps_assets_tests.conftest import Gate
from smallcaps_assets_tests.postgresql import storage_in_postgresql
from smallcaps_assets_tests.repository import REPOSITORY

# decorators: the second is for what takes PostgreSQL half a minute
IN_BOTH = pytest.mark.parametrize("storage", ["sqlite", "postgresql"], indirect=True)
IN_BOTH_LONG = pytest.mark.parametrize(
    "storage", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
HISTORY = {"first_session": "2025-11-26", "last_session": "2025-11-28"}
ALL = {"first": SYMBOLS_OF_MARKET[0], "last": SYMBOLS_OF_MARKET[-1]}


@pytest.fixture
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The sections of dagster.yaml that say where the state is: none for files, else an empty database.

    Tests of what is kept and asked for there are `IN_BOTH`; others use files.
    """
    if getattr(request, "param", "sqlite") == "sqlite":
        return {}
    for name, value in request.getfixturevalue("database").empty().items():
        monkeypatch.setenv(name, value)
    return storage_in_postgresql()


@pytest.fixture
def instance(storage: dict[str, Any], tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's state as dagster.yaml of the repository configures it, with a shorter timeout."""
    document = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
    document["run_monitoring"]["cancel_timeout_seconds"] = 1
    document["storage"]["sqlite"]["base_dir"] = str(tmp_path)
    document["local_artifact_storage"]["config"]["base_dir"] = str(tmp_path)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(document | storage), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Iterator[Platform]:
    """Two sessions up to the manifest of core, with the settings that `smallcaps ui` uses."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BATCH_VARIABLE, BATCH_SIZE)
        for platform in opened(folder, small_market, folder / "state"):
            platform.overrides |= {"history": HISTORY}
            make(platform)
            yield platform


def make(platform: Platform) -> None:
    """Materialize everything up to the manifest of core."""
    platform.run("universe")
    platform.run("minute_bars", **ALL)
    platform.run("event_shards", **ALL)
    platform.run("master_events", ["core", "manifest"])


@pytest.fixture
def made(made_once: Platform, storage: dict[str, Any], tmp_path: Path) -> Iterator[Platform]:
    """A copy of `made_once`, with Dagster's state in a folder, as sensors need it; in a database it is made again."""
    for name in ("lake", "state"):
        shutil.copytree(made_once.root.with_name(name), tmp_path / name)
    gate, overrides = made_once.gate, made_once.overrides | {"lake": {"path": str(tmp_path / "lake")}}
    gate.requests.clear()
    kept = dg.DagsterInstance.local_temp(str(tmp_path), storage) if storage else state_in(tmp_path / "state")
    with kept as instance:
        platform = Platform(gate, tmp_path / "lake", instance, overrides)
        if storage:
            make(platform)
            gate.requests.clear()
        yield platform
    gate.rule = Gate(gate.exchange).rule
