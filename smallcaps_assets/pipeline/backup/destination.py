"""Where a backup goes: a folder of its own, apart from the lake and the state, with room for what is new."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from smallcaps_assets.domain.tape.budget import BYTES_PER_MB
from smallcaps_assets.errors import DiskFull, InputError
from smallcaps_assets.lake.backup.snapshots import IDENTITY, Backup
from smallcaps_assets.lake.files.publish import disk_errors, require_writable
from smallcaps_assets.runtime.long_paths import long_path

_BYTES_PER_GB: Final = 1e9
# what is in the root of a disk that is empty otherwise
_OF_A_DISK: Final = frozenset({"lost+found", "System Volume Information", "$RECYCLE.BIN"})


def open_destination(given: Path, lake: Path, state: Path, lake_id: str) -> Backup:
    """The backup of a lake in a folder, which is made if it does not exist.

    Args:
        given: the folder.
        lake: the lake's folder.
        state: the folder of Dagster's state.
        lake_id: the id of the lake.

    Raises:
        InputError: the folder overlaps with the lake or the state, holds something else, or the backup of another lake.
        LakeError: it cannot be written to.
    """
    remedy = "Give a folder that has nothing but the backup, best on another disk: what is lost together is no backup."
    require_apart(given, lake, "the lake", remedy)
    require_apart(given, state, "Dagster's state", remedy)
    if given.exists() and not given.is_dir():
        raise InputError(f"{given}: is a file. Give a folder for the backup.")
    require_writable(given)
    backup = Backup(long_path(given))
    known = backup.lake_id()
    if known not in (None, lake_id):
        last = backup.names()
        where = f", last at {backup.snapshot(last[-1]).facts.get('lake')}" if last else ""
        raise InputError(
            f"{given}: holds the backup of another lake (id {known}{where}), not of {lake} (id {lake_id}). Give each "
            "lake a separate folder."
        )
    if known is None:
        if found := _content_of(given):
            raise InputError(
                f"{given}: is not empty (it has {found}) and no backup, for it has no {IDENTITY}. Give an empty "
                "folder, or one that does not exist."
            )
        backup.begin(lake_id)
    return backup


def require_space(folder: Path, needs: int, keep_free: int, where: str) -> None:
    """Make sure that a disk has room before anything is written.

    Args:
        folder: a folder on the disk; it may not exist yet.
        needs: bytes that are to be written.
        keep_free: bytes that must stay free besides.
        where: the setting or flag that chose the folder, for the message.

    Raises:
        DiskFull: it has not; names how much is missing.
    """
    place = next(place for place in (folder, *folder.parents) if place.is_dir())
    with disk_errors("read", place):
        free = shutil.disk_usage(place).free
    missing = needs + keep_free - free
    if missing > 0:
        kept = f", and {_amount(keep_free)} must stay free" if keep_free else ""
        raise DiskFull(
            f"{folder}: {_amount(needs)} are to be written{kept}, but its disk has {_amount(free)} free: "
            f"{_amount(missing)} are missing. Free space there, or give another folder ({where}). Nothing was written.",
            folder,
        )


def _amount(size: float) -> str:
    return f"{size / _BYTES_PER_GB:,.2f} GB" if size >= _BYTES_PER_GB else f"{size / BYTES_PER_MB:,.2f} MB"


def require_apart(given: Path, other: Path, what: str, remedy: str) -> None:
    """Make sure that neither of two folders lies in the other.

    Raises:
        InputError: one does.
    """
    one, two = given.resolve(), other.resolve()
    if one.is_relative_to(two):
        raise InputError(f"{given}: lies in {what}, {other}. {remedy}")
    if two.is_relative_to(one):
        raise InputError(f"{given}: {what}, {other}, lies in it. {remedy}")


def _content_of(folder: Path) -> str | None:
    """Something in a folder, by name; None where it is empty."""
    with disk_errors("read", folder):
        return _first(path.name for path in folder.iterdir())


def _first(names: Iterable[str]) -> str | None:
    return next((name for name in sorted(names) if name not in _OF_A_DISK and not name.startswith(".")), None)
