"""From bars to MASTER each file records what it was made from: copies, older copies and swapped files are noticed."""

import os
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import REFERENCE
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.bar_files.month_files import DAY
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import load_master, symbols_to_rebuild
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.content_hash import ProofState, proof_of
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.events.checks import publishable_master
from smallcaps_assets.pipeline.events.detection import Detector
from smallcaps_assets.pipeline.events.staleness import symbols_to_detect
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets_tests.conftest import files_below, new_lake
from smallcaps_assets_tests.scenarios import default_settings, flip_bit, without_hash
from smallcaps_assets_tests.strategies.bars import lively_bars
from smallcaps_assets_tests.strategies.sessions import sessions_between

DAYS = sessions_between(date(2025, 10, 27), date(2025, 11, 7))
BARS_OF_TWO = lively_bars(11, 2, DAYS).filter(DAY.is_in(DAYS))
ONE, TWO = SYMBOLS = BARS_OF_TWO["symbol"].unique().sort().to_list()


def store(lake: Lake, days: Sequence[date]) -> None:
    """Store the bars of these sessions like ingestion."""
    for (symbol,), rows in BARS_OF_TWO.group_by("symbol"):
        for month in sorted({day.replace(day=1) for day in days}):
            sessions = [day for day in days if day.replace(day=1) == month]
            wanted = rows.filter(DAY.is_in(sessions))
            BarsStore(lake).add(str(symbol), month, sessions, wanted, QUARANTINED_BARS.to_frame())


def detector(lake: Lake) -> Detector:
    chosen = default_settings()
    return Detector(BarsStore(lake), ShardStore(lake), chosen.detection, chosen.sessions, REFERENCE.to_frame())


def detect(lake: Lake, *symbols: str) -> dict[str, Outcome]:
    return {outcome.partition[0]: outcome for outcome in detector(lake).run(symbols or SYMBOLS)}


