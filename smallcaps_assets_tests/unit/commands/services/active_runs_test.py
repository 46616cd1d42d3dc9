"""Which runs are not finished, read from Dagster's state without changing it."""

import logging
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from smallcaps_assets.cli import main
from smallcaps_assets.commands.console import plain_text
from smallcaps_assets.commands.inspecting.status import describe_runs
from smallcaps_assets.commands.services.active_runs import active_runs
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.defs.partitions import range_tags, tape_key
from smallcaps_assets.defs.runs.workers import PROCESS_TAG, process_tag
from smallcaps_assets.errors import SettingsError
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.conftest import files_below

ASSETS = {dg.AssetKey(["core", "tape_trades"]), dg.AssetKey(["core", "tape_quotes"])}
WAVE = range_tags(tape_key("AVLO", "PM"), tape_key("ZZZ", "PM"))
GONE = {PROCESS_TAG: "999999999-1.0"}
LINE = "trades windows: 3 of 9 done, 2 of 20 requests in the last minute"


@pytest.fixture
def settings(fresh_home: Path) -> Settings:
    (fresh_home / "dagster.yaml").write_bytes((Path(__file__).parents[4] / "dagster.yaml").read_bytes())
    return load_settings()


def begin(settings: Settings, status: dg.DagsterRunStatus, line: str = "", **run: Any) -> str:
    """Put a run into the state, with a line in its log; returns its id."""
    with open_state_as_is(settings) as instance:
        made = create_run_for_test(instance, status=status, **run)
        if line:
            for level, words in ((logging.INFO, "older"), (logging.INFO, line)):
                entry = dg.EventLogEntry(
                    error_info=None, level=level, user_message=words, run_id=made.run_id, timestamp=1e9, step_key="PM"
                )
                instance.handle_new_event(entry)
        return made.run_id


def test_a_lake_without_a_state_has_no_runs_and_gets_none(settings: Settings) -> None:
    assert active_runs(settings) == []
    assert not state_folder(settings).exists()


def test_a_run_over_partitions_names_its_assets_profile_wave_and_symbols(settings: Settings) -> None:
    run_id = begin(
        settings,
        dg.DagsterRunStatus.STARTED,
        LINE,
        asset_selection=ASSETS,
        tags=WAVE | process_tag(),
        job_name="__ASSET_JOB",
    )
    (run,) = active_runs(settings)
    assert (run.run_id, run.job, run.profile) == (run_id, "core/tape_quotes, core/tape_trades", "core")
    assert (run.wave, run.symbols, run.state, run.is_running) == ("PM", "AVLO to ZZZ", "running", True)
    assert (run.log_line, run.logged_at) == (LINE, datetime.fromtimestamp(1e9, UTC))
    text = plain_text(describe_runs([run], None, run.since + timedelta(minutes=71)))
    assert "runs:   1 running now" in text
    assert f"  {run_id[:8]}  core/tape_quotes, core/tape_trades, wave PM, AVLO to ZZZ\n" in text
    assert f"    running for 1 h 11 min, since {run.since:%Y-%m-%d %H:%M} UTC\n" in text
    assert f"    at 01:46:40: {LINE}" in text


def test_the_longest_names_of_what_runs_fit_80_columns(settings: Settings) -> None:
    assets = [dg.AssetKey(["premium", f"capture_{name}"]) for name in ("ledger", "report")] + [*ASSETS]
    begin(settings, dg.DagsterRunStatus.STARTED, asset_selection=frozenset(assets), tags=GONE, job_name="__ASSET_JOB")
    wide = frozenset(dg.AssetKey(["premium", f"tape_{kind}"]) for kind in ("quotes", "trades"))
    begin(settings, dg.DagsterRunStatus.STARTED, asset_selection=wide, tags=WAVE | GONE, job_name="__ASSET_JOB")
    runs = active_runs(settings)
    lines = plain_text(describe_runs(runs, None, runs[0].since + timedelta(hours=71))).splitlines()
    assert next(line for line in lines if runs[1].run_id[:8] in line).endswith("tape_trades, wave PM, AVLO to ZZZ")
    assert max(map(len, lines)) <= 80


def test_a_job_of_waves_names_its_profile_and_the_wave_of_its_step(settings: Settings) -> None:
    begin(settings, dg.DagsterRunStatus.STARTED, LINE, job_name="plus_waves", tags=process_tag())
    (run,) = active_runs(settings)
    assert (run.job, run.profile, run.wave, run.symbols) == ("plus_waves", "plus", "PM", "")


def test_finished_runs_are_not_shown(settings: Settings) -> None:
    for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        begin(settings, status, tags=process_tag())
    assert active_runs(settings) == []


def test_a_run_whose_process_is_gone_or_that_has_not_started_does_not_run(settings: Settings) -> None:
    begin(settings, dg.DagsterRunStatus.STARTED, job_name="nightly", tags=GONE)
    begin(settings, dg.DagsterRunStatus.NOT_STARTED, job_name="nightly")
    gone, waiting = active_runs(settings)
    assert [run.state for run in (gone, waiting)] == ["its process is gone", "not started"]
    assert not gone.is_running
    assert not waiting.is_running
    text = plain_text(describe_runs([gone, waiting], None, datetime.now(UTC)))
    assert "runs:   0 running now, 1 not started, 1 its process is gone" in text
    assert "the next `smallcaps ui` ends a run whose process is gone" in text


def test_reading_changes_nothing_and_waits_for_no_writer(settings: Settings) -> None:
    begin(settings, dg.DagsterRunStatus.STARTED, LINE, tags=process_tag())
    begin(settings, dg.DagsterRunStatus.NOT_STARTED)
    folder = state_folder(settings)

    def contents() -> dict[str, Any]:
        # SQLite's own files of readers
        return {name: file for name, file in files_below(folder).items() if not name.endswith(("-shm", "-wal"))}

    before = contents()
    assert len(active_runs(settings)) == 2
    assert contents() == before
    writer = sqlite3.connect(folder / "history" / "runs.db")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE runs SET status = 'SUCCESS'")
    # as before the writer's end, and without waiting for it
    assert len(active_runs(settings)) == 2
    writer.rollback()
    writer.close()


def test_a_state_that_cannot_be_read_is_named_and_hides_nothing_else(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(settings, dg.DagsterRunStatus.NOT_STARTED)
    (state_folder(settings) / "history" / "runs.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SettingsError, match="cannot be read"):
        active_runs(settings)
    assert main(["status"]) == 1
    printed = capsys.readouterr().out
    assert "file is not a database" in printed
    assert "profile core: no manifest yet" in printed
