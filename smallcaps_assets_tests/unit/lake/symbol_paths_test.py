"""Folders and files of symbols: no two meet where case is ignored, and those of earlier releases are found again."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.domain.symbols import SYMBOL_PATTERN
from smallcaps_assets.domain.tables import EVENTS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.events.master import symbols_to_rebuild
from smallcaps_assets.lake.events.shards import ShardStore
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.symbol_paths import symbol_name, symbol_of
from smallcaps_assets.lake.tape.files import list_tape_files

# of few letters, so that many differ only in case
symbols = st.from_regex("[aAbB7][aAbB.]{0,2}", fullmatch=True) | st.from_regex(SYMBOL_PATTERN[1:-1], fullmatch=True)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BCPC", "symbol=BCPC"),
        ("BCpC", "symbol=BC%70C"),
        ("BRK.B", "symbol=BRK.B"),
        ("CON", "symbol=CON"),
        ("ABC.WSw", "symbol=ABC.WS%77"),
        ("j", "symbol=%6A"),
        ("A.", "symbol=A%2E"),
    ],
)
def test_names(symbol: str, name: str) -> None:
    assert symbol_name(symbol) == name


@given(symbols, st.data())
def test_no_two_symbols_meet_where_case_is_ignored(one: str, data: st.DataObject) -> None:
    other = data.draw(symbols | st.sampled_from([one, one.lower(), one.upper(), one.swapcase()]))
    assert symbol_of(symbol_name(one)) == one
    assert (symbol_name(one).casefold() == symbol_name(other).casefold()) == (one == other)


@given(st.lists(symbols, min_size=2, max_size=6, unique=True), st.data())
def test_none_meets_a_name_of_an_earlier_release(names: list[str], data: st.DataObject) -> None:
    """Of symbols that differ only in case an earlier release wrote one."""
    older = {name.casefold(): name for name in data.draw(st.lists(st.sampled_from(names), unique=True))}
    unusual = {name.upper(): {name} for name in older.values() if symbol_name(name) != f"symbol={name}"}
    found = {name: symbol_name(name, unusual) for name in names}
    for name in names:
        assert symbol_of(found[name]) == name
        if name in unusual.get(name.upper(), ()):
            assert found[name] == f"symbol={name}"
    assert len({name.casefold() for name in found.values()}) == len(names)


def test_a_folder_of_an_earlier_release_stays_in_use(tmp_path: Path) -> None:
    older = ("bars/minute/symbol=BCpC", "tape/core/trades/wave=AH/symbol=BCpC", "quarantine/bars/minute/symbol=BCpC")
    for folder in older:
        (tmp_path / folder).mkdir(parents=True)
    span = tmp_path / older[1] / "20251105T145700_20251105T151200.parquet"
    shard = tmp_path / "events" / "shards" / "symbol=BCpC.parquet"
    shard.parent.mkdir(parents=True)
    for file in (span, shard):
        file.touch()
    lake = Lake(tmp_path)
    assert lake.bars("BCpC") == tmp_path / older[0]
    assert lake.tape_wave("core", "trades", "AH", "BCpC") == tmp_path / older[1]
    assert lake.tape_wave("core", "trades", "PM", "BCpC").name == "symbol=BC%70C"
    assert lake.quarantine_path(lake.bars("BCpC") / "2025-11.parquet").parent == tmp_path / older[2]
    assert lake.quarantine_path(span).parent.name == "symbol=BC%70C"
    for symbol in ("BCpC", "BCPC", "AEMD"):
        folder = lake.tape_wave("core", "trades", "PM", symbol)
        assert lake.tape_failures("core", "trades", "PM", symbol) == lake.quarantine_path(folder)
    assert lake.shard("BCpC") == shard
    assert (BarsStore(lake).symbols(), ShardStore(lake).symbols()) == (["BCpC"], ["BCpC"])
    assert list_tape_files(lake, "core", "trades", ["BCpC"]) == list_tape_files(lake, "core", "trades") == [span]


def test_symbols_to_rebuild_are_those_of_the_names_of_shards(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for symbol in ("BCPC", "BCpC"):
        lake.shards.mkdir(parents=True, exist_ok=True)
        lake.shard(symbol).touch()
    publish_frame(lake.master, EVENTS.to_frame())  # of an earlier release: it records no shards
    os.utime(lake.master, (1, 1))
    assert symbols_to_rebuild(ShardStore(lake)) == ["BCPC", "BCpC"]


def test_beside_a_name_of_an_earlier_release_the_other_symbol_has_a_name_apart(tmp_path: Path) -> None:
    older = tmp_path / "bars" / "minute" / "symbol=BCpC"
    older.mkdir(parents=True)
    apart = Lake(tmp_path).bars("BCPC")
    assert apart.name == "symbol=%42CPC"
    apart.mkdir()
    assert BarsStore(Lake(tmp_path)).symbols() == ["BCPC", "BCpC"]
    older.rmdir()
    assert Lake(tmp_path).bars("BCPC") == apart, "the folder is found again when the other one is gone"
    assert Lake(tmp_path).bars("BCpC").name == "symbol=BC%70C"


def test_a_lake_of_an_earlier_release_may_have_both(tmp_path: Path) -> None:
    """Where case matters, both were written."""
    for name in ("BCPC", "BCpC"):
        (tmp_path / "bars" / "minute" / f"symbol={name}").mkdir(parents=True, exist_ok=True)
    if len(list((tmp_path / "bars" / "minute").iterdir())) == 1:
        pytest.skip("this file system ignores case")
    assert [Lake(tmp_path).bars(name).name for name in ("BCPC", "BCpC")] == ["symbol=BCPC", "symbol=BCpC"]
