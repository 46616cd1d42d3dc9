"""A demo that is killed several times ends like an undisturbed one."""

import random
import time
from itertools import islice
from pathlib import Path

import dagster as dg
import psutil
import pytest

from smallcaps_assets_tests.demo.conftest import FLAGS, Home

KILLS = 5
# of the 16 stages of a demo, without the last ones, so that no kill comes too late
STAGES = 13
LONGEST_WAIT_S = 0.6


def test_five_kills_leave_the_lake_of_an_undisturbed_demo(demo: Home, tmp_path: Path) -> None:
    home = Home.make(tmp_path / "home")
    chance = random.Random(11)  # noqa: S311
    for _ in range(KILLS):
        process = home.start("demo", *FLAGS)
        assert process.stdout
        stages = (line for line in process.stdout if line.startswith("-- "))
        assert next(islice(stages, chance.randrange(STAGES), None))
        time.sleep(chance.uniform(0, LONGEST_WAIT_S))
        assert process.poll() is None, "the demo was to be killed, not to end"
        assert not psutil.Process(process.pid).children(), "what a killed process started would outlive it"
        process.kill()
        process.communicate(timeout=30)
    home.run("demo", *FLAGS)
    assert home.tables_of_lake() == demo.tables_of_lake()
    assert not list(home.lake.root.rglob("*.part"))
    assert len(list((home.lake.root / "manifests" / "core").glob("*.parquet"))) == 1


def test_runs_of_a_killed_demo_are_not_shown_as_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.make(tmp_path / "home")
    process = home.start("demo", *FLAGS)
    assert process.stdout
    next(line for line in process.stdout if "minute_bars" in line)
    process.kill()
    process.communicate(timeout=30)
    monkeypatch.setenv("DAGSTER_HOME", str(home.folder / ".dagster"))
    with dg.DagsterInstance.get() as instance:
        started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        assert len(started) == 1
    home.run("demo", *FLAGS)
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(started[0].run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.FAILURE
        assert not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