def build(lake: Lake) -> None:
    made = publishable_master(detector(lake), default_settings())
    publish_frame(lake.master, made.rows, made.provenance, below=lake.root)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Bars, shards and MASTER of two symbols; not to be changed."""
    lake = new_lake(tmp_path_factory.mktemp("made") / "lake")
    store(lake, DAYS)
    assert all(outcome.figures["events"] for outcome in detect(lake).values())
    build(lake)
    return lake


@pytest.fixture
def copied(made: Lake, tmp_path: Path) -> Lake:
    """A copy of the lake with the times of its files."""
    return Lake(shutil.copytree(made.root, tmp_path / "lake"))


# ------------------------------------------------------------------------------------------------- copies


def test_a_lake_copied_without_its_times_is_up_to_date(copied: Lake) -> None:
    before = load_master(copied)
    for number, path in enumerate(sorted(copied.root.rglob("*.parquet"), reverse=True)):  # MASTER before the shards
        os.utime(path, (10**9 + number, 10**9 + number))
    assert symbols_to_rebuild(ShardStore(copied)) == []
    assert symbols_to_detect(detector(copied), detector(copied).survey(), SYMBOLS) == []
    assert {outcome.figures["sessions_detected"] for outcome in detect(copied).values()} == {0}
    build(copied)
    assert_frame_equal(load_master(copied), before)


def test_master_built_again_from_equal_shards_is_the_same_file(copied: Lake) -> None:
    before = copied.master.read_bytes()
    build(copied)
    assert copied.master.read_bytes() == before


@pytest.mark.parametrize("what", ["shard", "MASTER"])
def test_an_older_copy_of_one_table_is_noticed(what: str, copied: Lake, tmp_path: Path) -> None:
    """A consistent copy of last week, with the times of last week."""
    old = new_lake(tmp_path / "old")
    store(old, DAYS[:-3])
    detect(old)
    build(old)
    path = copied.shard(ONE) if what == "shard" else copied.master
    before = load_master(copied)
    for symbol in SYMBOLS:  # there were events since
        assert ShardStore(old).version(symbol) != ShardStore(copied).version(symbol)
    shutil.copy2(old.root / path.relative_to(copied.root), path)
    os.utime(path, (10**9, 10**9))
    assert symbols_to_rebuild(ShardStore(copied)) == ([ONE] if what == "shard" else SYMBOLS)
    detect(copied)
    build(copied)
    assert symbols_to_rebuild(ShardStore(copied)) == []
    assert_frame_equal(load_master(copied), before)


def test_an_older_copy_of_a_month_of_bars_lacks_sessions_that_are_fetched_again(copied: Lake, tmp_path: Path) -> None:
    old, name = new_lake(tmp_path / "old"), "2025-11.parquet"
    store(old, DAYS[:-3])
    before = load_master(copied)
    shutil.copy2(old.bars(ONE) / name, copied.bars(ONE) / name)
    assert set(DAYS) - BarsStore(copied).covered(ONE) == set(DAYS[-3:])
    store(copied, DAYS[-3:])
    detect(copied)
    build(copied)
    assert_frame_equal(load_master(copied), before)


# ------------------------------------------------------------------------------------------------- swapped files


def swap(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_months_of_bars_of_two_symbols_that_are_swapped_fail_both(copied: Lake) -> None:
    swap(*(copied.bars(symbol) / "2025-11.parquet" for symbol in SYMBOLS))
    for symbol, other in ((ONE, TWO), (TWO, ONE)):
        (problem,) = detect(copied)[symbol].problems
        assert f"2025-11.parquet: has bars of {other}, not of {symbol}. Move it back" in problem


def test_two_months_of_a_symbol_that_are_swapped_fail_it(copied: Lake) -> None:
    swap(*(copied.bars(ONE) / f"{month}.parquet" for month in ("2025-10", "2025-11")))
    outcomes = detect(copied)
    assert "has sessions of another month" in outcomes[ONE].problems[0]
    assert outcomes[TWO].problems == ()


def test_shards_of_two_symbols_that_are_swapped_are_made_again(copied: Lake) -> None:
    before = load_master(copied)
    swap(*(copied.shard(symbol) for symbol in SYMBOLS))
    with pytest.raises(
        LakeError, match=rf"shards of {ONE}, {TWO} are damaged.*Materialize event_shards of {ONE}, {TWO}"
    ):
        build(copied)
    assert symbols_to_rebuild(ShardStore(copied)) == SYMBOLS
    for outcome in detect(copied).values():
        assert (outcome.problems, outcome.figures["damaged_shard_set_aside"]) == ((), 1)
    build(copied)
    assert_frame_equal(load_master(copied), before)


# ------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("place", [60, -300], ids=["rows", "footer"])
def test_a_damaged_shard_is_set_aside_and_made_again_from_the_bars(place: int, copied: Lake) -> None:
    before = load_master(copied)
    flip_bit(copied.shard(ONE), place)
    with pytest.raises(LakeError, match=rf"symbol={ONE}\.parquet: the shard of {ONE} is damaged.*without a request"):
        build(copied)
    assert symbols_to_detect(detector(copied), detector(copied).survey(), []) == [ONE]
    outcomes = detect(copied)
    assert (outcomes[ONE].figures["damaged_shard_set_aside"], outcomes[ONE].figures["sessions_detected"]) == (
        1,
        len(DAYS),
    )
    assert outcomes[TWO].figures["sessions_detected"] == 0
    assert len(list(copied.quarantine.rglob("*.damaged"))) == 1
    build(copied)
    assert_frame_equal(load_master(copied), before)


def test_nothing_is_detected_from_damaged_bars(copied: Lake) -> None:
    flip_bit(copied.bars(ONE) / "2025-10.parquet")
    assert {outcome.problems for outcome in detect(copied).values()} == {()}, "nothing new, so no bars are read"
    for symbol in SYMBOLS:
        copied.shard(symbol).unlink()
    outcomes = detect(copied)
    assert f"{ONE}/2025-10.parquet: is damaged" in outcomes[ONE].problems[0]
    assert "refetch_damaged: true" in outcomes[ONE].problems[0]
    assert (outcomes[TWO].problems, copied.shard(ONE).exists()) == ((), False)


# ------------------------------------------------------------------------------------------------- earlier releases


def test_shards_of_an_earlier_release_get_their_hash_when_they_are_next_detected(copied: Lake) -> None:
    before = {symbol: (ShardStore(copied).version(symbol), ShardStore(copied).read(symbol)) for symbol in SYMBOLS}
    for symbol in SYMBOLS:
        without_hash(copied.shard(symbol))
    assert {outcome.figures["sessions_detected"] for outcome in detect(copied).values()} == {0}
    assert {proof_of(copied.shard(symbol)).state for symbol in SYMBOLS} == {ProofState.INTACT}
    for symbol, (version, events) in before.items():
        assert ShardStore(copied).version(symbol) == version
        assert_frame_equal(ShardStore(copied).read(symbol), events)
    files = files_below(copied.root)
    detect(copied)
    assert files_below(copied.root) == files
    assert symbols_to_rebuild(ShardStore(copied)) == []


def test_damage_of_a_shard_of_an_earlier_release_is_detected_again(copied: Lake) -> None:
    before = ShardStore(copied).read(ONE)
    path = copied.shard(ONE)
    without_hash(path)
    footer = {name: text for name, text in pl.read_parquet_metadata(path).items() if name == "smallcaps"}
    before.with_columns(score=pl.col("score") / 2).write_parquet(path, metadata=footer)
    assert detect(copied)[ONE].figures["damaged_shard_set_aside"] == 1
    assert_frame_equal(ShardStore(copied).read(ONE), before)
