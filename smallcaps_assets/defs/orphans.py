"""Runs inside a command's own process: if it is killed, nobody else notices, and its runs would seem to go on for ever.

Dagster's run monitoring watches the processes that it launched, not ours. Such a run would keep its place among the
runs that may go on at once, so the next command that works on the same state closes it.
"""

from typing import Final

import dagster as dg

from smallcaps_assets.lake.processes import is_alive, own_mark

PROCESS_TAG: Final = "smallcaps/process"
UNFINISHED: Final = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def process_tag() -> dict[str, str]:
    """The tag that says in which process a run goes on."""
    return {PROCESS_TAG: own_mark()}


def fail_orphans(instance: dg.DagsterInstance) -> int:
    """Mark the runs of processes that are gone as failed and free what they held; returns how many there were."""
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    gone = [run for run in runs if PROCESS_TAG in run.tags and not is_alive(run.tags[PROCESS_TAG])]
    for run in gone:
        instance.report_run_failed(run, message="The process that this run went on in was killed. Run it again.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(gone)
