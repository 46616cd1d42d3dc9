"""The job and the schedule `backup`."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.lake.backup.snapshots import Backup
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.platform import state_in
from smallcaps_assets_tests.backups import bring_back, content_below, write_files
from smallcaps_assets_tests.scenarios import new_york

FILES = {"notes.txt": b"1"}


def definitions_of(lake: Path, **backup: Any) -> dg.Definitions:
    return build_defs(load_settings(overrides={"lake": {"path": str(lake)}, "backup": {"keep_free_gb": 0.0} | backup}))


def test_the_job_takes_a_snapshot_of_lake_and_state(tmp_path: Path) -> None:
    write_files(tmp_path / "lake", FILES)
    (tmp_path / "state").mkdir()
    job = definitions_of(tmp_path / "lake", destination=str(tmp_path / "backup")).resolve_job_def("backup")
    with state_in(tmp_path / "state") as instance:
        result = job.execute_in_process(instance=instance)
    assert result.success
    (snapshot,) = Backup(tmp_path / "backup").snapshots()
    assert snapshot.facts["state"] == "sqlite"
    assert "settings/config/config.yaml" in snapshot.facts["settings_files"]
    bring_back(snapshot.folder, tmp_path / "restored", tmp_path / "restored state")
    assert content_below(tmp_path / "restored") == FILES
    with state_in(tmp_path / "restored state") as instance:
        # the run that took the snapshot, as it was then
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
        assert [run.tags["dagster/max_retries"] for run in instance.get_runs()] == ["0"]


@pytest.mark.parametrize("destination", ["backup", None])
def test_the_schedule_is_off_by_default_and_asks_for_one_snapshot_a_day(
    destination: str | None, tmp_path: Path
) -> None:
    definitions = definitions_of(tmp_path / "lake", destination=destination and str(tmp_path / destination))
    schedule = definitions.get_repository_def().get_schedule_def("backup")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 2 * * *", "America/New_York")
    resources = {"settings": definitions.resources["settings"]}  # type: ignore[index]
    (tmp_path / "state").mkdir()
    with (
        state_in(tmp_path / "state") as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=new_york("2025-12-02 02:30"), resources=resources
        ) as context,
    ):
        found = schedule(context)
    if destination is None:
        assert isinstance(found, dg.SkipReason)
        assert "backup.destination is null" in (found.skip_message or "")
    else:
        assert isinstance(found, dg.RunRequest)
        assert found.run_key == "2025-12-02 02:30"


def test_without_a_destination_the_job_says_what_to_set(tmp_path: Path) -> None:
    job = definitions_of(tmp_path / "lake").resolve_job_def("backup")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    assert "backup.destination is null: set it to a folder" in str(failure.step_failure_data.error)
