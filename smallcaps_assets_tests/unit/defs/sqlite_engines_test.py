"""SQLite engines of Dagster's state that are used again: what they save, and that nothing else changes."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy import create_engine

from smallcaps_assets.defs.runs import sqlite_engines
from smallcaps_assets.defs.runs.sqlite_engines import reuse_engines

ASSET = dg.AssetKey("asset")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of all engines that are made of Dagster's SQLite files, first without reuse."""
    addresses = list[str]()

    def counted(address: str, **options: Any) -> Any:
        addresses.append(address)
        return create_engine(address, **options)

    for module in (sqlite_event_log, sqlite_run_storage):
        monkeypatch.setattr(module, "create_engine", counted)
    return addresses


def record(folder: Path, events: int) -> list[int]:
    """Record events in the state of a folder; returns the numbers that are read back."""
    folder.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for number in range(events):
            instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, metadata={"number": number}))
        found = instance.fetch_materializations(ASSET, limit=100).records
        materializations = (one.asset_materialization for one in found)
        return [one.metadata["number"].value for one in materializations if one]  # type: ignore[misc]


def test_dagster_makes_an_engine_for_every_connection_and_one_per_file_once_they_are_used_again(
    made: list[str], tmp_path: Path
) -> None:
    assert record(tmp_path / "before", 5) == [4, 3, 2, 1, 0]
    assert len(made) > 10
    made.clear()
    reuse_engines()
    reuse_engines()  # a second call changes nothing
    assert record(tmp_path / "after", 5) == [4, 3, 2, 1, 0]
    assert len(made) == len(set(made)) <= 3


def test_a_state_that_is_made_anew_in_the_same_folder_is_a_new_one(made: list[str], tmp_path: Path) -> None:
    reuse_engines()
    record(tmp_path / "state", 3)
    files = len(made)
    shutil.rmtree(tmp_path / "state")
    assert record(tmp_path / "state", 2) == [1, 0]
    assert len(made) == files


def test_threads_share_engines_and_only_the_last_files_are_kept(
    monkeypatch: pytest.MonkeyPatch, made: list[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sqlite_engines, "_KEPT", 2)
    reuse_engines()
    engine = sqlite_event_log.create_engine
    addresses = [f"sqlite:///{(tmp_path / f'{number}.db').as_posix()}" for number in range(3)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(engine, addresses[:1] * 50))
    assert len({id(one) for one in found}) == 1
    assert made == addresses[:1]
    # the third pushes the first out
    for address in addresses:
        engine(address)
    assert engine(addresses[2]) is engine(addresses[2])
    assert engine(addresses[0]) is not found[0]
    # other options, another engine
    assert engine(addresses[0], connect_args={"timeout": 1}) is not engine(addresses[0])
