"""Locks between two processes: whether one is exclusive, and whether changes made under it survive."""

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from filelock import FileLock, Timeout

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.lake.promises.meeting import Meeting
from smallcaps_assets.lake.promises.one_host import describe_refusal, problem
from smallcaps_assets.lake.promises.promises import LOCK, UPDATES, PromiseResult

_TRIES: Final = 10
_TRY_EVERY_S: Final = 0.03
_HANDED_OVER_WITHIN_S: Final = 20.0
# of each of the two
_TURNS: Final = 30
_ENOUGH_S: Final = 12.0
# longer than who waits for a lock looks for it, so that the two alternate
_PAUSE_S: Final = (0.06, 0.12)


class Update(NamedTuple):
    """One change of the document: its id and that of the version it was made from, empty for the first one."""

    id: str
    made_from: str


def check_lock(meeting: Meeting) -> PromiseResult:
    """Whether a lock that one holds keeps the other one out, and is handed over, in both directions."""
    path = meeting.folder / "exclusive.lock"
    findings: list[str] = []
    for holder_is_first in (True, False):
        if meeting.is_first == holder_is_first:
            lock = FileLock(path, timeout=_HANDED_OVER_WITHIN_S)
            refused = _take(lock)
            meeting.send({"refused": refused})
            meeting.receive()
            lock.release()
            meeting.send({})
            found = meeting.receive()["found"]
            findings += [refused] if refused else found
        else:
            refused = meeting.receive()["refused"]
            entered = sum(_enters(path) for _ in range(_TRIES)) if not refused else 0
            meeting.send({})
            meeting.receive()
            found = [f"lets a second process in while one holds it ({entered} of {_TRIES} tries)"] if entered else []
            if not refused and (late := _take(lock := FileLock(path, timeout=_HANDED_OVER_WITHIN_S))):
                found.append(f"{late} after the other one has released it")
            elif not refused:
                lock.release()
            meeting.send({"found": found})
            findings += [refused] if refused else found
    if findings:
        return problem(LOCK, "; ".join(dict.fromkeys(findings)))
    return PromiseResult(LOCK.name, "ok", "keeps the other side out, and is handed over")


def run_turns(meeting: Meeting) -> PromiseResult:
    """Both change one document under a lock, at the same time: read it, make the next version, publish."""
    document, lock = meeting.folder / "document", meeting.folder / "document.lock"
    meeting.exchange({})
    made: list[Update] = []
    refused, end, pauses = "", time.monotonic() + _ENOUGH_S, random.Random(meeting.me)  # noqa: S311 -- no secret
    while len(made) < _TURNS and time.monotonic() < end and not refused:
        try:
            with exclusive_lock(lock):
                made_from = _version(document)
                update = Update(uuid.uuid4().hex, made_from)
                publish_text(document, json.dumps(update.id))
            made.append(update)
        except (OSError, LakeError) as error:
            refused = describe_refusal(error)
        time.sleep(pauses.uniform(*_PAUSE_S))
        # a run looks at its files all the time, and a mount may keep what it saw
        document.is_file()
    other = meeting.exchange({"made": made, "refused": refused})
    refused = refused or other["refused"]
    if refused:
        return problem(UPDATES, f"one side cannot change a document of the other: {refused}")
    return judge_updates([made, [Update(*update) for update in other["made"]]])


def judge_updates(made: Sequence[Sequence[Update]]) -> PromiseResult:
    """Whether the updates of all participants are one chain: two from the same version mean that one saw an old one."""
    updates = [update for of_one in made for update in of_one]
    lost = sum(count - 1 for count in Counter(update.made_from for update in updates).values())
    owners: dict[str, int] = {update.id: number for number, of_one in enumerate(made) for update in of_one}
    handed_over = sum(
        owners.get(update.made_from, number) != number for number, of_one in enumerate(made) for update in of_one
    )
    if lost:
        return problem(
            UPDATES, f"at least {lost} of {len(updates)} changes under the lock were lost: made from an old one"
        )
    if not handed_over:
        return PromiseResult(UPDATES.name, "note", "the two sides never took turns: nothing was shown. Run it again")
    message = f"{len(updates)} changes under the lock survived, {handed_over} of them made from one of the other side"
    return PromiseResult(UPDATES.name, "ok", message)


def _version(document: Path) -> str:
    """The id of the version that is read; empty before the first one."""
    try:
        found: Any = json.loads(document.read_bytes())
    except FileNotFoundError:
        return ""
    except ValueError as error:
        raise LakeError(f"{document}: is not whole", document) from error
    return str(found)


def _take(lock: FileLock) -> str:
    """Take a lock; returns why that is impossible, empty if it is taken."""
    try:
        lock.acquire()
    except Timeout:
        return f"cannot be taken within {_HANDED_OVER_WITHIN_S:g} s"
    except (OSError, NotImplementedError) as error:
        return f"cannot be taken: {describe_refusal(error)}"
    return ""


def _enters(path: Path) -> bool:
    time.sleep(_TRY_EVERY_S)
    try:
        with FileLock(path, timeout=0):
            return True
    except (Timeout, OSError):
        return False
