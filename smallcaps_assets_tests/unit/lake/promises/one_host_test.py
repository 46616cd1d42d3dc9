"""What one host tests, on the disk of the tests, and how it words what a file system refuses."""

import errno
from pathlib import Path

import pytest

from smallcaps_assets.lake.promises import one_host
from smallcaps_assets.lake.promises.file_system import FileSystem
from smallcaps_assets.lake.promises.one_host import check_one_host, describe_refusal
from smallcaps_assets.lake.promises.promises import PromiseResult

NAMES = ["space", "rename", "names", "resolution", "flush", "mapping", "links", "release"]


def results(folder: Path, kind: str = "ext4") -> dict[str, PromiseResult]:
    return {result.name: result for result in check_one_host(folder, FileSystem(kind, "rw", Path("/")))}


def test_the_disk_of_the_tests_keeps_everything(tmp_path: Path) -> None:
    found = results(tmp_path)
    assert [*found] == NAMES
    assert [result for result in found.values() if result.verdict == "problem"] == []
    assert found["release"].verdict == "ok"


def test_what_is_refused_is_a_problem_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without links, without mapping and with times of two seconds, as the system reports them."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("os.link", refuse)
    monkeypatch.setattr(one_host.mmap, "mmap", refuse)
    found = results(tmp_path, "9p")
    assert found["links"].verdict == "note"
    assert found["mapping"].verdict == "problem"
    assert found["mapping"].message == "the file system refuses it: No such device"
    assert found["mapping"].remedy == "Mount it with cache=none."
    assert found["flush"].verdict == "ok"


def test_refusals_are_worded_as_the_system_does() -> None:
    assert describe_refusal(OSError(errno.ENOLCK, "No locks available", "/a/file")) == "No locks available"
    assert describe_refusal(NotImplementedError("no flock here")) == "no flock here"
