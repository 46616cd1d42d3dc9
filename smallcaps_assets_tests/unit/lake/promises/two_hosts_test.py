"""The tests between two hosts, on one folder, where they pass, and on two that see each other's changes late."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.promises import readers, rounds, turns
from smallcaps_assets.lake.promises.file_system import FileSystem
from smallcaps_assets.lake.promises.meeting import MEETINGS, meet
from smallcaps_assets.lake.promises.promises import PromiseResult
from smallcaps_assets.lake.promises.two_hosts import check_two_hosts
from smallcaps_assets_tests.unit.lake.promises.mirror import mirrored

NAMES = ["lock", "updates", "seen", "new files", "removed files", "listings", "attributes", "clock", "whole files"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few repetitions as show the same."""
    monkeypatch.setattr(turns, "_TURNS", 6)
    monkeypatch.setattr(turns, "_TRIES", 2)
    monkeypatch.setattr(turns, "_PAUSE_S", (0.05, 0.06))
    monkeypatch.setattr(rounds, "_ROUNDS", 2)
    monkeypatch.setattr(readers, "_LASTS_S", 0.2)


def take_part(folder: Path, within_s: float = 20.0) -> tuple[str, list[PromiseResult]]:
    """One participant; returns the code of the meeting and what it found."""
    with meet(folder, "of this test", within_s) as meeting:
        return meeting.code, [*check_two_hosts(meeting, FileSystem("nfs4", "rw", Path("/mnt")))]


def both(one: Path, other: Path) -> Sequence[tuple[str, list[PromiseResult]]]:
    with ThreadPoolExecutor(2) as pool:
        return [*pool.map(take_part, (one, other))]


def test_both_find_that_one_folder_keeps_everything(tmp_path: Path) -> None:
    (code, found), other = both(tmp_path, tmp_path)
    assert (code, [(result.name, result.verdict) for result in found]) == (
        other[0],
        [(result.name, result.verdict) for result in other[1]],
    )
    assert [(result.name, result.verdict) for result in found] == [(name, "ok") for name in NAMES]
    # each publishes twice, and the other one looks: four rounds
    assert found[2].message == "a renamed file: seen at once in 4 of 4 rounds"
    assert found[1].message.startswith("12 changes under the lock survived")
    # the file system of other people's lake is left as it was
    assert [*tmp_path.iterdir()] == []


def test_a_folder_that_shows_changes_late_is_named_with_what_breaks_and_the_remedy(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with mirrored(one, other, late="rounds", looks=10):
        (_, found), _ = both(one, other)
    results = {result.name: result for result in found}
    assert results["lock"].verdict == "problem"
    assert "lets a second process in while one holds it (2 of 2 tries)" in results["lock"].message
    assert "local_lock" in results["lock"].remedy
    assert results["updates"].verdict == "note"
    for name in NAMES[2:7]:
        assert results[name].verdict == "problem"
        assert "seen too late in" in results[name].message
        assert results[name].breaks
        assert "lookupcache=none,actimeo=0" in results[name].remedy


def test_who_meets_nobody_is_asked_whether_it_is_the_same_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no other process came within 0\.2 s. Is it the same folder"):
        take_part(tmp_path, 0.2)
    assert [*tmp_path.iterdir()] == []


def test_of_three_two_meet_and_one_is_left(tmp_path: Path) -> None:
    def join(number: int) -> str | None:
        try:
            with meet(tmp_path, "three", 2.0) as meeting:
                return meeting.exchange({"number": number}) and meeting.code
        except InputError:
            return None

    with ThreadPoolExecutor(3) as pool:
        codes = [*pool.map(join, range(3))]
    assert codes.count(None) == 1
    assert len(set(codes)) == 2


def test_a_killed_participant_is_not_met_and_its_file_is_removed_after_an_hour(tmp_path: Path) -> None:
    place = tmp_path / MEETINGS
    place.mkdir()
    for name, age in (("old", 7_200), ("new", 0)):
        file = place / f"{name}.json"
        file.write_text('{"token": "of this test", "sign": 7, "partner": "", "host": "gone", "machine": "m"}')
        os.utime(file, (file.stat().st_atime - age, file.stat().st_mtime - age))
    with pytest.raises(InputError):
        take_part(tmp_path, 0.2)
    assert [path.name for path in place.iterdir()] == ["new.json"]
