"""Whether a file that one process publishes again and again is always whole to another one that reads it."""

import hashlib
import secrets
import time
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import publish
from smallcaps_assets.lake.promises.meeting import Meeting
from smallcaps_assets.lake.promises.one_host import describe_refusal, problem
from smallcaps_assets.lake.promises.promises import WHOLE_FILES, PromiseResult

_LASTS_S: Final = 1.5
# leaves the processor to the other one
_PAUSE_S: Final = 0.002
_BYTES: Final = 300_000
_DIGEST_BYTES: Final = 32


def run_readers(meeting: Meeting) -> PromiseResult:
    """One publishes, the other one reads, for some seconds; then the other way round."""
    path = meeting.folder / "read"
    meeting.exchange({})
    reads, faults = 0, dict[str, int]()
    for writer_is_first in (True, False):
        if meeting.is_first == writer_is_first:
            refused = _publish_often(path)
            found = meeting.exchange({"refused": refused})
            reads += found["reads"]
            of_round = {**found["faults"], **({refused: 1} if refused else {})}
        else:
            count, of_round = _read_often(path)
            refused = meeting.exchange({"reads": count, "faults": of_round})["refused"]
            reads += count
            of_round = {**of_round, **({refused: 1} if refused else {})}
        for fault, number in of_round.items():
            faults[fault] = faults.get(fault, 0) + number
    if faults:
        named = "; ".join(f"{fault} ({number:,} times)" for fault, number in faults.items())
        return problem(WHOLE_FILES, f"of {reads:,} readings of a file that the other side publishes: {named}")
    return PromiseResult(WHOLE_FILES.name, "ok", f"{reads:,} readings of a file that the other publishes, all whole")


def _publish_often(path: Path) -> str:
    """Publish a file until the time is over; returns why that is impossible."""
    end = time.monotonic() + _LASTS_S
    while time.monotonic() < end:
        content = secrets.token_bytes(_BYTES)
        whole = content + hashlib.sha256(content).digest()
        try:
            publish(path, lambda part, whole=whole: part.write_bytes(whole))  # type: ignore[misc]
        except LakeError as error:
            return f"cannot be replaced while it is read: {describe_refusal(error)}"
    return ""


def _read_often(path: Path) -> tuple[int, dict[str, int]]:
    """How often the file was read, and what was wrong how often."""
    reads, faults, end = 0, dict[str, int](), time.monotonic() + _LASTS_S
    while time.monotonic() < end:
        time.sleep(_PAUSE_S)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            if not reads:  # before the first version
                continue
            fault = "missing while it is replaced"
        except OSError as error:
            fault = f"cannot be read: {describe_refusal(error)}"
        else:
            is_whole = hashlib.sha256(content[:-_DIGEST_BYTES]).digest() == content[-_DIGEST_BYTES:]
            fault = "" if is_whole else "not whole"
        reads += 1
        if fault:
            faults[fault] = faults.get(fault, 0) + 1
    return reads, faults
