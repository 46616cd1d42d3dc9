"""What is made of observations, with numbers worked out by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.lake.promises.file_system import FileSystem, file_system_of
from smallcaps_assets.lake.promises.promises import SEEN_RENAME
from smallcaps_assets.lake.promises.rounds import _SEEN_WITHIN_S, judge_delays, judge_times
from smallcaps_assets.lake.promises.turns import Update, judge_updates


def test_updates_that_form_one_chain_survive() -> None:
    # "" <- a <- b <- c, made by one, the other, the other: b is made from one of the other side
    found = judge_updates([[Update("a", "")], [Update("b", "a"), Update("c", "b")]])
    assert found.verdict == "ok"
    assert found.message == "3 changes under the lock survived, 1 of them made from one of the other side"


def test_two_updates_from_one_version_are_a_lost_one() -> None:
    # a <- b and a <- c: whichever was published second replaced the first
    found = judge_updates([[Update("a", ""), Update("b", "a")], [Update("c", "a"), Update("d", "c")]])
    assert found.verdict == "problem"
    assert found.message.startswith("at least 1 of 4 changes under the lock were lost")
    assert found.breaks


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=30))
def test_an_old_version_that_is_read_is_found_whoever_read_it(steps: list[tuple[bool, int]]) -> None:
    """Each step is who updates, and how many versions behind the last one it reads, as far as there are any."""
    versions, of_first, of_second = [""], list[Update](), list[Update]()
    for number, (is_first, behind) in enumerate(steps):
        read = versions[max(0, len(versions) - 1 - behind)]
        (of_first if is_first else of_second).append(Update(f"v{number}", read))
        versions.append(f"v{number}")
    found = judge_updates([of_first, of_second])
    # what is in the last version: it, what it was made from, and so on
    made_from = dict(of_first + of_second)
    survived, version = 0, versions[-1]
    while version:
        survived, version = survived + 1, made_from[version]
    lost = len(steps) - survived
    assert (found.verdict == "problem") == any(behind and number for number, (_, behind) in enumerate(steps))
    assert (lost > 0) == (found.verdict == "problem")
    if lost:
        assert 1 <= int(found.message.split()[2]) <= lost


def test_updates_without_turns_show_nothing() -> None:
    assert judge_updates([[Update("a", ""), Update("b", "a")], []]).verdict == "note"


def test_delays() -> None:
    assert judge_delays(SEEN_RENAME, "a file", [0.0, 0.0]).verdict == "ok"
    late = judge_delays(SEEN_RENAME, "a file", [0.0, 0.9, 0.3])
    assert (late.verdict, late.message) == (
        "problem",
        "a file: seen too late in 2 of 3 rounds, up to 0.9 s after it was made",
    )
    assert "not even 70 s after" in judge_delays(SEEN_RENAME, "a file", [_SEEN_WITHIN_S]).message


@pytest.mark.parametrize(
    ("times", "verdict"),
    [([100.0, 100.0, 100.2], "ok"), ([100.0, 99.6], "ok"), ([100.0, 103.0, 100.5, 103.5], "problem"), ([], "ok")],
)
def test_times_of_two_hosts(times: list[float], verdict: str) -> None:
    # half a second is what clocks kept by NTP never differ by; 103.0 to 100.5 goes back by 2.5 s
    found = judge_times(times)
    assert found.verdict == verdict
    assert ("2.50 s" in found.message) == (verdict == "problem")


def test_remedies_name_the_mount_options_of_the_file_system() -> None:
    assert "actimeo=0" in FileSystem("nfs4", "rw", Path("/")).remedy("caches")
    assert "--attr-cache 0" in FileSystem("fuse.juicefs", "rw", Path("/")).remedy("caches")
    assert "no shared file system" in FileSystem("fuse.s3fs", "rw", Path("/")).remedy("locks")
    assert "without caches" in FileSystem("something", "rw", Path("/")).remedy("caches")
    assert FileSystem("NTFS", "", Path("/")).is_local
    assert not FileSystem("fuse.juicefs", "", Path("/")).is_local


def test_the_file_system_of_a_folder_is_the_nearest_mount(tmp_path: Path) -> None:
    found = file_system_of(tmp_path)
    assert found is None or tmp_path.resolve().is_relative_to(found.mounted_at)
