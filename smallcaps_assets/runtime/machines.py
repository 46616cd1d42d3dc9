"""Which machine a mark was left on, so that no process of another machine is looked up, or taken for ended, here.

A machine is a table of processes: two containers of one host are two machines, for a process id means another process
in each. Only Linux has such tables and counts start times of processes from its boot; on other systems the host name is
enough, for the time at which a process started outlives a reboot.
"""

import hashlib
import platform
import re
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

# lengths of the three parts of a mark: host, boot, table of processes
_PARTS: Final = (8, 4, 6)
_FORM: Final = re.compile("".join(f"([0-9a-f]{{{length}}})" for length in _PARTS))
_MACHINE_ID: Final = Path("/etc/machine-id")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PROCESS_TABLE: Final = Path("/proc/self/ns/pid")


@lru_cache(maxsize=1)
def machine_mark() -> str:
    """The mark of this machine: 18 hex digits, of its host, its boot and its table of processes."""
    found = (f"{platform.node()} {_text(_MACHINE_ID)}", _text(_BOOT_ID), _process_table())
    return "".join(_digest(part)[:length] for part, length in zip(found, _PARTS, strict=True))


def is_this_machine(mark: str) -> bool:
    """Whether a mark is of this machine since it was started."""
    return mark == machine_mark()


def is_before_reboot(mark: str) -> bool:
    """Whether a mark is of this host before it was started again: every process of then has ended."""
    then, now = _FORM.fullmatch(mark), _FORM.fullmatch(machine_mark())
    return then is not None and now is not None and then[1] == now[1] and then[2] != now[2]


def _text(path: Path) -> str:
    """What a file of the system says; empty on a system without it."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8").strip()
    return ""


def _process_table() -> str:
    """The table in which process ids of this process count; empty where the system has one only."""
    if sys.platform == "linux":
        with suppress(OSError):
            return str(_PROCESS_TABLE.readlink())
    return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
