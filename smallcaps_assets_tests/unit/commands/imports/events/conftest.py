"""A home for imports, and the shards of an earlier system."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.unit.commands.imports.events.old_events import DIRTY, ROWS, table


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    return folder


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The dirty table in shards: one has dates as text, one has categorical symbols and an extra column."""
    folder = tmp_path / "old"
    folder.mkdir()
    whole = table(DIRTY)
    assert whole.height == ROWS
    whole[::3].write_parquet(folder / "a.parquet")
    dated = pl.col("date").dt.to_string("%Y-%m-%d")
    whole[1::3].with_columns(dated).write_parquet(folder / "b.parquet")
    whole[2::3].with_columns(pl.col("symbol").cast(pl.Categorical), extra=1).write_parquet(folder / "c.parquet")
    return folder
