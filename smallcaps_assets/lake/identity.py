"""The id of a lake, stored in it: a state knows its lake by it, wherever each machine mounts the lake."""

import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.documents import publish_document, read_document
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.layout import Lake

_ID: Final = "id"
# under which a state of Dagster remembers the id of its lake
LAKE_ID_KEY: Final = "smallcaps/lake_id"


def identity_of(lake: Lake) -> str | None:
    """The id of a lake, 32 hex digits; None of a lake that has none yet, or does not exist.

    Raises:
        LakeError: the file that holds it cannot be read or is damaged.
    """
    path = lake.identity
    if not path.is_file():
        return None
    found = read_document(path, how_to_restore(path), {_ID: str})[_ID]
    try:
        return uuid.UUID(hex=found).hex
    except ValueError:
        raise LakeError(f"{path}: {found!r:.80} is no id of a lake. {how_to_restore(path)}", path) from None


def give_identity(lake: Lake) -> str | None:
    """The id of a lake, which is given one if it has none; None if the lake does not exist.

    Raises:
        LakeError: see `identity_of`; or the file cannot be written.
    """
    if not lake.root.is_dir():
        return None
    if (present := identity_of(lake)) is not None:
        return present
    with exclusive_lock(lake.locks / "identity.lock", below=lake.root):
        if (present := identity_of(lake)) is not None:
            return present
        made = uuid.uuid4().hex
        publish_document(lake.identity, {_ID: made}, below=lake.root)
        return made


def identity_if_possible(lake: Lake) -> str | None:
    """The id of a lake, which is given one if it can be written to; None where it cannot, or does not exist.

    Raises:
        LakeError: the file that holds it cannot be read or is damaged.
    """
    if (present := identity_of(lake)) is not None:
        return present
    with suppress(LakeError):
        return give_identity(lake)
    return None


def is_same_folder(one: Path, other: Path) -> bool:
    """Whether two paths of folders that exist lead to the same one, also through two mounts of one file system.

    Where neither can be written to, only the system's own answer counts, which takes two mounts for two folders.
    """
    if one.samefile(other):
        return True
    probe = f".probe-{uuid.uuid4().hex}"
    with suppress(OSError):
        try:
            (one / probe).touch()
            return (other / probe).exists()
        finally:
            (one / probe).unlink(missing_ok=True)
    return False
