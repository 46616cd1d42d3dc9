"""One proof of a file serves until the file changes."""

import hashlib
import os
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.proven_files import prove_anew, prove_once
from smallcaps_assets.lake.files.publish import publish_frame

ROWS = pl.DataFrame({"price": [1.5, 2.25, None]})


def test_what_another_file_takes_the_place_of_is_proved_again(tmp_path: Path) -> None:
    path, other = tmp_path / "table.parquet", tmp_path / "other.parquet"
    first = publish_frame(path, ROWS)
    assert prove_anew(path) == prove_once(path) == first
    second = publish_frame(other, ROWS.reverse())
    assert other.stat().st_size == path.stat().st_size
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    os.replace(other, path)  # noqa: PTH105 -- replaces an existing file on every system
    assert prove_once(path) == second == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_damaged_after_its_proof_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    publish_frame(path, ROWS)
    prove_once(path)
    path.write_bytes(path.read_bytes()[:-1] + b"2")
    for _ in range(2):
        with pytest.raises(LakeError, match=r"table\.parquet: is damaged"):
            prove_once(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match=r"gone\.parquet: cannot be read"):
        prove_once(tmp_path / "gone.parquet")
