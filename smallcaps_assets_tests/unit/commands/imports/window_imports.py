"""Imports of windows by the command, in a folder like a fresh clone."""

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.cli import main
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets_tests.conftest import LATER, event, manifest_of
from smallcaps_assets_tests.repository import REPOSITORY

# two windows of AVLO that form one span, one of CRVO, and one of AVLO before the open
MARKET = manifest_of(
    event("2025-11-26 10:00", event_id="AVLO_a_1", symbol="AVLO"),
    event("2025-11-26 10:05", event_id="AVLO_a_2", symbol="AVLO"),
    event("2025-11-26 11:00", event_id="CRVO_c_1", symbol="CRVO"),
    event("2025-11-26 08:00", event_id="AVLO_p_1", symbol="AVLO", session="PM"),
)
COVERAGE = ["--before", "3", "--after", "7"]


def make_home(folder: Path, environment: pytest.MonkeyPatch) -> Path:
    """Make a folder like a fresh clone and work in it, until `environment` is restored."""
    shutil.copytree(REPOSITORY / "config", folder / "config")
    shutil.copy(REPOSITORY / "dagster.yaml", folder / "dagster.yaml")
    for name in (
        *("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"),
        "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS",
    ):
        environment.setenv(name, "put back at the end")
        environment.delenv(name)
    environment.setenv("SMALLCAPS_HOME", str(folder))
    return folder


def freeze(lake: Lake, manifest: pl.DataFrame, profile: str = "core") -> None:
    store = ManifestStore.in_lake(lake, profile)
    store.freeze(Selection(manifest, [], {}), config_hash="c", master_sha256="m", now=LATER)


def run_import(folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run the command over a folder, which must return `code`; returns the JSON output."""
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["import", "windows", str(folder), "--json", *arguments]) == code
    output: dict[str, Any] = json.loads(printed.getvalue())
    return output


def tape_of(lake: Lake) -> dict[str, pl.DataFrame]:
    return {
        path.relative_to(lake.root).as_posix(): pl.read_parquet(path, hive_partitioning=False)
        for path in sorted((lake.root / "tape").rglob("wave=*/symbol=*/*.parquet"))
    }


def ledger(lake: Lake, profile: str = "core") -> dict[str, dict[str, Any]]:
    return {row["event_id"]: row for row in pl.read_parquet(lake.ledger(profile)).to_dicts()}
