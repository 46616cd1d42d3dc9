"""Dagster's state in PostgreSQL: one daemon, one lake, runs and slots of other machines."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from smallcaps_assets.commands.backups.where import restore_target, source_of_state
from smallcaps_assets.commands.services import daemon_lock
from smallcaps_assets.commands.services.daemon_lock import only_daemon_of_database
from smallcaps_assets.commands.services.state import open_state, open_state_as_is
from smallcaps_assets.defs.runs.workers import MACHINE_TAG
from smallcaps_assets.errors import InputError, ServiceEnded, SettingsError
from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.pipeline.backup.restore import restore
from smallcaps_assets.pipeline.backup.settings_files import settings_files
from smallcaps_assets.pipeline.backup.snapshot import Sources, take_snapshot
from smallcaps_assets.settings.operations import BackupParams
from smallcaps_assets.settings.settings import Settings, lake_path, load_settings, settings_version
from smallcaps_assets_tests.backups import write_files
from smallcaps_assets_tests.postgresql import postgresql_server
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.unit.runtime.machines_test import other_machine

pytestmark = pytest.mark.slow

SESSIONS = "FROM pg_stat_activity WHERE application_name LIKE 'smallcaps ui on %'"


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    """The variables by which a database is reached."""
    with postgresql_server() as variables:
        yield variables


@pytest.fixture
def settings(server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a lake whose state is in the database, in a folder like a fresh clone."""
    for folder in ("config", "deploy"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    shutil.copy(REPOSITORY / "dagster.yaml", tmp_path)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    for name, value in {**server, "SMALLCAPS_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return load_settings(overrides={"dagster": {"laid_over": "deploy/postgresql/dagster.yaml"}})


@pytest.fixture
def instances(settings: Settings) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterInstance]]:
    """The state, as two machines open it."""
    with open_state_as_is(settings) as one, open_state_as_is(settings) as other:
        yield one, other


def end_sessions(instance: dg.DagsterInstance) -> int:
    """Cut the connections of daemons, as a restarted server does; returns how many there were."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return len(connection.execute(text(f"SELECT pg_terminate_backend(pid) {SESSIONS}")).all())


def test_one_daemon_uses_a_state(instances: tuple[dg.DagsterInstance, dg.DagsterInstance]) -> None:
    one, other = instances
    with only_daemon_of_database(one):
        with pytest.raises(InputError) as caught, only_daemon_of_database(other):
            pass
        assert "a daemon (smallcaps ui on " in str(caught.value)
        assert "smallcaps ui --read-only" in str(caught.value)
    with only_daemon_of_database(other) as look:
        look()


def test_a_lost_connection_is_made_again_unless_another_daemon_took_over(
    instances: tuple[dg.DagsterInstance, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_lock, "LOOK_EVERY_S", 0.0)
    one, other = instances
    with only_daemon_of_database(one) as look:
        assert end_sessions(other) == 1
        look()
        with pytest.raises(InputError), only_daemon_of_database(other):
            pass
        assert end_sessions(other) == 1
        with only_daemon_of_database(other), pytest.raises(ServiceEnded, match=r"\(smallcaps ui on .*has taken over"):
            look()


def test_opening_the_state_from_a_third_machine_fails_no_run(settings: Settings) -> None:
    with ExitStack() as stack:
        instance = stack.enter_context(open_state(settings))
        run = instance.create_run_for_job(
            dg.job(name="any")(lambda: None),
            status=dg.DagsterRunStatus.STARTED,
            tags={MACHINE_TAG: other_machine()},
        )
        stack.enter_context(open_state(settings))
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status == dg.DagsterRunStatus.STARTED


def test_a_state_is_dumped_and_restored_into_an_empty_database(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, backup = lake_path(settings), tmp_path.with_name(f"{tmp_path.name} backup")
    write_files(lake, {"notes.txt": b"1"})
    with open_state_as_is(settings) as instance:
        run = instance.create_run_for_job(dg.job(name="any")(lambda: None))
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            connection.execute(text("CREATE DATABASE other"))
    with source_of_state(settings, wanted=True) as state:
        sources = Sources(Lake(lake), state, settings_files(settings), settings_version(settings))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))
            with pytest.raises(SettingsError, match="pg_dump is not installed"):
                take_snapshot(sources, backup, BackupParams(keep_free_gb=0.0))
        assert Backup(backup).names() == []
        result = take_snapshot(sources, backup, BackupParams(keep_free_gb=0.0))
    assert result.facts["state"] == "postgresql"
    stored = b"".join(path.read_bytes() for path in backup.rglob("*") if path.is_file())
    assert (b"PGPASSWORD" in stored, b"of no use here" in stored) == (True, False)
    shutil.rmtree(lake)
    with (
        restore_target(settings, lake, with_state=True) as target,
        pytest.raises(InputError, match=r"is not empty \(its table runs has rows\)"),
    ):
        restore(backup, target)
    assert not lake.exists()
    monkeypatch.setenv("PGDATABASE", "other")
    with restore_target(settings, lake, with_state=True) as target:
        restore(backup, target)
    assert (lake / "notes.txt").read_bytes() == b"1"
    with open_state_as_is(settings) as instance:
        assert instance.get_run_by_id(run.run_id) is not None
