"""Removing what is old from Dagster's state changes nothing that the web UI shows of the present, in both databases."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from smallcaps_assets.defs.resources import SettingsResource
from smallcaps_assets.defs.retention.event_log import EventLog
from smallcaps_assets.defs.retention.job import retention_job
from smallcaps_assets.defs.retention.removal import LOG_TAG, Removed, has_old_runs, remove_old
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.pipeline.operations.notices import remove_old_notices, write_notice
from smallcaps_assets.settings.operations import RetentionParams
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import IN_BOTH, IN_BOTH_LONG
from smallcaps_assets_tests.assets.last_records_test import KEYS, LOWER, UPPER, World

DAYS = RetentionParams(log_days=30, table_days=30)
TABLE = dg.AssetKey("table")


# of the clock that events are stamped with, in whose steps they are stored
APART = timedelta(microseconds=10)


@pytest.fixture
def state(storage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    with dg.DagsterInstance.local_temp(str(tmp_path), storage) as instance:
        yield instance


def moment() -> datetime:
    """Now: later than every event so far and earlier than every one to come, however coarse the clock is."""
    last = datetime.now(UTC)
    while (found := datetime.now(UTC)) < last + APART:
        pass
    while datetime.now(UTC) < found + APART:
        pass
    return found


def remove(state: dg.DagsterInstance, before: datetime, params: RetentionParams = DAYS) -> Removed:
    """Remove what is older than `before`, `log_days` after it."""
    return remove_old(state, before + timedelta(days=30), params, lambda _: None)


def shown(world: World) -> dict[str, Any]:
    """What the web UI shows of the assets, from what Dagster keeps of earlier looks and from the events alone."""
    instance = world.instance
    found: dict[str, Any] = {"stale": world.stale()}
    for asset in (UPPER, LOWER):
        names = asset.to_user_string()
        for looks in ("known", "new"):
            if looks == "new":
                instance.event_log_storage.wipe_asset_cached_status(asset)
            kept = get_and_update_asset_status_cache_value(
                instance, asset, KEYS, loading_context=LoadingContextForTest(instance)
            )
            assert kept is not None
            found[f"{names} {looks}"] = [
                sorted(subset.get_partition_keys())
                for subset in (
                    kept.deserialize_materialized_partition_subsets(KEYS),
                    kept.deserialize_failed_partition_subsets(KEYS),
                    kept.deserialize_in_progress_partition_subsets(KEYS),
                )
            ]
        for key in "AB":
            chosen = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[key])
            (made,) = instance.fetch_materializations(chosen, limit=1).records
            since = dg.AssetRecordsFilter(asset_key=asset, asset_partitions=[key], after_storage_id=made.storage_id)
            found[f"{names} {key}"] = [made, instance.fetch_observations(since, limit=1).records[:1]]
    for asset in (UPPER, LOWER, TABLE):
        (record,) = instance.get_asset_records([asset])
        entry = record.asset_entry
        found[f"last {asset.to_user_string()}"] = (entry.last_materialization_record, entry.last_run_id)
    return found


def runs(world: World) -> list[str]:
    """The jobs of the runs that are there, the oldest first; with `*`, those without their log."""
    found = reversed(world.instance.get_runs())
    return [f"{run.job_name}{'*' * (LOG_TAG in run.tags)}" for run in found]


def records(world: World, asset: dg.AssetKey) -> list[str | None]:
    """The partitions of all materializations of an asset, the oldest first."""
    return [record.partition_key for record in reversed(world.instance.fetch_materializations(asset, limit=99).records)]


@IN_BOTH_LONG
def test_counts_failed_missing_and_stale_partitions_stay_as_they_were(state: dg.DagsterInstance) -> None:
    world = World(state)
    world.run("of_table")  # 1
    world.run()  # 2: A and B of both
    world.change("upper", "A", version="v2")
    world.run()  # 3: A of both
    world.change("lower", "B", problems=("B: no answer",), version=None)
    world.change("lower", "A", version="w2")
    world.run(fails=True)  # 4: A of lower, B of it fails
    world.change("upper", "A", version="v3")
    world.run("only_upper")  # 5: A and B, with the same content of B
    assert not has_old_runs(state, datetime.now(UTC) + timedelta(days=29), DAYS)
    assert remove(state, datetime.now(UTC) - timedelta(days=1)) == Removed()
    middle = moment()
    world.table = "t2"
    world.run("of_table")  # 6
    before = shown(world)
    # lower B is made from content that has not changed since
    assert before["stale"] == {"upper A", "upper B", "lower A"}
    assert before["lower known"] == before["lower new"] == [["A", "B"], ["B"], []]
    assert has_old_runs(state, middle + timedelta(days=30), DAYS)
    first = remove(state, middle)
    assert shown(world) == before
    # B of run 2 says that its content is still the same; the content of A before run 5 is of no use to anyone
    assert records(world, UPPER) == ["B", "A", "B"]
    # run 1 is replaced by run 6, and run 3 by later ones; the log of run 4 says why B failed
    assert (first.runs, runs(world)) == (2, ["nightly*", "nightly", "only_upper*", "of_table"])
    assert remove(state, middle) == Removed()
    # a night makes what is stale and repairs what failed
    world.change("lower", "B", problems=(), version="v1")
    assert world.run() == {"upper A", "upper B", "lower A", "lower B"}
    assert world.stale() == set()
    after = shown(world)
    remove(state, moment())
    assert shown(world) == after
    # of each content, the run that recorded it first and the one that recorded it last
    assert runs(world) == ["nightly*", "nightly*", "only_upper*", "of_table*", "nightly*"]
    assert records(world, UPPER) == ["B", "A", "A", "B"]


@IN_BOTH
def test_the_history_of_tables_is_kept_longer_than_logs_and_unfinished_runs_are_not_touched(
    state: dg.DagsterInstance,
) -> None:
    world = World(state)
    for version in "123":
        world.table = version
        world.run("of_table")
    end = moment()
    running = state.get_runs()[0]
    state.add_run_tags(running.run_id, {"dagster/max_runtime": "1"})
    kept = remove(state, end, RetentionParams(log_days=30, table_days=31))
    assert (kept.runs, kept.logs, len(records(world, TABLE))) == (0, 3, 3)
    log = state.all_logs(running.run_id)
    assert {entry.dagster_event_type for entry in log if entry.dagster_event_type} >= {
        dg.DagsterEventType.RUN_START,
        dg.DagsterEventType.STEP_SUCCESS,
    }
    assert all(entry.is_dagster_event for entry in log)
    assert remove(state, end).runs == 2
    assert len(records(world, TABLE)) == 1


def test_files_of_removed_runs_are_removed_and_nothing_is_done_to_a_log_of_another_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as state:
        world, log = World(state), state.event_log_storage
        assert isinstance(log, SqliteEventLogStorage)
        for version in "12":
            world.table = version
            world.run("of_table")
        state.report_runless_asset_event(dg.AssetMaterialization("elsewhere"))
        folder = Path(log.path_for_shard("x")).parent
        left = folder / "left-by-a-killed-process.db"
        left.touch()
        os.utime(left, (0, 0))
        before = {file.name for file in folder.glob("*.db")}
        with monkeypatch.context() as other:
            other.setattr(SqliteEventLogStorage, "alembic_version", lambda _: ("new", "new"))
            with pytest.raises(SettingsError, match="has the schema new, the installed Dagster new, and only"):
                remove(state, moment())
        assert {file.name for file in folder.glob("*.db")} == before
        assert remove(state, moment()).runs == 1
        (run,) = state.get_runs()
        assert {file.stem for file in folder.glob("*.db")} == {"index", ".db", run.run_id}
        assert EventLog(state).first_since(datetime.now(UTC)) > 0
        assert records(world, dg.AssetKey("elsewhere")) == [None]


def test_the_job_removes_whole_runs_that_recorded_nothing_and_later_those_whose_history_of_tables_is_over(
    tmp_path: Path,
) -> None:
    def retention(days: int) -> dict[str, Any]:
        """Run the job in so many days; returns what it says."""
        settings = load_settings(overrides={"notices": {"file": str(tmp_path / "notices.jsonl")}})
        at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        resources = {"settings": SettingsResource(document=settings.model_dump_json(), at=at)}
        job = dg.Definitions(jobs=[retention_job()], resources=resources).resolve_job_def("retention")
        result = job.execute_in_process(instance=world.instance)
        (said,) = (event.event_specific_data for event in result.all_events if event.event_type_value == "STEP_OUTPUT")
        return {name: value.value for name, value in said.metadata.items() if value.value}  # type: ignore[union-attr]

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        world = World(instance)
        for version in "12":
            world.table = version
            world.run("of_table")
        assert retention(0) == {}
        assert runs(world) == ["of_table", "of_table", "retention"]
        # the figures of a table are drawn over 400 days, so its runs stay, without their logs
        found = retention(31)
        assert (found["runs removed"], found["logs removed of runs that stay"]) == (1, 2)
        assert runs(world) == ["of_table*", "of_table*", "retention"]
        assert retention(401)["runs removed"] == 2
        assert runs(world) == ["of_table*", "retention"]


def test_old_notices_are_removed_and_lines_without_a_time_stay(tmp_path: Path) -> None:
    file, now = tmp_path / "failures.jsonl", datetime(2026, 11, 29, tzinfo=UTC)
    for days in (401, 400, 0):
        write_notice(file, {"time": (now - timedelta(days=days)).isoformat(), "cause": f"{days}"}, tmp_path / "lake")
    with file.open("a", encoding="utf-8") as opened:
        opened.write("cut")
    assert remove_old_notices(file, now, None) == 0
    assert remove_old_notices(file, now, 400) == 1
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["cause"] for line in lines[:2]] == ["400", "0"]
    assert lines[2:] == ["cut"]
    assert remove_old_notices(tmp_path / "none", now, 1) == 0
