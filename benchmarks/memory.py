"""The most memory that a process has had, on every system."""

import sys
from pathlib import Path

import psutil


def peak_mb() -> float:
    """Of this process, in MB.

    Not what getrusage says on Linux: it counts what the parent had when it started this process.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return float(peak.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
