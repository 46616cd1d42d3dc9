"""What each code version of shards, MASTER and manifests computes: on other content the version must be raised."""

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl
import polars.selectors as cs
import pytest

from smallcaps_assets.defs.registry import REGISTRY
from smallcaps_assets.domain.bars.quality import clean_bars
from smallcaps_assets.domain.events.detection import detect
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.manifests.selection import select_events
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets_tests.conftest import LATER

# Digests of the content by asset and code version. A new version is a new line; a line is never changed.
GOLDEN: Final[Mapping[tuple[str, str | None], str]] = {
    ("event_shards", "1"): "832c0c646020cefb",
    # as version 1 where all bars are minutes, no count means "not known" and no baseline is older than 60 sessions
    ("event_shards", "2"): "832c0c646020cefb",
    ("master_events", "1-1"): "b19e5dc7f2c0e5e0",
    ("master_events", "1-2"): "b19e5dc7f2c0e5e0",
    ("core/manifest", "1"): "199400c6e000a27e",
    ("plus/manifest", "1"): "caf7661b7963e18f",
    ("premium/manifest", "1"): "5532deecb76ba493",
}
SIGNIFICANT_DIGITS: Final = 9
FIRST, LAST = date(2025, 10, 27), date(2025, 11, 28)


def content_digest(rows: pl.DataFrame) -> str:
    """A digest of columns, types and rows in their order. Floats to 9 digits: the last ones depend on the machine."""
    schema = ",".join(f"{name}:{dtype}" for name, dtype in rows.schema.items())
    text = rows.with_columns(cs.float().round_sig_figs(SIGNIFICANT_DIGITS)).write_csv()
    return hashlib.sha256(f"{schema}\n{text}".encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    """The tables of a simulated market of five weeks under the default settings, by asset."""
    settings, market = load_settings(overrides={}), SimulatedMarket(seed=7, symbols=4, clock=lambda: LATER)
    bars = clean_bars(pl.concat(market.bars(symbol, FIRST, LAST) for symbol in market.symbols())).good
    shards = detect(bars, sessions_between(FIRST, LAST, settings.sessions), settings.detection).events
    master = build_master(shards, settings.cooldown)
    manifests = {
        f"{profile}/manifest": select_events(master, settings.profiles[profile], settings.ranking).manifest
        for profile in PROFILES
    }
    shard = shards.filter(pl.col("symbol") == market.symbols()[0])
    return {"event_shards": shard, "master_events": master, **manifests}


def require_golden(asset: str, version: str | None, rows: pl.DataFrame) -> None:
    """Fail where the content of an asset is not what its code version is known to compute."""
    found, known = content_digest(rows), GOLDEN.get((asset, version))
    assert known is not None, f"add the digest of version {version} of {asset} to GOLDEN: {found}"
    assert found == known, f"the content of {asset} is not that of code version {version}: raise the code version"


@pytest.mark.parametrize("asset", ["event_shards", "master_events", *(f"{profile}/manifest" for profile in PROFILES)])
def test_content_changes_only_with_the_code_version(asset: str, tables: dict[str, pl.DataFrame]) -> None:
    assert tables[asset].height >= 5, "few rows show little"
    require_golden(asset, REGISTRY[asset].version, tables[asset])


def test_other_content_or_another_version_fails(tables: dict[str, pl.DataFrame]) -> None:
    master, version = tables["master_events"], REGISTRY["master_events"].version
    changed = master.with_columns(score=pl.col("score") + 1e-6)
    with pytest.raises(AssertionError, match=r"the content of master_events is not .*: raise the code version"):
        require_golden("master_events", version, changed)
    with pytest.raises(AssertionError, match="raise the code version"):
        require_golden("master_events", version, master.reverse())
    with pytest.raises(AssertionError, match="add the digest of version 9 of master_events to GOLDEN"):
        require_golden("master_events", "9", changed)
