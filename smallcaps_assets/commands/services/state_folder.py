"""Where Dagster's state of a lake is. Apart from `state`, which imports Dagster: that takes a second.

A state remembers the id of its lake, so that it is found when the lake was moved, or is mounted elsewhere. The name of
its folder is only where it was made: it counts for a lake without an id, as those of earlier releases.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from smallcaps_assets.commands.services.processes import LAKE_FILE
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.publish import publish_text
from smallcaps_assets.lake.identity import identity_if_possible, identity_of, is_same_folder
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Settings, home, lake_path

_DEFAULT_LAKE: Final = "lake"
# beside LAKE_FILE, which holds the path only
_ID_FILE: Final = "lake_id.json"
_ID, _LAKE = "id", "lake"
_DIGITS: Final = 8


def state_folder(settings: Settings) -> Path:
    """The folder of Dagster's state of the lake.

    It is the one that remembers the id of the lake; else `.dagster` of the repository for its default lake, or a
    sub-folder of it for another lake. The dagster.yaml in it is that of the repository with absolute paths, so that the
    working folder of a process does not matter, and with the sections of `dagster.laid_over`.
    """
    lake = lake_path(settings)
    folder = _folder_of_path(lake)
    identity = _identity(lake)
    known = remembered_id(folder)
    if identity is None:
        # a lake that is new, at a place from where another one was moved away
        is_anothers = known is not None and lake_of_state(folder) != lake
        return _lakes() / f"{name_of_state(lake)}-new" if is_anothers else folder
    if known == identity or (known is None and (folder / LAKE_FILE).exists()):
        return folder
    if (found := _folder_of_id(identity, lake)) is not None:
        return found
    return folder if known is None else _lakes() / f"{lake.name}-{identity[:_DIGITS]}"


def name_of_state(lake: Path) -> str:
    """The name of the folder of a lake's state, among those of other lakes than the default one."""
    return f"{lake.name}-{hashlib.sha256(str(lake).encode()).hexdigest()[:_DIGITS]}"


def remember_lake(folder: Path, lake: Path) -> None:
    """Write into the folder of a state which lake it is of, which is given an id if it has none and can be written to.

    A lake that was removed and begun again at the same place keeps its state, under another id.

    Raises:
        LakeError: the disk refuses, or the file with the id of the lake is damaged.
    """
    identity = identity_if_possible(Lake(lake))
    publish_text(folder / LAKE_FILE, str(lake))
    if identity is not None:
        publish_document(folder / _ID_FILE, {_ID: identity, _LAKE: str(lake)})


def remembered_id(folder: Path) -> str | None:
    """The id of the lake of a state; None where it remembers none."""
    return _remembered(folder).get(_ID)


def lake_of_state(folder: Path) -> Path | None:
    """The lake that a state names as its own; None where it names none or its file is damaged."""
    try:
        lake = Path((folder / LAKE_FILE).read_text(encoding="utf-8"))
        lake.exists()  # a name that no system allows
    except (OSError, ValueError):
        return None
    return lake if lake.is_absolute() else None


def is_whole_name(folder: Path, lake: Path) -> bool:
    """Whether a state names `lake` in a way that a cut file does not."""
    return folder.name == name_of_state(lake) or _remembered(folder).get(_LAKE) == str(lake)


def copies_of_lake(settings: Settings) -> list[Path]:
    """Other lakes with the id of this one: one was copied from the other. Those that states of this place remember."""
    lake = lake_path(settings)
    identity = _identity(lake)
    if identity is None:
        return []
    known = {lake_of_state(folder) for folder in _states() if remembered_id(folder) == identity}
    return sorted(other for other in known if other and _is_copy(other, lake, identity))


def describe_copies(lake: Path, copies: Sequence[Path]) -> str:
    """What to do about lakes with the same id."""
    return (
        f"{lake} has the same id as {', '.join(map(str, copies))}: one is a copy of the other. Each has a state of its "
        "own here, but a state in a database serves one of them only. If this one is the copy, remove "
        f"{Lake(lake).identity}: it is given an id of its own, and nothing else changes."
    )


def _folder_of_path(lake: Path) -> Path:
    root = home()
    return root / ".dagster" if lake == root / _DEFAULT_LAKE else _lakes() / name_of_state(lake)


def _lakes() -> Path:
    return home() / ".dagster" / "lakes"


def _states() -> Iterator[Path]:
    """The folders of all states of this place."""
    for folder in (home() / ".dagster", *sorted(_lakes().glob("*"))):
        if (folder / LAKE_FILE).is_file():
            yield folder


def _folder_of_id(identity: str, lake: Path) -> Path | None:
    """The state of the lake with an id, the last one used; None where all are of copies that are elsewhere."""
    found = [
        folder
        for folder in _states()
        if remembered_id(folder) == identity
        and ((other := lake_of_state(folder)) is None or not _is_copy(other, lake, identity))
    ]
    return max(found, key=lambda folder: (folder / LAKE_FILE).stat().st_mtime_ns, default=None)


def _is_copy(one: Path, other: Path, identity: str) -> bool:
    """Whether a lake has the id of another one; a lake that is reached by two paths is one lake."""
    return one != other and one.is_dir() and _identity(one) == identity and not is_same_folder(one, other)


def _identity(lake: Path) -> str | None:
    """The id of a lake; None where it has none, or a damaged one, which is reported when the state is opened."""
    with suppress(LakeError, OSError):
        return identity_of(Lake(lake))
    return None


def _remembered(folder: Path) -> dict[str, str]:
    with suppress(LakeError):
        return read_document(folder / _ID_FILE, "", {_ID: str, _LAKE: str})
    return {}
