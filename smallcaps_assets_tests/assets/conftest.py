"""A lake up to the manifest of core, materialized once for the tests of a module that each change a copy of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps_assets.settings.settings import BATCH_SIZE, BATCH_VARIABLE
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.assets.platform_test import SYMBOLS_OF_MARKET, Platform, opened, state_in
from smallcaps_assets_tests.conftest import Gate

HISTORY = {"first_session": "2025-11-26", "last_session": "2025-11-28"}
ALL = {"first": SYMBOLS_OF_MARKET[0], "last": SYMBOLS_OF_MARKET[-1]}


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory, small_market: SimulatedMarket) -> Iterator[Platform]:
    """Two sessions up to the manifest of core, with the settings that `smallcaps ui` uses."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(BATCH_VARIABLE, BATCH_SIZE)
        for platform in opened(folder, small_market, folder / "state"):
            platform.overrides |= {"history": HISTORY}
            platform.run("universe")
            platform.run("minute_bars", **ALL)
            platform.run("event_shards", **ALL)
            platform.run("master_events", ["core", "manifest"])
            yield platform


@pytest.fixture
def made(made_once: Platform, tmp_path: Path) -> Iterator[Platform]:
    """A copy of `made_once`, with Dagster's state in a folder, as sensors need it."""
    for name in ("lake", "state"):
        shutil.copytree(made_once.root.with_name(name), tmp_path / name)
    gate, overrides = made_once.gate, made_once.overrides | {"lake": {"path": str(tmp_path / "lake")}}
    gate.requests.clear()
    with state_in(tmp_path / "state") as instance:
        yield Platform(gate, tmp_path / "lake", instance, overrides)
    gate.rule = Gate(gate.exchange).rule
