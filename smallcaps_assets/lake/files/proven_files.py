"""Files that this process has proved: an unchanged one is not read whole again, and one proof serves a whole step.

Unchanged is a file with the same inode, size and times of modification and, where the system has it, of change.
"""

import os
from pathlib import Path
from typing import Final

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import DAMAGE, ProofState, proof_and_sha256
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.remedies import how_to_restore

_MOST: Final = 100_000  # files that are remembered, about 30 MB

_State = tuple[int, int, int, int]
# by path: the state of the file before it was proved, and its SHA-256
_proven: Final[dict[str, tuple[_State, str]]] = {}


def prove_anew(path: Path) -> str:
    """Make sure that a table is not damaged, whatever is remembered of it; returns the SHA-256 of the file.

    Raises:
        LakeError: it is damaged or cannot be read.
    """
    with disk_errors("read", path):
        state = _state_of(path)
        proof, whole = proof_and_sha256(path)
    if proof.state is ProofState.DAMAGED:
        raise LakeError(f"{path}: is {DAMAGE}. {how_to_restore(path)}", path).with_facts(DAMAGE)
    while len(_proven) >= _MOST:
        _proven.pop(next(iter(_proven)), None)
    _proven[str(path)] = state, whole
    return whole


def prove_once(path: Path) -> str:
    """Make sure that a table is not damaged, unless this process has proved it as it is; returns the file's SHA-256.

    Raises:
        LakeError: see `prove_anew`.
    """
    known = _proven.get(str(path))
    with disk_errors("read", path):
        is_known = known is not None and known[0] == _state_of(path)
    return known[1] if known and is_known else prove_anew(path)


def _state_of(path: Path) -> _State:
    state = os.stat(path)  # noqa: PTH116 -- half as long as the method of the path
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
