"""The lake that tests of `verify` damage, and the command over it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.unit.lake.verification.tape.damage import MANIFEST, certify, fill, freeze


@pytest.fixture(scope="session")
def whole(small_market: SimulatedMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with the tape of MANIFEST and its ledger, captured once; tests damage copies of it."""
    lake = Lake(tmp_path_factory.mktemp("whole"))
    freeze(lake, MANIFEST)
    with (
        serve(Exchange(small_market)) as server,
        MarketDataClient(Transport(server.base_url, "a-key-of-tests", bucket=TokenBucket(None))) as client,
    ):
        fill(lake, client)
    certify(lake)
    return lake.root


@pytest.fixture
def lake(whole: Path, tmp_path: Path) -> Lake:
    """The lake to damage."""
    shutil.copytree(whole, tmp_path / "lake")
    return Lake(tmp_path / "lake")


@pytest.fixture
def command(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    return lambda *flags: main(["verify", "--lake", str(lake.root), *flags])
