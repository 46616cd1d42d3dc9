"""A demo small enough for tests, in a home of its own, run once for the tests that only look at it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps_assets.lake.layout import Lake

REPOSITORY = Path(__file__).parents[2]
# the last 12 sessions hold the half day after Thanksgiving
FLAGS = ("--symbols", "6", "--sessions", "12")


class Home:
    """A folder like a fresh clone: configuration, no lake, no state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(REPOSITORY / "config", folder / "config")
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(REPOSITORY / name, folder / name)

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "lake")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `smallcaps` in this home, in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "smallcaps_assets.cli", *arguments],
            cwd=self.folder,
            env=os.environ | {"SMALLCAPS_HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run `smallcaps` to its end, which must be a good one; returns what it said."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    def bytes_of_lake(self) -> dict[str, bytes]:
        """Every file of the lake."""
        root = self.lake.root
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A finished demo that tests may read but not change."""
    home = Home(tmp_path_factory.mktemp("demo") / "home")
    home.run("demo", *FLAGS)
    before = home.bytes_of_lake()
    yield home
    assert home.bytes_of_lake() == before, "a test changed the lake that others read"
