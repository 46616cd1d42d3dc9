"""Whether the process that left something behind is still there, on every system."""

import os
from functools import lru_cache
from typing import Final

import psutil

# the system's clock may be set while a process runs, but its id is not used again within seconds
CLOCK_SLACK_S: Final = 5.0


@lru_cache(maxsize=1)
def own_mark() -> str:
    """What tells this process from every other of this machine: its id, and when it began in Unix seconds."""
    process = psutil.Process(os.getpid())
    return f"{process.pid}-{process.create_time():.0f}"


def is_alive(mark: str) -> bool:
    """Whether the process that `own_mark` named so is still running. What is no such mark is of no living process."""
    pid, _, began = mark.partition("-")
    if not (pid.isdecimal() and began.isdecimal()):
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(began)) < CLOCK_SLACK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
