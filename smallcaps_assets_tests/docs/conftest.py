"""Folders in which the commands of the documents run: one with the demo's lake, one with a user's data."""

import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import ReviewStore
from smallcaps_assets.market_data.calendar import xnys_calendar
from smallcaps_assets.market_data.client import MarketDataClient
from smallcaps_assets.market_data.http.pacing import TokenBucket
from smallcaps_assets.market_data.http.transport import Transport
from smallcaps_assets.pipeline.research.joined import JoinedResearch
from smallcaps_assets.pipeline.research.joined_outcomes import JoinedOutcomes
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets_tests.conftest import LATER
from smallcaps_assets_tests.demo.conftest import FLAGS, Home, demo
from smallcaps_assets_tests.docs.pages import blocks
from smallcaps_assets_tests.docs.shell import Shell

__all__ = ["demo"]

SYMBOLS, SESSIONS = int(FLAGS[1]), int(FLAGS[3])
LAST_SESSION = date(2025, 12, 1)
KEY = "a-key-of-this-test"


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, which may name only some keys of each section."""
    merged = dict(base)
    for name, value in changes.items():
        merged[name] = merge(base[name], value) if isinstance(value, Mapping) else value
    return merged


def change_config(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change the configuration of a home."""
    file = folder / "config" / "config.yaml"
    settings = merge(yaml.safe_load(file.read_text(encoding="utf-8")), changes)
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def yaml_block(page: str, key: str) -> dict[str, Any]:
    """The settings of the block of a page that sets `key`."""
    documents = [yaml.safe_load(block.text) for block in blocks() if (block.page, block.language) == (page, "yaml")]
    (document,) = [document for document in documents if key in document]
    return dict(document)


def make_research_table(lake: Lake) -> None:
    """Make the research tables of profile core, which the documents read, where the demo did not."""
    settings = load_settings(overrides={})
    if not lake.research_table("research_table", "core").is_file():
        JoinedResearch(lake, settings.research.params, settings.filters, settings.sessions).table(
            "core", settings.ranking
        )
    if not lake.research_table("research_labels", "core").is_file():
        outcomes = JoinedOutcomes(lake, settings.research.params, settings.sessions, settings.ranking)
        outcomes.enriched()
        outcomes.costs("core")
        outcomes.labels("core")


@pytest.fixture(scope="session")
def demo_shell(demo: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A copy of the demo's home with settings of its size, and the other files that the documents name."""
    folder = tmp_path_factory.mktemp("docs") / "home"
    shutil.copytree(demo.folder, folder)
    change_config(folder, {"source": {"embedded": {"symbols": SYMBOLS}}, "history": {"first_session": first_session()}})
    lower = yaml_block("docs/experiments.md", "detectors")
    (folder / "lower.yaml").write_text(yaml.safe_dump(lower), encoding="utf-8")
    (folder / "core_20251202_031500_labels.json").write_text(labels(Lake(folder / "lake")), encoding="utf-8")
    make_research_table(Lake(folder / "lake"))
    with Shell(folder) as shell:
        yield shell


@pytest.fixture(scope="session")
def import_shell(demo: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A home with the vendor's settings of the README, but an exchange on this machine, and files of a user."""
    base = tmp_path_factory.mktemp("vendor")
    folder = Home.make(base / "home").folder
    exchange = Exchange(SimulatedMarket(seed=7, symbols=SYMBOLS, clock=lambda: LATER, drill=True))
    with serve(exchange) as server, Shell(folder, {"MASSIVE_API_KEY": KEY}) as shell:
        change_config(folder, yaml_block("README.md", "source"))
        source = {"base_url": server.base_url, "requests_per_minute": None}
        history = {"first_session": first_session(), "last_session": LAST_SESSION}
        change_config(folder, {"source": source, "history": history, "lake": {"path": "lake"}})
        for file in (demo.folder / "lake" / "bars" / "minute").rglob("*.parquet"):
            target = base / "minute" / file.parent.name / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            # as an earlier system stored them: New York times without a zone
            local = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.replace_time_zone(None)
            pl.read_parquet(file, hive_partitioning=False).with_columns(local).write_parquet(target)
        master = pl.read_parquet(demo.folder / "lake" / "events" / "master.parquet")
        naive = pl.col("timestamp").dt.replace_time_zone(None)
        master.with_columns(naive).drop("known_at").write_parquet(folder / "old_master.parquet")
        with MarketDataClient(Transport(server.base_url, KEY, bucket=TokenBucket(None))) as shell.client:
            yield shell


def first_session() -> date:
    """The first session of the demo."""
    day: date = xnys_calendar(date(2025, 1, 1), LAST_SESSION)["date"].tail(SESSIONS)[0]
    return day


def labels(lake: Lake) -> str:
    """The export of core's review sheet with every event labeled good."""
    manifest_id = str(ManifestStore.in_lake(lake, "core").current_id())
    sheet = ReviewStore(lake, "core").sheet(manifest_id)
    label = {"mark": "good", "at": "2025-12-03T09:00:00.000Z"}
    document = {
        "format": "smallcaps review marks",
        "version": 1,
        "profile": "core",
        "manifest_id": manifest_id,
        "sample_id": sheet.sample_id,
        "exported_at": "2025-12-03T10:00:00.000Z",
        "marks": dict.fromkeys(sheet.events["event_id"].to_list(), label),
    }
    return json.dumps(document)


def write_old_tape(shell: Shell) -> None:
    """Trades and quotes around the events of core's manifest that have the short window, as files of a user."""
    manifest = ManifestStore.in_lake(Lake(shell.folder / "lake"), "core").load()
    chosen = manifest.filter(~pl.col("extended"))
    assert chosen.height
    for row in chosen.to_dicts():
        start, end = row["timestamp"] - timedelta(minutes=3), row["timestamp"] + timedelta(minutes=7)
        folder = shell.folder / "old_tape" / f"symbol={row['symbol']}" / f"event={row['event_id']}"
        folder.mkdir(parents=True)
        shell.client.trades(row["symbol"], start, end).frame.write_parquet(folder / "trades.parquet")
        shell.client.quotes(row["symbol"], start, end).frame.write_parquet(folder / "quotes.parquet")
