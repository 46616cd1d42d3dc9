"""A disk under Dagster's state that takes nothing is a sentence, and commands work again once it does."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets_tests.small_lake import fresh_clone


def mount(folder: Path, options: str) -> None:
    """Mount a small file system in memory at a folder, or change how it is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the state of a fresh clone, on a disk of its own with room for a state."""
    home = fresh_clone(tmp_path / "home")
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(home))
    monkeypatch.chdir(home)
    folder = home / ".dagster"
    folder.mkdir()
    mount(folder, "size=2m,nr_inodes=40")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_under_the_state_is_named(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filler = state / "filler"
    filler.write_bytes(bytes(1_900_000))
    assert main(["check", "--offline", "--port", str(_free_port())]) == 1
    printed = capsys.readouterr()
    assert f"{state}: Dagster's state cannot be written (database or disk is full). The disk has 0." in printed.out
    assert "Traceback" not in printed.out + printed.err
    filler.unlink()
    assert main(["check", "--offline", "--port", str(_free_port())]) == 0


def test_status_names_what_is_wrong_with_the_disk_of_the_state_and_shows_the_lake(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (state.parent / "lake").mkdir()
    assert main(["check", "--offline", "--port", str(_free_port())]) == 0
    capsys.readouterr()

    def status() -> str:
        printed = "damaged" if main(["status"]) else ""
        return printed + capsys.readouterr().out

    def cannot(reason: str) -> str:
        return f"state:  {state}: Dagster's state cannot be written ({reason})."

    assert "state:" not in status()
    filler = state / "filler"
    filler.write_bytes(bytes(1_000_000))
    assert cannot("the disk is full") in status()
    filler.unlink()
    more = [state / f"{number}" for number in range(os.statvfs(state).f_favail)]
    for file in more:
        file.touch()
    said = status()
    assert cannot("the disk has no free inodes") in said
    assert said.startswith("damagedlake ")
    for file in more:
        file.unlink()
    mount(state, "remount,ro")
    said = status()
    assert cannot("the disk is mounted read-only") in said
    assert said.startswith("damagedlake ")
    assert main(["check", "--offline", "--port", str(_free_port())]) == 1
    assert "Traceback" not in "".join(capsys.readouterr())
    mount(state, "remount,rw")
    assert "state:" not in status()
