"""Whether the process that left something behind is still there, on every system."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

import psutil

# the system's clock may be set while a process runs, but its id is not used again within seconds
CLOCK_SLACK_S: Final = 5.0
POLL_S: Final = 0.1
# the system may take its time to end even a killed process: its files have to be written
KILLED_S: Final = 20.0


@lru_cache(maxsize=1)
def own_mark() -> str:
    """What tells this process from every other of this machine: its id, and when it began."""
    pid = os.getpid()
    return f"{pid}-{_began(pid):.0f}"


def is_alive(mark: str) -> bool:
    """Whether the process that `own_mark` named so is still running. What is no such mark is of no living process."""
    pid, _, began = mark.partition("-")
    if not (pid.isdecimal() and began.isdecimal()):
        return False
    try:
        return abs(_began(int(pid)) - int(began)) < CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def process_of(pid: int, moment: float) -> psutil.Process | None:
    """The process that had the id `pid` at `moment` (Unix seconds), None where it has ended.

    One that began later was given the id of a process that had ended.
    """
    try:
        process = psutil.Process(pid)
        return process if is_running(process) and process.create_time() < moment + CLOCK_SLACK_S else None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return psutil.Process(pid)


def is_running(process: psutil.Process) -> bool:
    """Whether a process is still there; one that has ended and waits for its parent to ask how is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes: Sequence[psutil.Process], within_s: float) -> list[psutil.Process]:
    """Wait until these processes, children or not, have ended; returns those that are still there after that time."""
    end = time.monotonic() + within_s
    while (left := [process for process in processes if is_running(process)]) and time.monotonic() < end:
        time.sleep(POLL_S)
    return left


def kill(processes: Sequence[psutil.Process]) -> None:
    """Kill processes, and wait until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until_gone(processes, KILLED_S)


def _began(pid: int) -> float:
    """When a process began, in seconds; one that has ended and whose parent has not asked for its end is not there.

    On Linux counted from the start of the machine: the time of day at which a process seems to have begun moves there
    with every setting of the clock.

    Raises:
        psutil.NoSuchProcess: there is none, or it has ended.
    """
    process = psutil.Process(pid)
    if not is_running(process):
        raise psutil.NoSuchProcess(pid)
    return process.create_time() - (psutil.boot_time() if sys.platform == "linux" else 0.0)
