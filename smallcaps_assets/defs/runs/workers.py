"""The worker of a run: the process in which it executes.

A run that the daemon launched logs the id of its process, and its tag names the machine on which that id counts; a run
inside a command's own process carries the identity of that process as a tag. Of a run on another machine nothing is
known here, and its process is never looked up.
"""

from functools import lru_cache
from typing import Final

import dagster as dg
import psutil

from smallcaps_assets.runtime.machines import is_before_reboot, is_this_machine, machine_mark
from smallcaps_assets.runtime.processes import (
    is_elsewhere,
    is_running,
    process_here,
    process_identity,
    process_of,
)

# Dagster hides tags that begin so from the web UI
PROCESS_TAG: Final = ".dagster/smallcaps_process"
# as earlier versions named it
_OLD_PROCESS_TAG: Final = "smallcaps/process"
# the machine on which a run was launched
MACHINE_TAG: Final = ".dagster/smallcaps_machine"
# in a container, the process of a run may be the first of its table
_FIRST_PROCESS: Final = 1
# the process id is among the first events of a run
_FIRST_EVENTS: Final = 20


def process_tag() -> dict[str, str]:
    """The tags of a run inside this process: its identity, and that the daemon cannot repeat the run."""
    return {PROCESS_TAG: process_identity(), "dagster/max_retries": "0"}


def machine_tag() -> dict[str, str]:
    """The tag of a run that is launched as a process of this machine."""
    return {MACHINE_TAG: machine_mark()}


def is_of_other_machine(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run is on another machine, where it counts as running: nothing here can tell."""
    if identity := identity_of_worker(run):
        return is_elsewhere(identity)
    machine = run.tags.get(MACHINE_TAG)
    if machine is None:
        # an earlier release launched it, for which there was one machine; or a launcher that starts runs elsewhere
        return not getattr(instance.run_launcher, "launches_here", False)
    return not is_this_machine(machine) and not is_before_reboot(machine)


def worker(instance: dg.DagsterInstance, run: dg.DagsterRun) -> psutil.Process | None:
    """The process in which a run executes; None if it has ended, is not known or is of another machine.

    A process that was given the same id later is not mistaken for it: it started later.
    """
    if identity := identity_of_worker(run):
        return process_here(identity)
    if is_of_other_machine(instance, run) or is_before_reboot(run.tags.get(MACHINE_TAG, "")):
        return None
    logged = _logged_process(instance, run)
    process = _find_process(*logged) if logged else None
    return process if process and is_running(process) else None


def worker_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run is known and has ended; False of a run on another machine."""
    if is_of_other_machine(instance, run):
        return False
    known = identity_of_worker(run) is not None or _logged_process(instance, run) is not None
    return known and worker(instance, run) is None


def identity_of_worker(run: dg.DagsterRun) -> str | None:
    """The identity of the command's process that a run is inside of; None of other runs, also of its re-executions.

    Dagster copies the tags of a run to its re-execution, which it launches in a process of its own.
    """
    return None if run.parent_run_id else run.tags.get(PROCESS_TAG) or run.tags.get(_OLD_PROCESS_TAG)


@lru_cache(maxsize=1024)
def _find_process(pid: int, moment: float) -> psutil.Process | None:
    """The process that logged its id at a moment; cached, so that a later setting of the clock does not hide it."""
    return process_of(pid, moment)


def _logged_process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """The process id in the log of a run, and when it was logged."""
    entries = instance.event_log_storage.get_logs_for_run(
        run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_FIRST_EVENTS
    )
    for entry in entries:
        pid = entry.get_dagster_event().engine_event_data.metadata.get("pid")
        if pid is not None and int(str(pid.value)) != _FIRST_PROCESS:
            return int(str(pid.value)), entry.timestamp
    return None
