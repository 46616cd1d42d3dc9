"""A disk under Dagster's state that takes nothing is named once, and once more when it does again."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smallcaps_assets.commands.services.disk_watch import DiskWatch

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
    (line,) = look()
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
