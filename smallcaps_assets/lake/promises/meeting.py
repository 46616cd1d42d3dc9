"""How two processes, also on two hosts, find each other in a folder and exchange messages through its files.

Nothing is assumed but that a file with a new name is seen sooner or later. No clocks are compared: a participant is
there while the number in its file goes up.
"""

import hashlib
import json
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.files.documents import parse_json_object
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.runtime.machines import machine_mark

MEETINGS: Final = ".doctor"
_POLL_S: Final = 0.02
_SIGN_EVERY_S: Final = 0.3
# longer than any cache of a mount keeps names by default
_ANSWER_WITHIN_S: Final = 150.0
_ABANDONED_S: Final = 3_600.0
_DIGITS: Final = 6


@dataclass
class Meeting:
    """Two participants that have found each other.

    Attributes:
        folder: where their tests and messages are.
        me: the id of this one.
        other: that of the other one.
        code: what both print, so that a person sees that they met.
        facts: what the other one says of itself: host, machine, user, release.
    """

    folder: Path
    me: str
    other: str
    code: str
    facts: Mapping[str, Any]
    is_there: Callable[[], None]
    _sent: int = field(default=0, init=False)
    _received: int = field(default=0, init=False)

    @property
    def is_first(self) -> bool:
        """Whether this one begins where the two take turns."""
        return self.me < self.other

    @property
    def is_on_this_machine(self) -> bool:
        """Whether both are on the same machine."""
        return bool(self.facts["machine"] == machine_mark())

    def send(self, message: Mapping[str, Any]) -> None:
        """Publish a message; the other one reads messages in their order."""
        self._sent += 1
        publish_text(self.folder / "messages" / f"{self.me}-{self._sent:06}.json", json.dumps(message), sweeps=False)

    def receive(self) -> dict[str, Any]:
        """Wait for the next message of the other one.

        Raises:
            InputError: none comes.
        """
        self._received += 1
        folder, name = self.folder / "messages", f"{self.other}-{self._received:06}.json"
        for _ in _waiting(_ANSWER_WITHIN_S):
            self.is_there()
            if (found := _read(folder, name)) is not None:
                return found
        raise InputError(
            f"{self.folder}: the other process, on {self.facts['host']}, has not answered for {_ANSWER_WITHIN_S:g} s. "
            "Did it end, or did its mount? Run both again."
        )

    def exchange(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the one that the other sends at this point; raises as `receive`."""
        self.send(message)
        return self.receive()


@contextmanager
def meet(
    folder: Path, token: str, within_s: float, *, is_there: Callable[[], None] = lambda: None, release: str = ""
) -> Iterator[Meeting]:
    """Find the other participant with the same token in a folder that exists.

    Args:
        folder: the folder, as this host sees it.
        token: only a participant with the same one is met.
        within_s: how long to wait for it.
        is_there: called while waiting; raises if the other one can no longer come.
        release: what the other one learns of this installation.

    Raises:
        InputError: no other one came.
        LakeError: the folder cannot be written.
    """
    place = folder / MEETINGS
    me = uuid.uuid4().hex
    facts = {"host": platform.node(), "machine": machine_mark(), "token": token, "release": release}
    shared: Path | None = None
    try:
        other, others = _find(place, me, facts, within_s, is_there)
        code = hashlib.sha256("".join(sorted((me, other))).encode()).hexdigest()[:_DIGITS]
        shared = place / code
        (shared / "messages").mkdir(parents=True, exist_ok=True)
        yield Meeting(shared, me, other, code, others, is_there)
    finally:
        (place / f"{me}.json").unlink(missing_ok=True)
        if shared is not None:
            _leave(shared)
        with suppress(OSError):
            place.rmdir()


def _find(
    place: Path, me: str, facts: Mapping[str, Any], within_s: float, is_there: Callable[[], None]
) -> tuple[str, Mapping[str, Any]]:
    """The id and the facts of the other participant, when each has chosen the other."""
    place.mkdir(exist_ok=True)
    _remove_abandoned(place)
    first_signs: dict[str, int] = {}
    sign, partner, signed = 0, "", 0.0
    for now in _waiting(within_s):
        is_there()
        if now - signed >= _SIGN_EVERY_S:
            sign, signed = sign + 1, now
            _sign(place, me, {**facts, "sign": sign, "partner": partner})
        there = {}
        for name in _names(place):
            one = name.removesuffix(".json")
            if one in {me, name} or (found := _read(place, name)) is None or found.get("token") != facts["token"]:
                continue
            # a participant that was killed left a number that stays
            if found["sign"] > first_signs.setdefault(one, found["sign"]) and found["partner"] in ("", me):
                there[one] = found
        chosen = partner if partner in there else min(there, default="")
        if chosen != partner:
            partner = chosen
            _sign(place, me, {**facts, "sign": sign, "partner": partner})
        if partner and there[partner]["partner"] == me:
            return partner, there[partner]
    raise InputError(
        f"{place.parent}: no other process came within {within_s:g} s. Is it the same folder of the same file system "
        f"there? While this one waited, it showed {place / me}.json, which the other one must see."
    )


def _leave(shared: Path) -> None:
    """The later one of the two removes what both have made; the file system decides which one that is."""
    try:
        (shared / "left").touch(exist_ok=False)
    except FileExistsError:
        shutil.rmtree(shared, ignore_errors=True)
    except OSError:
        return


def _remove_abandoned(place: Path) -> None:
    """Remove what killed participants left, by the clock of the file system."""
    probe = place / f".look-{uuid.uuid4().hex}"
    with suppress(OSError):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        for path in place.iterdir():
            if now - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _sign(place: Path, me: str, facts: Mapping[str, Any]) -> None:
    publish_text(place / f"{me}.json", json.dumps(facts), sweeps=False)


def _waiting(within_s: float) -> Iterator[float]:
    """Now and again until the time is over; gives the time."""
    end = time.monotonic() + within_s
    while (now := time.monotonic()) < end:
        yield now
        time.sleep(_POLL_S)


def _names(folder: Path) -> list[str]:
    """The names in a folder, as new as the file system allows."""
    # a change of our own makes the mount ask for the folder's state
    probe = folder / f".look-{uuid.uuid4().hex}"
    with suppress(OSError, LakeError):
        probe.touch()
        probe.unlink()
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir())
    return []


def _read(folder: Path, name: str) -> dict[str, Any] | None:
    """A message; None where it is not there yet, or not whole."""
    if name not in _names(folder):
        return None
    with suppress(OSError):
        return parse_json_object((folder / name).read_bytes())
    return None
