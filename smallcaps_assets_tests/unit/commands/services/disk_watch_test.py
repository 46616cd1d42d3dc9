"""A disk under Dagster's state or the lake that takes nothing is named once, and once more when it does again."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smallcaps_assets.commands.services.disk_watch import OF_LAKE, DiskWatch
from smallcaps_assets.errors import DiskFull
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.runtime.disk_space import READ_ONLY, why_unwritable

Mount = Callable[[str], None]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts `tmp_path` as a small file system in memory with its own limits, or changes how it is mounted."""

    def with_options(options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")

    if shutil.which("mount") is None:
        pytest.skip("there is no command mount")
    with_options("size=4m,nr_inodes=20")
    yield with_options
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def test_a_disk_that_takes_nothing_is_named_once_and_once_more_when_it_does(tmp_path: Path, mount: Mount) -> None:
    said: list[str] = []
    now = 0.0
    watch = DiskWatch(tmp_path, said.append, clock=lambda: now)

    def look(seconds: float = 10.0) -> list[str]:
        nonlocal now
        now += seconds
        watch.look()
        return said[-1:]

    def freed() -> bool:
        (line,) = look()
        return (
            line
            == f"{tmp_path}: Dagster's state can be written again; runs that ended meanwhile are found and repeated."
        )

    cannot = f"{tmp_path}: Dagster's state cannot be written"
    assert look() == []
    (tmp_path / "filler").write_bytes(bytes(4_000_000))
    assert look(seconds=9.9) == []
    # as when a service ended
    watch.look(at_once=True)
    (line,) = look(seconds=0)
    assert line.startswith(f"{cannot} (the disk is full). The disk has 0.")
    look()
    assert said == [line]
    (tmp_path / "filler").unlink()
    assert freed()
    names = [tmp_path / f"{number}" for number in range(19)]  # the folder is the 20th
    for name in names:
        name.touch()
    (line,) = look()
    assert line.startswith(f"{cannot} (the disk has no free inodes). The disk has no free inodes: 4.19 MB are free")
    names[0].unlink()
    assert freed()
    mount("remount,ro")
    (line,) = look()
    assert line.startswith(f"{cannot} (the disk is mounted read-only). Its disk is mounted for reading only")
    mount("remount,rw")
    assert freed()
    assert len(said) == 6


def test_a_lake_that_is_mounted_read_only_is_named_as_that_and_what_failed_is_launched_again(
    tmp_path: Path, mount: Mount
) -> None:
    said: list[str] = []
    now = 0.0
    watch = DiskWatch(tmp_path, said.append, OF_LAKE, clock=lambda: now)
    (tmp_path / "folder").mkdir()
    mount("remount,ro")
    for name in ("file", "folder/file"):
        with pytest.raises(DiskFull, match=r"cannot be written \(Read-only file system\). Its disk is mounted"):
            publish_text(tmp_path / name, "text", below=tmp_path)
    watch.look()
    mount("remount,rw")
    publish_text(tmp_path / "file", "text", below=tmp_path)
    now = 10.0
    watch.look()
    first, last = said
    assert first.startswith(
        f"{tmp_path}: the lake cannot be written (the disk is mounted read-only). Its disk is mount"
    )
    assert last == (
        f"{tmp_path}: the lake can be written again; launch what failed once more: only what is missing is requested."
    )


def test_a_disk_to_which_linux_writes_nothing_after_errors_is_named_as_read_only(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("mkfs.ext4", "mount", "truncate"))):
        pytest.skip("there are no commands for file systems")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["truncate", "-s4M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        assert why_unwritable(folder) is None
        # as when the disk reports an error; recent kernels leave the flag of the mount as it is
        subprocess.run(["mount", "-o", "remount,abort", folder], check=False)
        with pytest.raises(OSError, match="Read-only"):
            (folder / "file").touch()
        assert why_unwritable(folder) == READ_ONLY
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
