"""Whether one host sees at once what another has published: renames, new and removed files, listings, sizes and times.

The two take turns. Whoever's turn it is publishes, then sends a message; the other one looks as soon as it has the
message, after it has looked at the same names before: what its mount keeps of them must not be what it sees now.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import publish
from smallcaps_assets.lake.promises.meeting import Meeting
from smallcaps_assets.lake.promises.one_host import describe_refusal, problem
from smallcaps_assets.lake.promises.promises import (
    ATTRIBUTES,
    CLOCK,
    NEW_FILES,
    REMOVED_FILES,
    SEEN_LISTINGS,
    SEEN_RENAME,
    Promise,
    PromiseResult,
)

# of each of the two
_ROUNDS: Final = 12
# where much has failed, nothing is learned from more
_ENOUGH_S: Final = 15.0
# how long to wait for what was not seen at once
_SEEN_WITHIN_S: Final = 70.0
_LOOK_EVERY_S: Final = 0.1
_BYTES: Final = 2_000
# what clocks kept by NTP differ by at most
_CLOCK_S: Final = 0.5

SEEN: Final[tuple[tuple[Promise, str], ...]] = (
    (SEEN_RENAME, "a renamed file"),
    (NEW_FILES, "a new file"),
    (REMOVED_FILES, "the removal of a file"),
    (SEEN_LISTINGS, "the listing of a folder"),
    (ATTRIBUTES, "size and time of a changed file"),
)
# of each promise, seconds until it was seen in each round: 0 if at once
Delays = dict[str, list[float]]


def run_rounds(meeting: Meeting) -> list[PromiseResult]:
    """Play all rounds; returns the results of both participants, which both know."""
    folder = meeting.folder / "rounds"
    folder.mkdir(exist_ok=True)
    meeting.exchange({})
    delays: Delays = {promise.name: [] for promise, _ in SEEN}
    times: list[float] = []
    refused, began = "", time.monotonic()
    for number in range(2 * _ROUNDS):
        if (number % 2 == 0) == meeting.is_first:
            last = bool(refused) or time.monotonic() - began > _ENOUGH_S
            try:
                facts: dict[str, Any] = _publish(folder, number)
            except (OSError, LakeError) as error:
                facts = {"refused": describe_refusal(error)}
            meeting.send({**facts, "last": last})
        else:
            facts = meeting.receive()
            if "refused" not in facts:
                _look(folder, number, facts, delays)
        refused = refused or facts.get("refused", "")
        times += [facts["time"]] if "time" in facts else []
        _look_before(folder, number + 1)
        if refused or facts.get("last"):
            break
    others = meeting.exchange({"delays": delays})["delays"]
    if refused:
        return [problem(SEEN_RENAME, f"one host cannot replace or remove files of the other: {refused}")]
    return [
        *(judge_delays(promise, what, [*delays[promise.name], *others[promise.name]]) for promise, what in SEEN),
        judge_times(times),
    ]


def judge_delays(promise: Promise, what: str, delays: Sequence[float]) -> PromiseResult:
    """The result of a promise.

    Args:
        promise: the promise.
        what: what is to be seen.
        delays: seconds until it was seen, of each round: 0 if at once.
    """
    late = [delay for delay in delays if delay > 0]
    if not late:
        return PromiseResult(promise.name, "ok", f"{what}: seen at once in {len(delays)} of {len(delays)} rounds")
    until = f"up to {max(late):,.1f} s" if max(late) < _SEEN_WITHIN_S else f"not even {_SEEN_WITHIN_S:.0f} s"
    return problem(promise, f"{what}: seen too late in {len(late)} of {len(delays)} rounds, {until} after it was made")


def judge_times(times: Sequence[float]) -> PromiseResult:
    """Whether times of files that were published one after another, in turns, do not go back (Unix seconds)."""
    back = max((before - after for before, after in pairwise(times)), default=0.0)
    if back > _CLOCK_S:
        return problem(CLOCK, f"times of files go back by {back:,.2f} s between the two sides")
    return PromiseResult(CLOCK.name, "ok", f"times of {count_noun(len(times), 'file')} follow the order of writing")


def _publish(folder: Path, number: int) -> dict[str, Any]:
    """Replace the table, make a file, remove the one of the round before; returns what the other one must see."""
    content = secrets.token_bytes(_BYTES + number)
    table = folder / "table"
    publish(table, lambda part: part.write_bytes(content))
    publish(_file_of(folder, number), lambda part: part.write_bytes(b"new"))
    _file_of(folder, number - 1).unlink(missing_ok=True)
    state = table.stat()
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": state.st_size,
        "time_ns": state.st_mtime_ns,
        "time": state.st_mtime,
    }


def _file_of(folder: Path, number: int) -> Path:
    return folder / f"file-{number}"


def _look_before(folder: Path, number: int) -> None:
    """Look at everything that the next round changes, as a run does that works all the time."""
    for path in (folder / "table", _file_of(folder, number), _file_of(folder, number - 1)):
        path.exists()
    _listed(folder)
    _sha256(folder / "table")


def _look(folder: Path, number: int, facts: Mapping[str, Any], delays: Delays) -> None:
    """Wait until everything is seen that was published; notes how long each took."""
    table, new, removed = folder / "table", _file_of(folder, number), _file_of(folder, number - 1)
    tests: dict[str, Callable[[], bool]] = {
        SEEN_RENAME.name: lambda: _sha256(table) == facts["sha256"],
        ATTRIBUTES.name: lambda: _attributes(table) == (facts["size"], facts["time_ns"]),
        NEW_FILES.name: new.exists,
        REMOVED_FILES.name: lambda: not removed.exists(),
        SEEN_LISTINGS.name: lambda: new.name in (names := _listed(folder)) and removed.name not in names,
    }
    began, waiting = time.monotonic(), dict(tests)
    looks = 0
    while waiting and (seconds := time.monotonic() - began) < _SEEN_WITHIN_S:
        if looks:
            time.sleep(_LOOK_EVERY_S)
        for name in [name for name, test in waiting.items() if test()]:
            del waiting[name]
            delays[name].append(max(seconds, _LOOK_EVERY_S) if looks else 0.0)
        looks += 1
    for name in waiting:
        delays[name].append(_SEEN_WITHIN_S)


def _attributes(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _listed(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
