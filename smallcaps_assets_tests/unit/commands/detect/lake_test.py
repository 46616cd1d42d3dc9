"""`smallcaps detect` on the bars of a lake, which it never writes."""

import json
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.events.master import build_master
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.universe import UniverseStore
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.commands.detect.lively_home import DAYS, LIVELY, SYMBOLS, RunDetect, master_with


@pytest.fixture
def lake(home: Path) -> Lake:
    """The configured lake with bars, shards, MASTER and a universe with one float too small for any event."""
    lake = new_lake(home / "lake")
    store = BarsStore(lake)
    for (symbol,), rows in LIVELY.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in DAYS}):
            sessions = [day for day in DAYS if day.replace(day=1) == month]
            store.add(str(symbol), month, sessions, rows.filter(DAY.is_in(sessions)), QUARANTINED_BARS.to_frame())
    known = {"symbol": SYMBOLS, "float_shares": [1e6, 1e9, None]}
    universe = pl.DataFrame(known).match_to_schema(UNIVERSE, missing_columns="insert")
    UniverseStore(lake).replace(universe, {})
    reference = UniverseStore(lake).reference()
    shards, settings = ShardStore(lake), default_settings()
    outcomes = Detector(store, shards, settings.detection, settings.sessions, reference).run(SYMBOLS)
    assert not [problem for outcome in outcomes for problem in outcome.problems]
    publish_frame(lake.master, build_master(shards.scan().collect(), settings.cooldown), below=lake.root)
    return lake


def test_the_lake_is_read_but_not_written(lake: Lake, run_detect: RunDetect) -> None:
    before = files_below(lake.root)
    assert len(before) > 8
    same = json.loads(run_detect("--compare", lake.master, "--json"))
    assert same["events"]["same"] == same["events"]["before"] == same["events"]["after"] > 100
    assert same["events"]["rescored"] == 0
    assert same["before_not_compared"] == 0
    flags = ("--config", "low.yaml", "--compare", lake.master, "--out", "e.parquet", "--gained", "g.parquet")
    part = json.loads(run_detect("--lake", lake.root, *flags, "--sample", 2, "--first", DAYS[21], "--json"))
    assert part["events"]["gained"] == pl.read_parquet("g.parquet").height > 0
    assert part["before_not_compared"] > 0
    assert pl.read_parquet("e.parquet")["date"].min() >= f"{DAYS[21]}"
    assert files_below(lake.root) == before


def test_reference_data_of_the_lake_are_used(lake: Lake, run_detect: RunDetect) -> None:
    run_detect("--out", "e.parquet")
    found = pl.read_parquet("e.parquet")
    assert SYMBOLS[0] not in found["symbol"]
    assert_frame_equal(found, master_with(reference=UniverseStore(lake).reference()))


@pytest.mark.parametrize("flag", ["--out", "--gained", "--lost"])
def test_output_into_the_lake_is_rejected(flag: str, lake: Lake, error_of: RunDetect) -> None:
    before = files_below(lake.root)
    for place in ([], ["--lake", "other"], ["--bars", "bars.parquet"]):
        words = error_of(flag, lake.root / "events" / "mine.parquet", "--compare", lake.master, *place)
        assert "lies in the lake" in words
    assert files_below(lake.root) == before


def test_a_lake_without_bars_is_an_error(error_of: RunDetect) -> None:
    assert "no bars in this lake" in error_of("--lake", "nowhere", "--out", "e.parquet")
    assert not Path("nowhere").exists()
