"""A full disk under Dagster's state is named once, and once more when it has room again."""

import subprocess
from pathlib import Path

import pytest

from smallcaps_assets.commands.services.disk_watch import DiskWatch


def test_a_disk_that_fills_up_and_is_freed_is_named_once_each(tmp_path: Path) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")
    said: list[str] = []
    now = 0.0
    watch = DiskWatch(tmp_path, said.append, clock=lambda: now)

    def look(seconds: float = 10.0) -> list[str]:
        nonlocal now
        now += seconds
        watch.look()
        return said

    try:
        assert look() == []
        (tmp_path / "filler").write_bytes(bytes(4_000_000))
        assert look(seconds=9.9) == []
        (line,) = look()
        assert line.startswith(f"{tmp_path}: Dagster's state cannot be written (the disk is full). The disk has 0.")
        assert look() == [line]
        (tmp_path / "filler").unlink()
        assert "has room again" in look()[1]
        assert len(look()) == 2
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
