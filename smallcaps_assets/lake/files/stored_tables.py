"""Tables of the lake as they are read: a damaged file is named, with how to get it back."""

import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from smallcaps_assets.domain.tables import match_columns
from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.content_hash import DAMAGE, Proof, ProofState, proof_and_entry, proof_of
from smallcaps_assets.lake.files.misplaced import file_in_the_way, require_no_folder
from smallcaps_assets.lake.files.publish import PROVENANCE, disk_errors
from smallcaps_assets.lake.files.remedies import how_to_restore


def is_stored(path: Path) -> bool:
    """Whether there is a file.

    Raises:
        LakeError: a folder is in its place, or a file in that of its folder, or that is closed to this user.
    """
    with disk_errors("read", path):
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116 -- methods of the path take what cannot be looked up for absent
        except FileNotFoundError:
            return False
        except NotADirectoryError as error:
            raise file_in_the_way(path) from error
        if stat.S_ISDIR(mode):
            require_no_folder(path)
        return stat.S_ISREG(mode)


def read_table(path: Path, schema: Mapping[str, pl.DataType], added: Collection[str] = ()) -> pl.DataFrame:
    """A table of the lake, with the columns of `schema`; null in those of `added` that earlier releases did not write.

    Raises:
        LakeError: it is damaged or cannot be read, or has other columns.
    """
    prove(path)
    with disk_errors("read", path):
        rows = pl.scan_parquet(path, hive_partitioning=False, glob=False)
        return match_columns(rows, schema, str(path), added).collect()


def prove(path: Path) -> str | None:
    """Make sure that a table is not damaged; returns its hash, or None of a file of an earlier release.

    Raises:
        LakeError: it is damaged or cannot be read.
    """
    with disk_errors("read", path):
        proof = proof_of(path)
    _require_no_damage(path, proof)
    return proof.sha256


def proven_provenance(path: Path) -> dict[str, Any] | None:
    """`provenance_of` a file that is proven; None of a file of an earlier release. The file is read once.

    Raises:
        LakeError: it is damaged or cannot be read.
    """
    with disk_errors("read", path):
        proof, text = proof_and_entry(path, PROVENANCE)
        found = json.loads(text) if text is not None and proof.state is ProofState.INTACT else None
    _require_no_damage(path, proof)
    return found if isinstance(found, dict) else None


def _require_no_damage(path: Path, proof: Proof) -> None:
    if proof.state is ProofState.DAMAGED:
        raise LakeError(f"{path}: is {DAMAGE}. {how_to_restore(path)}", path).with_facts(DAMAGE)


@contextmanager
def naming_damaged(files: Sequence[Path], folder: Path, schema: Mapping[str, pl.DataType]) -> Iterator[None]:
    """`disk_errors` where many files are read at once: names the first one that is damaged, else their folder.

    Args:
        files: what is read.
        folder: where they are.
        schema: the columns that each must have.

    Raises:
        LakeError: a file cannot be read, or lacks columns.
    """
    try:
        with disk_errors("read", files[0] if len(files) == 1 else folder):
            yield
    except LakeError:
        for file in files if len(files) > 1 else ():
            read_table(file, schema)
        raise
