"""Damaged files: they are set aside in the quarantine, each with its reason, so that others can take their place.

They keep their bytes, but not their ending: readers of folders take them for no tables.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smallcaps_assets.lake.files.content_hash import ProofState, proof_of, seal_document
from smallcaps_assets.lake.files.publish import disk_errors, make_folders, publish_text, sha256
from smallcaps_assets.lake.layout import Lake

_SUFFIX: Final = ".damaged"
# digits of the hash of a damaged file in its name: a second one does not replace the first
_DIGITS: Final = 8


def set_aside(lake: Lake, path: Path, reason: str) -> Path:
    """Move a file of the lake to the quarantine; returns its place there, which has a JSON document beside it.

    Raises:
        LakeError: the disk refuses.
    """
    name = f"{path.name}.{sha256(path)[:_DIGITS]}{_SUFFIX}"
    place = lake.damaged_path(path).with_name(name)
    record = {
        "file": path.relative_to(lake.root).as_posix(),
        "reason": reason,
        "set_aside_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(seal_document(record), indent=2) + "\n"
    publish_text(place.with_name(f"{name}.json"), text, below=lake.root)
    make_folders(place.parent, lake.root)
    with disk_errors("written", place):
        os.replace(path, place)  # noqa: PTH105 -- replaces an existing file on every system
    return place


def is_damaged(path: Path) -> bool:
    """Whether a parquet file is not what was published; reads every byte.

    Raises:
        LakeError: it cannot be read.
    """
    with disk_errors("read", path):
        return proof_of(path).state is ProofState.DAMAGED
