"""A home for commands."""

import shutil
from pathlib import Path

import pytest

from smallcaps_assets_tests.repository import REPOSITORY


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the configuration of a fresh clone, as SMALLCAPS_HOME and working directory."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "restored at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
