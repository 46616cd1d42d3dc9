"""A folder like a fresh clone whose lake has a manifest."""

import shutil
from pathlib import Path

import pytest

from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets_tests.conftest import new_lake
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.unit.pipeline.tape.cost_estimate.planned_lake import MANIFEST, NOON, with_bars


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone whose lake has a manifest and bars; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    lake = new_lake(folder / "lake")
    selection = Selection(MANIFEST, [], {})
    ManifestStore.in_lake(lake, "core").freeze(selection, config_hash="a", master_sha256="b", now=NOON)
    with_bars(lake)
    return folder
