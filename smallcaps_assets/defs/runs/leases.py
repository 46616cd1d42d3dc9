"""Leases: by what a process on another machine, which cannot be looked up here, is known to have ended.

It gives signs of life: a run by the events of its log, a command that holds a vendor slot by a count in Dagster's
state. Whoever looks counts, by their own clock, for how long a sign has not changed. No clocks of two machines are
compared, and whoever has just begun to look knows nothing yet.
"""

import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

import dagster as dg

# a command counts so often while it holds a slot
BEAT_S: Final = 15.0
# no sign of a command for so long: its machine is gone
COMMAND_LEASE_S: Final = 90.0
# no event of a run for so long: a run that works logs its progress twice a minute
RUN_LEASE_S: Final = 1_800.0
# for all commands together, so that a state has few; two that share one seem alive until both have ended
_SIGNS: Final = 64


class Leases:
    """The signs of life that one process has seen, and when each last changed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without any sign; `clock` counts seconds."""
        self._clock = clock
        self._seen: dict[str, tuple[str, float]] = {}

    def is_over(self, holder: str, sign: str, lease_s: float) -> bool:
        """Whether the sign of `holder` has been the same for `lease_s` seconds of looking at it."""
        now = self._clock()
        before, since = self._seen.get(holder, ("", now))
        if before != sign or holder not in self._seen:
            self._seen[holder] = (sign, now)
            return False
        return now - since >= lease_s


@contextmanager
def signs_of_life(instance: dg.DagsterInstance, holder: str, beat_s: float = BEAT_S) -> Iterator[None]:
    """Give signs of life for `holder` in Dagster's state while the block lasts."""
    ended, store, key = Event(), instance.daemon_cursor_storage, _key(holder)

    def count() -> None:
        number = 0
        while not ended.wait(beat_s):
            number += 1
            # a state that cannot be written to now is written to later; what needs it meanwhile says so itself
            with suppress(Exception):
                store.set_cursor_values({key: f"{holder} {number}"})

    thread = Thread(target=count, name="signs of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def sign_of_command(instance: dg.DagsterInstance, holder: str) -> str:
    """The latest sign of a command that holds a slot; empty if it has not given any."""
    key = _key(holder)
    return instance.daemon_cursor_storage.get_cursor_values({key}).get(key, "")


def _key(holder: str) -> str:
    return f"smallcaps/alive/{zlib.crc32(holder.encode()) % _SIGNS:02}"


def sign_of_run(instance: dg.DagsterInstance, run_id: str) -> str:
    """The number of the latest event of a run; empty if it has none."""
    found = instance.event_log_storage.get_records_for_run(run_id, limit=1, ascending=False).records
    return str(found[0].storage_id) if found else ""
