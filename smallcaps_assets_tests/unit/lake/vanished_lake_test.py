"""A lake that vanishes while it is in use, such as with its disk, is never created anew in its old place."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.defs.failures import ForeseenFailure
from smallcaps_assets.defs.io_managers import LakeTableIOManager
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.review.labels import LabelFile
from smallcaps_assets.domain.tables import SHARD
from smallcaps_assets.domain.universe import UNIVERSE
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.months import FileState, MonthCoverage
from smallcaps_assets.lake.bar_files.quarantine import BarQuarantine
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.shard_coverage import ShardCoverage
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.locks import exclusive_lock, symbol_lock
from smallcaps_assets.lake.files.publish import make_folders, publish_changed, publish_text
from smallcaps_assets.lake.imports import record_import
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.review import SAMPLED_EVENTS, ReviewStore, Sheet
from smallcaps_assets.lake.universe import STORED_DETAILS, UniverseStore
from smallcaps_assets_tests.conftest import event, manifest_of
from smallcaps_assets_tests.scenarios import bars_from, flat

MONDAY, NOVEMBER = date(2025, 11, 3), date(2025, 11, 1)
BAR = bars_from("2025-11-03 10:00", flat(1, 10.0))
REJECTED = BAR.with_columns(reason=pl.lit("bad")).match_to_schema(QUARANTINED_BARS)
COVERAGE = ShardCoverage({"flush": "f"}, [0.6], {"2025-11": MonthCoverage(FileState(1, 2), "2025-11-03 1-a")}, 0)
SHEET = Sheet("core_1", "sample", SAMPLED_EVENTS.to_frame())
LABELS = LabelFile(
    format="smallcaps review marks",
    version=1,
    profile="core",
    manifest_id="core_20251106_000000",
    sample_id="0123456789abcdef",
    exported_at=datetime(2025, 11, 6, tzinfo=UTC),
    marks={},
)


def freeze(lake: Lake) -> None:
    selection = Selection(manifest_of(event()), [], {})
    now = datetime(2025, 11, 6, tzinfo=UTC)
    ManifestStore.in_lake(lake, "core").freeze(selection, config_hash="a", master_sha256="b", now=now)


def lock_symbol(lake: Lake) -> None:
    with symbol_lock(lake, "ABCD"):
        pass


def write_table(lake: Lake) -> None:
    @dg.asset(name="coverage", io_manager_key="lake_tables")
    def table() -> pl.DataFrame:
        return BAR

    dg.materialize([table], resources={"lake_tables": LakeTableIOManager(base_dir=str(lake.root))})


@pytest.mark.parametrize(
    "publish",
    [
        pytest.param(lambda lake: BarsStore(lake).add("ABCD", NOVEMBER, [MONDAY], BAR, REJECTED[:0]), id="bars"),
        pytest.param(lambda lake: BarsStore(lake).merge("ABCD", NOVEMBER, BAR), id="imported bars"),
        pytest.param(lambda lake: BarsStore(lake).quarantine(None, REJECTED), id="rows without a symbol"),
        pytest.param(lambda lake: BarQuarantine(lake).add("ABCD", NOVEMBER, REJECTED), id="quarantine"),
        pytest.param(lambda lake: BarQuarantine(lake).replace("ABCD", NOVEMBER, [MONDAY], REJECTED), id="replaced"),
        pytest.param(lambda lake: ShardStore(lake).replace("ABCD", SHARD.to_frame(), COVERAGE), id="shard"),
        pytest.param(
            lambda lake: ShardStore(lake).differences.merge(lake.shard_coverage("ABCD"), {}), id="coverage table"
        ),
        pytest.param(lambda lake: UniverseStore(lake).replace(UNIVERSE.to_frame(), {}), id="universe"),
        pytest.param(lambda lake: UniverseStore(lake).add_details(STORED_DETAILS.to_frame(), "x"), id="details"),
        pytest.param(freeze, id="manifest"),
        pytest.param(lambda lake: ReviewStore(lake, "core").publish(SHEET, "<html>"), id="review page"),
        pytest.param(lambda lake: ReviewStore(lake, "core").add(LABELS), id="labels"),
        pytest.param(lambda lake: record_import(lake, "bars"), id="kinds of imports"),
        pytest.param(lambda lake: publish_changed(lake.ledger("core"), BAR, below=lake.root), id="ledger"),
        pytest.param(write_table, id="table of an asset"),
        pytest.param(lock_symbol, id="lock"),
    ],
)
def test_nothing_is_published_where_the_lake_is_gone(lake: Lake, publish: Callable[[Lake], object]) -> None:
    lake.root.rmdir()
    # a step of Dagster reports the same sentence as its failure
    with pytest.raises(
        (LakeError, ForeseenFailure), match=r"lake: the folder is gone\. If its disk was removed, mount it"
    ):
        publish(lake)
    assert not lake.root.exists()


def test_a_missing_folder_is_created_only_below_one_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="the folder is gone"):
        publish_text(tmp_path / "new" / "a.json", "{}")
    with pytest.raises(LakeError, match="the folder is gone"), exclusive_lock(tmp_path / "new" / "a.lock"):
        pass
    with pytest.raises(LakeError, match="the folder is gone"):
        make_folders(tmp_path / "new", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    publish_text(tmp_path / "new" / "er" / "a.json", "{}", below=tmp_path)
    assert (tmp_path / "new" / "er" / "a.json").read_text(encoding="utf-8") == "{}"


def test_a_run_creates_the_lake_when_it_begins_and_a_sensor_does_not(tmp_path: Path) -> None:
    root = tmp_path / "new" / "lake"

    @dg.asset
    def looks(lake: LakeResource) -> None:
        assert lake.lake.root.is_dir()

    with dg.build_resources({"lake": LakeResource(root=str(root))}):
        assert not root.exists()
    assert dg.materialize([looks], resources={"lake": LakeResource(root=str(root))}).success
