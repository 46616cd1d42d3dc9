"""Promises between two participants that have met, in the order in which they build on each other."""

from collections.abc import Callable, Iterator
from typing import Final

from smallcaps_assets.lake.promises.file_system import FileSystem
from smallcaps_assets.lake.promises.meeting import Meeting
from smallcaps_assets.lake.promises.one_host import with_mount_remedy
from smallcaps_assets.lake.promises.promises import (
    ATTRIBUTES,
    CLOCK,
    LOCK,
    NEW_FILES,
    REMOVED_FILES,
    SEEN_LISTINGS,
    SEEN_RENAME,
    UPDATES,
    WHOLE_FILES,
    Promise,
    PromiseResult,
)
from smallcaps_assets.lake.promises.readers import run_readers
from smallcaps_assets.lake.promises.rounds import run_rounds
from smallcaps_assets.lake.promises.turns import check_lock, run_turns

_PROMISES: Final[dict[str, Promise]] = {
    promise.name: promise
    for promise in (
        LOCK,
        UPDATES,
        SEEN_RENAME,
        NEW_FILES,
        REMOVED_FILES,
        SEEN_LISTINGS,
        ATTRIBUTES,
        WHOLE_FILES,
        CLOCK,
    )
}


def check_two_hosts(
    meeting: Meeting, system: FileSystem | None, report: Callable[[str], None] = lambda _: None
) -> Iterator[PromiseResult]:
    """Test what takes two; both participants find the same. `report` receives what is being tested.

    Raises:
        InputError: the other one does not answer.
    """
    for result in _results(meeting, report):
        yield with_mount_remedy(result, _PROMISES[result.name], system)


def _results(meeting: Meeting, report: Callable[[str], None]) -> Iterator[PromiseResult]:
    report("locks")
    lock = check_lock(meeting)
    yield lock
    report("changes under a lock")
    if lock.verdict == "ok":
        yield run_turns(meeting)
    else:
        yield PromiseResult(UPDATES.name, "note", "not tested: without an exclusive lock changes are lost")
    report("visibility")
    yield from run_rounds(meeting)
    report("reading while files are replaced")
    yield run_readers(meeting)
