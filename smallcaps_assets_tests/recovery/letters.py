"""A code location for runs that tests kill: the run of its asset waits at the second of three partitions."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.api import execute_run

from smallcaps_assets.defs.recording.events import RECORDED

LETTERS: Final = dg.StaticPartitionsDefinition(["A", "B", "C"])
# names a file: runs wait until it is there
GO_ON: Final = "LETTERS_GO_ON"
# what the process of a run prints when it waits
WAITS: Final = "waits\n"


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.single_run())
def lettered(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    for letter in context.partition_keys:
        if letter == "B" and not Path(os.environ[GO_ON]).exists():
            sys.stdout.write(WAITS)
            sys.stdout.flush()
            sys.stdin.read()
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=letter))
    yield dg.MaterializeResult(metadata=RECORDED)


defs = dg.Definitions([lettered], executor=dg.in_process_executor)


def work(run_id: str) -> None:
    """The process of a run, which a launcher has started."""
    job = defs.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        launched = instance.get_run_by_id(run_id)
        assert launched is not None
        starting = DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, launched.job_name)
        instance.report_dagster_event(starting, run_id)
        data = EngineEventData.in_process(os.getpid())
        instance.report_engine_event(f"Started process for run (pid: {os.getpid()}).", launched, data)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        execute_run(InMemoryJob(job.get_subset(asset_selection=run.asset_selection)), run, instance)
