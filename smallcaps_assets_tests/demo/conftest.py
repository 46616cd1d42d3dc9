"""A small demo in a separate home, run once for all tests that only read it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import polars as pl
import pytest
from filelock import FileLock

from smallcaps_assets.lake.files.content_hash import DOCUMENT_KEY
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.repository import REPOSITORY

# the last 12 sessions hold the half day after Thanksgiving
# columns and figures that depend on the time of the run or on ids
TIMELY = ["manifest_id"]
TIMELY += [f"{kind}_{name}" for kind in ("trades", "quotes") for name in ("fetched_at", "request_ids", "sha256")]
SPEED = ["windows_per_hour", "hours_left"]
_DATED = re.compile(rb"(core|plus|premium)_[0-9]{8}_[0-9]{6}|\"(sample_id|[a-z]+_sha256)\": ?\"[0-9a-f]+\"")
FLAGS = ("--symbols", "6", "--sessions", "12")


class Home:
    """A folder like a fresh clone: configuration, no lake, no state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A new home with the shipped configuration."""
        shutil.copytree(REPOSITORY / "config", folder / "config")
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(REPOSITORY / name, folder / name)
        return cls(folder)

    @property
    def output(self) -> str:
        """The output of the fixture `demo`."""
        return (self.folder.parent / "finished").read_text(encoding="utf-8")

    @property
    def lake(self) -> Lake:
        return Lake(self.folder / "lake")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `smallcaps` in this home, in a new process."""
        return subprocess.Popen(
            [sys.executable, "-m", "smallcaps_assets.cli", *arguments],
            cwd=self.folder,
            env=os.environ | {"SMALLCAPS_HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Run `smallcaps`, which must succeed; returns its output."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        return output

    def bytes_of_lake(self) -> dict[str, bytes]:
        """Every file of the lake except locks and caches."""
        return {name: content for name, (_, content) in files_below(self.lake.root).items()}

    def tables_of_lake(self) -> dict[str, object]:
        """Every file of the lake, without times and ids of the run."""
        return self.tables(self.bytes_of_lake())

    @staticmethod
    def tables(files: Mapping[str, bytes]) -> dict[str, object]:
        """Tables as rows; manifests by profile, since their ids contain the time of freezing."""
        found: dict[str, object] = {}
        for name, content in files.items():
            folder, _, file = name.rpartition("/")
            if file.endswith(".parquet"):
                place = f"{folder}/manifest.parquet" if folder.startswith("manifests") else name
                rows = pl.read_parquet(content).drop(TIMELY, strict=False).to_dicts()
                found[place] = [row for row in rows if row.get("figure") not in SPEED]
            elif folder.startswith("review"):
                # the ids of the manifest and of its sample contain the time as well
                found[f"{folder}{Path(file).suffix}"] = _DATED.sub(b"", content)
            elif folder.startswith("quarantine"):
                found[name] = json.loads(content)
            # each lake has an id of its own
            elif file not in {"current.json", "lake.json"}:
                sidecar = json.loads(content)
                del sidecar["manifest_id"], sidecar[DOCUMENT_KEY]
                found[f"{folder}/manifest.json"] = sidecar
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Home]:
    """A finished demo that tests may read but not change; all workers share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "demo"
    with FileLock(f"{folder}.lock"):
        finished = folder / "finished"
        if not finished.exists():
            folder.mkdir()
            finished.write_text(Home.make(folder / "home").run("demo", *FLAGS), encoding="utf-8")
    home = Home(folder / "home")
    before = home.bytes_of_lake()
    yield home
    assert home.bytes_of_lake() == before, "a test changed the lake that others read"


@pytest.fixture
def copy_of_demo(demo: Home, tmp_path: Path) -> Home:
    """A finished demo that a test may change."""
    shutil.copytree(demo.folder, tmp_path / "home")
    return Home(tmp_path / "home")
