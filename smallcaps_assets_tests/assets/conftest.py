"""States of Dagster in both kinds of storage; lakes up to a manifest, made once for a worker's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from smallcaps_assets.settings.settings import BATCH_SIZE, BATCH_VARIABLE
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites, Template
from smallcaps_assets_tests.postgresql import storage_in_postgresql
from smallcaps_assets_tests.repository import REPOSITORY

# decorators: the second is for what takes PostgreSQL half a minute
IN_BOTH = pytest.mark.parametrize("storage", ["sqlite", "postgresql"], indirect=True)
IN_BOTH_LONG = pytest.mark.parametrize(
    "storage", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
HISTORY = {"first_session": "2025-11-26", "last_session": "2025-11-28"}
PROFILE = "premium"
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


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Iterator[Sites]:
    """Places of lakes, and vendors, for all platforms of a worker."""
    with Sites(tmp_path_factory.mktemp("sites"), small_market) as made:
        yield made


@pytest.fixture
def fresh(sites: Sites) -> Iterator[Platform]:
    """An empty lake."""
    yield from sites.opened()


@pytest.fixture(scope="session")
def of_core(sites: Sites, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Two sessions up to the manifest of core, with the settings that `smallcaps ui` uses."""

    def made(platform: Platform) -> None:
        platform.overrides |= {"history": HISTORY}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(BATCH_VARIABLE, BATCH_SIZE)
            make(platform)

    with sites.template(tmp_path_factory.mktemp("core"), made) as template:
        yield template


@pytest.fixture(scope="session")
def of_premium(sites: Sites, of_core: Template, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The same, and the manifest of premium."""
    folder, template = tmp_path_factory.mktemp("premium"), None
    for platform in sites.copied(of_core, folder / "state"):
        platform.run([PROFILE, "manifest"])
        template = Template.of(platform, folder)
    assert template
    return template


def make(platform: Platform) -> None:
    """Materialize everything up to the manifest of core."""
    platform.run("universe")
    platform.run("minute_bars", **ALL)
    platform.run("event_shards", **ALL)
    platform.run("master_events", ["core", "manifest"])


@pytest.fixture
def made(
    sites: Sites, of_core: Template, storage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """Two sessions up to the manifest of core, with Dagster's state in a folder, as sensors need it.

    In a database everything is made again.
    """
    monkeypatch.setenv(BATCH_VARIABLE, BATCH_SIZE)
    for platform in sites.copied(of_core, tmp_path / "state", storage):
        if storage:
            make(platform)
            platform.gate.requests.clear()
        yield platform


@pytest.fixture
def planned(sites: Sites, of_premium: Template) -> Iterator[Platform]:
    """A manifest of premium with events in every wave, and no tape yet; a state in memory, which knows the symbols."""
    yield from sites.copied(of_premium)


@pytest.fixture
def planned_in_folder(sites: Sites, of_premium: Template, tmp_path: Path) -> Iterator[Platform]:
    """The same with Dagster's state in a folder, as sensors and other threads need it, with what is recorded there."""
    yield from sites.copied(of_premium, tmp_path / "state")
