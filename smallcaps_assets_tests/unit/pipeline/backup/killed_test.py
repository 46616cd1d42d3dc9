"""A backup or a restore that is killed at any moment leaves older snapshots whole; the next one completes the work."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smallcaps_assets.errors import InputError
from smallcaps_assets.lake.backup.checking import check_backup
from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.settings.operations import BackupParams
from smallcaps_assets_tests.backups import back_up, bring_back, content_below, write_files
from smallcaps_assets_tests.unit.pipeline.backup.publishing_test import IN_MEMORY

BEFORE = {f"events/shards/symbol={name}.jsonl": name.encode() for name in ("AVLO", "BNRX")}
AFTER = {
    **BEFORE,
    "events/shards/symbol=AVLO.jsonl": b"anew",
    "reports/x.json": b"{}",
    "bars/large.bin": b"x" * 2_000_000,
}
STATE = {"history/x.txt": b"1"}
# the second snapshot replaces the first one
ONE = BackupParams(keep_last=1, keep_monthly=0, keep_free_gb=0)
# what changes a disk, or opens a file
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime"}


class Killed(BaseException):
    """What a process that is killed cannot catch; nothing that it does afterwards reaches the disk."""


class Moment:
    """The moment of a kill: before the `left`-th change below a folder. Audit hooks cannot be removed: there is one."""

    folder: str | None = None
    left = 0
    installed = False

    @classmethod
    def look(cls, event: str, arguments: tuple[object, ...]) -> None:
        if cls.folder is not None and event in EVENTS and cls.folder in str(arguments[0]):
            cls.left -= 1
            if cls.left <= 0:
                raise Killed

    @classmethod
    def install(cls) -> None:
        if not cls.installed:
            sys.addaudithook(cls.look)
            cls.installed = True


def back_up_scene(folder: Path) -> None:
    back_up(folder / "lake", folder / "backup", folder / "state", params=ONE)


def bring_back_scene(folder: Path) -> None:
    bring_back(folder / "backup", folder / "restored", folder / "restored state")


def is_killed(work: Callable[[Path], None], folder: Path, at: int) -> bool:
    """Work until the `at`-th change of the folder; returns whether there are so many."""
    Moment.install()
    Moment.folder, Moment.left = str(folder), at
    try:
        work(folder)
    except Killed:
        return True
    finally:
        Moment.folder = None
    return False


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder on a disk in memory where there is one: each file is flushed, many times here."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def scene(place: Path) -> Path:
    """A backup with one snapshot of a lake that has changed since."""
    folder = place / "scene"
    write_files(folder / "lake", BEFORE)
    write_files(folder / "state", STATE)
    back_up_scene(folder)
    write_files(folder / "lake", AFTER)
    return folder


def test_a_killed_backup_leaves_the_older_snapshot_whole_and_the_next_one_cleans_up(scene: Path, place: Path) -> None:
    (first,) = Backup(scene / "backup").names()
    seen = set()
    for at in range(1, 1_000, 3):
        folder = place / f"killed at {at}"
        shutil.copytree(scene, folder)
        if not is_killed(back_up_scene, folder, at):
            break
        found = check_backup(Backup(folder / "backup"))
        assert found.holds, (at, found)
        # the older one, then both, then the new one
        seen.add((len(found.snapshots), first in found.snapshots))
        back_up_scene(folder)
        backup = Backup(folder / "backup")
        assert len(backup.names()) == 1
        assert backup.unfinished() == []
        assert check_backup(backup).holds
        # no content that nothing names; that of the id of the lake comes to those here
        assert len([*backup.objects.listed()]) == len({*AFTER.values(), *STATE.values()}) + 1
        assert not [*(folder / "backup").rglob("*.part")]
        bring_back_scene(folder)
        assert content_below(folder / "restored") == AFTER
        shutil.rmtree(folder)
    assert at > 50
    assert {(1, True), (1, False)} <= seen <= {(1, True), (2, True), (1, False)}


def test_a_killed_restore_leaves_an_empty_lake_until_it_is_complete_and_is_continued(scene: Path, place: Path) -> None:
    back_up_scene(scene)
    seen = set()
    for at in range(1, 1_000, 3):
        folder = place / f"killed at {at}"
        shutil.copytree(scene, folder)
        if not is_killed(bring_back_scene, folder, at):
            break
        seen.add(len(content_below(folder / "restored")) if (folder / "restored").exists() else 0)
        try:
            bring_back_scene(folder)
        except InputError as error:
            # it was complete but for an empty folder
            assert "is not empty" in str(error)  # noqa: PT017
        assert content_below(folder / "restored") == AFTER
        assert content_below(folder / "restored state") == STATE
        shutil.rmtree(folder)
    assert at > 50
    # nothing is in its place before everything is written: then folder after folder
    assert {0, 4} <= seen <= {0, 1, 3, 4}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_backup_that_is_really_killed_is_continued_without_storing_again_what_it_had_stored(scene: Path) -> None:
    # when all is stored, and the snapshot is about to be described
    program = f"""
import os, signal
from pathlib import Path
from smallcaps_assets.pipeline.backup import snapshot
from smallcaps_assets_tests.unit.pipeline.backup.killed_test import back_up_scene
snapshot.publish_inventory = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
back_up_scene(Path({str(scene)!r}))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert len(Backup(scene / "backup").unfinished()) == 1
    result = back_up(scene / "lake", scene / "backup", scene / "state", params=ONE)
    # those of the lake that are others than before, one of them with the same content
    assert (result.resumed, result.facts["new_files"]) == (4, 0)
