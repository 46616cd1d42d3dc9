"""A lake in a folder like a fresh clone, and imports of windows into it."""

from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.lake.layout import Lake
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.unit.commands.imports.window_imports import COVERAGE, make_home, run_import
from smallcaps_assets_tests.unit.commands.imports.windows.handmade import Import


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is restored afterwards."""
    return make_home(tmp_path / "home", monkeypatch)


@pytest.fixture
def lake(home: Path) -> Lake:
    """The lake of the folder."""
    return new_lake(home / "lake")


@pytest.fixture
def import_windows(tmp_path: Path) -> Import:
    """Import the files of `old`, expecting exit code `code`; returns the JSON output."""

    def run(*flags: object, code: int = 0, coverage: list[str] = COVERAGE, profile: str = "core") -> dict[str, Any]:
        return run_import(tmp_path / "old", "--profile", profile, *coverage, *map(str, flags), code=code)

    return run
