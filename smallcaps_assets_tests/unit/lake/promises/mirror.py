"""A file system with caches, for tests: two folders, of which each shows what changed in the other some time later.

Both are real folders; a thread copies what changed. As with the caches of JuiceFS, a new name is seen at once, and what
was looked at before is seen late. Locks do not reach from one to the other.
"""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_LOOK_EVERY_S = 0.02

State = dict[str, tuple[int, int] | None]


@contextmanager
def mirrored(one: Path, other: Path, late: str, looks: int) -> Iterator[None]:
    """Keep two empty folders alike; what is below folders named `late` only at every so many looks."""
    ended = threading.Event()
    folders = (one, other)
    known: tuple[State, State] = ({}, {})
    numbers = count()

    def copy() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            left_out = late if next(numbers) % looks else ""
            for source, target, of_source, of_target in ((*folders, *known), (*folders[::-1], *known[::-1])):
                _copy_changes(source, target, of_source, of_target, left_out)

    thread = threading.Thread(target=copy)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _copy_changes(source: Path, target: Path, of_source: State, of_target: State, left_out: str) -> None:
    now = {name: state for name, state in _state(source).items() if left_out not in name.split("/")}
    for name, state in now.items():
        if name in of_source and of_source[name] == state:
            continue
        with suppress(OSError):  # replaced or removed meanwhile
            if state is None:
                (target / name).mkdir(exist_ok=True)
                of_target[name] = None
            else:
                part = target / f"{name}.copy"
                shutil.copy2(source / name, part)
                part.replace(target / name)
                of_target[name] = _state_of(target / name)
        of_source[name] = state
    for name in sorted(of_source.keys() - now.keys(), reverse=True):
        if left_out in name.split("/"):
            continue
        del of_source[name]
        of_target.pop(name, None)
        with suppress(OSError):
            (target / name).rmdir() if (target / name).is_dir() else (target / name).unlink()


def _state(folder: Path) -> State:
    found: State = {}
    # unlike rglob, it passes over a folder that is removed while it is listed
    paths = [Path(parent, name) for parent, folders, files in os.walk(folder) for name in (*folders, *files)]
    for path in sorted(paths):
        with suppress(OSError):
            if not path.name.startswith(".look-") and not path.name.endswith(".copy"):
                found[path.relative_to(folder).as_posix()] = None if path.is_dir() else _state_of(path)
    return found


def _state_of(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_ino, state.st_mtime_ns
