"""The state of a lake that was moved, is mounted elsewhere, was copied, or whose place another lake has taken."""

import os
import shutil
from pathlib import Path

import pytest

from smallcaps_assets.commands.inspecting.check import check_state
from smallcaps_assets.commands.services.state import KEPT_S, open_state_as_is, remove_states_of_missing_lakes
from smallcaps_assets.commands.services.state_folder import copies_of_lake, name_of_state, remember_lake, state_folder
from smallcaps_assets.lake.identity import identity_of, is_same_folder
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.unit.commands.services.state_test import home as clone  # noqa: F401 -- a fixture

pytestmark = pytest.mark.usefixtures("clone")


def settings_of(lake: Path) -> Settings:
    return load_settings(overrides={"lake": {"path": str(lake)}})


def opened(lake: Path, symbol: str | None = None) -> list[str]:
    """Do what opening the state of a lake does with its folder; add a symbol to that, and return all that it has."""
    folder = state_folder(settings_of(lake))
    folder.mkdir(parents=True, exist_ok=True)
    remember_lake(folder, lake)
    symbols = folder / "symbols"
    symbols.mkdir(exist_ok=True)
    if symbol:
        (symbols / symbol).touch()
    return sorted(path.name for path in symbols.iterdir())


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A lake with a state that knows AVLO."""
    lake = tmp_path / "disk" / "one"
    lake.mkdir(parents=True)
    opened(lake, "AVLO")
    return lake


def test_dagster_finds_the_runs_of_a_moved_lake(tmp_path: Path) -> None:
    lake = tmp_path / "first"
    lake.mkdir()
    with open_state_as_is(settings_of(lake)) as instance:
        instance.add_dynamic_partitions("symbols", ["AVLO"])
    with open_state_as_is(settings_of(lake.rename(tmp_path / "moved"))) as instance:
        assert [*instance.get_dynamic_partitions("symbols")] == ["AVLO"]


def test_a_moved_lake_keeps_its_state(one: Path) -> None:
    state = state_folder(settings_of(one))
    moved = one.rename(one.parent / "moved")
    assert state_folder(settings_of(moved)) == state
    assert opened(moved) == ["AVLO"]
    # and back, or further
    assert opened(moved.rename(one)) == ["AVLO"]
    assert copies_of_lake(settings_of(one)) == []


def test_the_default_lake_keeps_its_state_when_it_leaves_the_repository(clone: Path, tmp_path: Path) -> None:  # noqa: F811
    lake = clone / "lake"
    lake.mkdir()
    opened(lake, "AVLO")
    assert state_folder(settings_of(lake)) == clone / ".dagster"
    moved = lake.rename(tmp_path / "data")
    assert opened(moved) == ["AVLO"]
    assert state_folder(settings_of(moved)) == clone / ".dagster"
    # a new lake in the old place does not get the runs of the moved one, before and after it has an id
    assert opened(lake, "BNRX") == ["BNRX"]
    lake.mkdir()
    assert opened(lake) == ["BNRX"]
    assert identity_of(Lake(lake)) not in (None, identity_of(Lake(moved)))
    assert opened(lake) == ["BNRX"]
    assert opened(moved) == ["AVLO"]


def test_a_lake_that_is_mounted_elsewhere_as_well_is_one_lake(one: Path) -> None:
    """A folder that the system takes for another one, as two mounts of a file system are."""
    other = one.parent / "other"
    other.symlink_to(one)
    assert is_same_folder(one, other)
    assert opened(other) == ["AVLO"]
    assert copies_of_lake(settings_of(one)) == []


def test_two_mounts_of_one_file_system_are_one_folder(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = one.parent / "other"
    other.symlink_to(one)
    monkeypatch.setattr(Path, "samefile", lambda *_: False)  # what the system says of two mounts
    before = sorted(one.iterdir())
    assert is_same_folder(one, other)
    assert sorted(one.iterdir()) == before
    (one.parent / "third").mkdir()
    assert not is_same_folder(one, one.parent / "third")


def test_a_copy_has_a_state_of_its_own_and_is_named(one: Path) -> None:
    copy = one.parent / "copy"
    shutil.copytree(one, copy)
    assert opened(copy, "CRVO") == ["CRVO"]
    assert opened(one) == ["AVLO"]
    for lake, other in ((one, copy), (copy, one)):
        check = check_state(settings_of(lake))
        assert check.verdict == "note"
        assert f"{lake} has the same id as {other}: one is a copy of the other" in check.message
    # the remedy that it names
    (copy / "lake.json").unlink()
    assert opened(copy) == ["CRVO"]
    assert identity_of(Lake(copy)) not in (None, identity_of(Lake(one)))
    assert check_state(settings_of(copy)).verdict == check_state(settings_of(one)).verdict == "ok"


def test_another_lake_in_the_place_of_one_has_another_state(one: Path, tmp_path: Path) -> None:
    """Two disks, one after the other mounted at the same place."""
    disk, other = one.parent, tmp_path / "other"
    first = disk.rename(tmp_path / "first")
    (disk / "one").mkdir(parents=True)
    (disk / "one" / "lake.json").write_text(f'{{"id": "{"ab" * 16}"}}')
    assert opened(one, "BNRX") == ["BNRX"]
    disk.rename(other)
    first.rename(disk)
    assert opened(one) == ["AVLO"]
    assert opened(other / "one") == ["BNRX"]


def test_a_lake_begun_again_in_its_place_keeps_its_state(one: Path) -> None:
    before = identity_of(Lake(one))
    shutil.rmtree(one)
    assert opened(one) == ["AVLO"]
    one.mkdir()
    assert opened(one) == ["AVLO"]
    assert identity_of(Lake(one)) not in (None, before)
    assert opened(one) == ["AVLO"]


def test_a_state_of_an_earlier_release_is_found_by_its_path_and_learns_the_id(one: Path) -> None:
    state = state_folder(settings_of(one))
    (state / "lake_id.json").unlink()
    assert opened(one) == ["AVLO"]
    assert opened(one.rename(one.parent / "moved")) == ["AVLO"]


def test_a_damaged_memory_of_the_id_counts_for_none(one: Path) -> None:
    state = state_folder(settings_of(one))
    for text in ("", "[]", '{"id": 7, "lake": "x"}'):
        (state / "lake_id.json").write_text(text)
        assert opened(one) == ["AVLO"]


def test_the_state_of_a_lake_that_was_moved_and_then_removed_is_deleted(one: Path) -> None:
    moved = one.rename(one.parent / "moved")
    opened(moved)
    state = state_folder(settings_of(moved))
    assert state.name == name_of_state(one)  # where it was made
    shutil.rmtree(moved)
    later = max(path.stat().st_mtime for path in (state, *state.rglob("*"))) + KEPT_S + 60
    # a cut path names nothing
    (state / "lake.txt").write_text(os.fspath(moved)[:-2])
    assert remove_states_of_missing_lakes(later) == []
    (state / "lake.txt").write_text(os.fspath(moved))
    assert remove_states_of_missing_lakes(later) == [state]
