"""What each code version of shards, MASTER, manifests and tables of tape computes: other content needs another one."""

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
from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.tape.pinned_conditions import pinned_conditions
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets.pipeline.research.files.from_tape import TapeOfDays, tables_of_tape
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets.simulated.hours import to_ns
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
    ("core/micro_features", "2"): "9e8e776d741098de",
    ("core/bar_reconciliation", "2"): "3891d5ae66a86a56",
    ("core/event_tape_state", "2"): "93d6f68a90ecdd1b",
}
SIGNIFICANT_DIGITS: Final = 9
FIRST, LAST = date(2025, 10, 27), date(2025, 11, 28)
OF_TAPE: Final = ("core/micro_features", "core/bar_reconciliation", "core/event_tape_state")
# the day on which the tape of DRILL shows a halt
DRILLED = date(2025, 11, 14)


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


@pytest.fixture(scope="module")
def tape_tables() -> dict[str, pl.DataFrame]:
    """The tables of tape of one day of the company in which differences, halts and odd books are planted, by asset."""
    settings, market = load_settings(overrides={}), SimulatedMarket(seed=7, symbols=1, clock=lambda: LATER, drill=True)
    sessions = sessions_between(DRILLED, DRILLED, settings.sessions)
    start, end = (to_ns(sessions[bound][0]) for bound in ("premarket_open", "afterhours_close"))
    trades, quotes = (fetch("DRILL", start, end) for fetch in (market.trades, market.quotes))
    planted = market.truth(DRILLED, DRILLED).filter(symbol="DRILL")
    events = planted.with_row_index("event_id").with_columns(
        pl.col("event_id").cast(pl.String),
        window_before_min=pl.lit(20, pl.Int64), window_after_min=pl.lit(20, pl.Int64),
    )  # fmt: skip
    tape = TapeOfDays(
        events=events,
        others=events.clear(),
        bars=clean_bars(market.bars("DRILL", DRILLED, DRILLED)).good,
        bar_halts=HALTS.to_frame(),
        trades=trades.with_columns(symbol=pl.lit("DRILL")),
        quotes=quotes.with_columns(symbol=pl.lit("DRILL")),
        spans=pl.DataFrame({"symbol": ["DRILL"], "day": [DRILLED]}),
    )
    made = tables_of_tape(tape, pinned_conditions(), sessions, settings.research.params)
    by_asset = {
        "micro_features": made.micro,
        "bar_reconciliation": made.reconciliation,
        "event_tape_state": made.states,
    }
    # where a sum of floats cancels out, what is left depends on the machine
    return {f"core/{asset}": rows.with_columns(cs.float().round(12)) for asset, rows in by_asset.items()}


def require_golden(asset: str, version: str | None, rows: pl.DataFrame) -> None:
    """Fail where the content of an asset is not what its code version is known to compute."""
    found, known = content_digest(rows), GOLDEN.get((asset, version))
    assert known is not None, f"add the digest of version {version} of {asset} to GOLDEN: {found}"
    assert found == known, f"the content of {asset} is not that of code version {version}: raise the code version"


@pytest.mark.parametrize("asset", ["event_shards", "master_events", *(f"{profile}/manifest" for profile in PROFILES)])
def test_content_changes_only_with_the_code_version(asset: str, tables: dict[str, pl.DataFrame]) -> None:
    assert tables[asset].height >= 5, "few rows show little"
    require_golden(asset, REGISTRY[asset].version, tables[asset])


@pytest.mark.parametrize("asset", OF_TAPE)
def test_tables_of_tape_change_only_with_the_code_version(asset: str, tape_tables: dict[str, pl.DataFrame]) -> None:
    assert tape_tables[asset].height >= 1
    require_golden(asset, REGISTRY[asset].version, tape_tables[asset])


def test_other_content_or_another_version_fails(tables: dict[str, pl.DataFrame]) -> None:
    master, version = tables["master_events"], REGISTRY["master_events"].version
    changed = master.with_columns(score=pl.col("score") + 1e-6)
    with pytest.raises(AssertionError, match=r"the content of master_events is not .*: raise the code version"):
        require_golden("master_events", version, changed)
    with pytest.raises(AssertionError, match="raise the code version"):
        require_golden("master_events", version, master.reverse())
    with pytest.raises(AssertionError, match="add the digest of version 9 of master_events to GOLDEN"):
        require_golden("master_events", "9", changed)
