"""Whether processes are running, identified safely on every system although process ids are used again."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

import psutil

from smallcaps_assets.runtime.machines import is_before_reboot, is_this_machine, machine_mark

# the system clock may be set while a process runs, but a process id is not used again within seconds
CLOCK_SLACK_S: Final = 5.0
POLL_S: Final = 0.1
# the system may need time to end even a killed process, such as to write its files
KILLED_S: Final = 20.0


@lru_cache(maxsize=1)
def process_identity() -> str:
    """What distinguishes this process from every other one: its id, its start time and the mark of its machine."""
    pid = os.getpid()
    return f"{pid}-{_start_time(pid):.0f}-{machine_mark()}"


def process_here(identity: str) -> psutil.Process | None:
    """The process with this `process_identity`; None if it has ended or is of another machine."""
    return (
        psutil.Process(int(identity.partition("-")[0])) if is_alive(identity) and not is_elsewhere(identity) else None
    )


def is_elsewhere(identity: str) -> bool:
    """Whether a `process_identity` is of another machine, where nobody here can see whether it is running."""
    machine = _machine_of(identity)
    return machine is not None and not is_this_machine(machine) and not is_before_reboot(machine)


def is_alive(identity: str) -> bool:
    """Whether the process with this `process_identity` may be running; False for text of another form.

    A process of another machine counts as running: who holds its mark must have a lease by which it ends.
    """
    pid, start, *_ = *identity.split("-"), ""
    if not (pid.isdecimal() and start.isdecimal()):
        return False
    machine = _machine_of(identity)
    if machine is not None and not is_this_machine(machine):
        return not is_before_reboot(machine)
    try:
        return abs(_start_time(int(pid)) - int(start)) < CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _machine_of(identity: str) -> str | None:
    """The mark of the machine; None of an identity that an earlier release made, for which there was one machine."""
    return next(iter(identity.split("-")[2:]), None)


def process_of(pid: int, moment: float) -> psutil.Process | None:
    """The process that had the id `pid` at `moment` (Unix seconds), None if it has ended.

    A process that started later was given the id of one that had ended.
    """
    try:
        process = psutil.Process(pid)
        return process if is_running(process) and process.create_time() < moment + CLOCK_SLACK_S else None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return psutil.Process(pid)


def is_running(process: psutil.Process) -> bool:
    """Whether a process is running; False for one that has ended and whose parent has not read its exit code."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Sequence[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait up to `within_s` seconds until processes, children or not, have ended; returns those still running."""
    end = time.monotonic() + within_s
    while (left := [process for process in processes if is_running(process)]) and time.monotonic() < end:
        time.sleep(POLL_S)
    return left


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill processes and wait until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until_gone(processes, KILLED_S)


def _start_time(pid: int) -> float:
    """When a process started, in seconds.

    On Linux counted from the start of the machine: the time of day at which a process seems to have started moves there
    with every setting of the clock.

    Raises:
        psutil.NoSuchProcess: there is none, or it has ended.
    """
    process = psutil.Process(pid)
    if not is_running(process):
        raise psutil.NoSuchProcess(pid)
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0.0)
