"""A demo that is killed several times ends like an undisturbed one."""

import random
import time
from itertools import islice
from pathlib import Path

import dagster as dg
import psutil
import pytest

from smallcaps_assets_tests.demo.conftest import FLAGS, Home

# stages of a demo, counted from 0: minute bars, MASTER and the manifests, tape; each kill comes after the last
KILLED_IN = (2, 5, 8)
LONGEST_WAIT_S = 0.6


@pytest.mark.long
def test_kills_leave_the_lake_of_an_undisturbed_demo_and_no_run_that_seems_to_run(
    demo: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.make(tmp_path / "home")
    monkeypatch.setenv("DAGSTER_HOME", str(home.folder / ".dagster"))
    chance = random.Random(11)  # noqa: S311
    killed = set()
    for stage in KILLED_IN:
        process = home.start("demo", *FLAGS)
        assert process.stdout
        stages = (line for line in process.stdout if line.startswith("-- "))
        assert next(islice(stages, stage, None))
        assert next(process.stdout), "the first line of its run"
        time.sleep(chance.uniform(0, LONGEST_WAIT_S))
        assert process.poll() is None, "the demo was to be killed, not to end"
        assert not psutil.Process(process.pid).children(), "what a killed process started would outlive it"
        process.kill()
        process.communicate(timeout=30)
        killed |= runs_under_way()
    assert killed, "no kill hit a run"
    home.run("demo", *FLAGS)
    assert home.tables_of_lake() == demo.tables_of_lake()
    assert not list(home.lake.root.rglob("*.part"))
    assert len(list((home.lake.root / "manifests" / "core").glob("*.parquet"))) == 1
    assert not runs_under_way()
    with dg.DagsterInstance.get() as instance:
        ended = [instance.get_run_by_id(run) for run in killed]
    assert {run and run.status for run in ended} == {dg.DagsterRunStatus.FAILURE}


def runs_under_way() -> set[str]:
    with dg.DagsterInstance.get() as instance:
        return {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))}
