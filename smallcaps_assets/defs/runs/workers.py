"""The process in which a run goes on.

A run that the daemon launched says its process's id in its log; a run inside a command's own process carries the
mark of that process as a tag.
"""

from functools import lru_cache
from typing import Final

import dagster as dg
import psutil

from smallcaps_assets.runtime.processes import is_alive, is_running, own_mark, process_of

PROCESS_TAG: Final = "smallcaps/process"
# a run may say more before its process does, but not much
FIRST_EVENTS: Final = 20


def process_tag() -> dict[str, str]:
    """The tags of a run inside this process: which one it is, and that the daemon cannot take it up again."""
    return {PROCESS_TAG: own_mark(), "dagster/max_retries": "0"}


def worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> psutil.Process | None:
    """The process in which a run goes on; None where it has ended, or where none is known.

    An id that another process was given since does not deceive: that process began later.
    """
    if mark := run.tags.get(PROCESS_TAG):
        return psutil.Process(int(mark.partition("-")[0])) if is_alive(mark) else None
    told = _told(instance, run)
    process = _told_process(*told) if told else None
    return process if process and is_running(process) else None


def has_lost_its_worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run is known and has ended."""
    known = PROCESS_TAG in run.tags or _told(instance, run) is not None
    return known and worker(instance, run) is None


@lru_cache(maxsize=1024)
def _told_process(pid: int, moment: float) -> psutil.Process | None:
    """The process that told its id at a moment; once seen, it is known whatever becomes of the clock."""
    return process_of(pid, moment)


def _told(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The id of its process that a run told in its log, and when."""
    entries = instance.event_log_storage.get_logs_for_run(
        run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=FIRST_EVENTS
    )
    for entry in entries:
        pid = entry.get_dagster_event().engine_event_data.metadata.get("pid")
        if pid is not None:
            return int(str(pid.value)), entry.timestamp
    return None
