"""A full disk under Dagster's state is a sentence, and commands work again once it has room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.commands.services.services import _free_port
from smallcaps_assets_tests.small_lake import fresh_clone


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
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")
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
