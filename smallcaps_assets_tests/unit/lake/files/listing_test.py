"""Folders of the lake: what cannot be listed is no empty folder."""

import errno
import os
import re
from pathlib import Path

import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.listing import list_paths
from smallcaps_assets.lake.files.publish import disk_errors
from smallcaps_assets.lake.files.remedies import how_to_restore
from smallcaps_assets.lake.files.stored_tables import is_stored

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tape."""
    for wave, symbol in (("PM", "A"), ("RTH", "A"), ("RTH", "B")):
        place = tmp_path / "tape" / "core" / "trades" / f"wave={wave}" / f"symbol={symbol}"
        place.mkdir(parents=True)
        (place / "1.parquet").touch()
        (place / "1.json").touch()
    return tmp_path / "tape" / "core" / "trades"


def test_the_paths_of_a_pattern(folder: Path) -> None:
    assert sorted(list_paths(folder, "wave=*/symbol=*/*.parquet")) == sorted(folder.rglob("*.parquet"))
    assert sorted(path.name for path in list_paths(folder, "wave=*")) == ["wave=PM", "wave=RTH"]
    assert list_paths(folder / "none", "wave=*/symbol=*") == []


@pytest.mark.parametrize("place", [".", "wave=PM", "wave=RTH/symbol=B"])
def test_a_file_in_the_place_of_a_folder_is_named(folder: Path, place: str) -> None:
    moved = folder / place
    moved.rename(folder.with_name("aside"))
    moved.touch()
    words = f"{moved}: is a file, where a folder belongs: move the file away. {how_to_restore(moved)}"
    with pytest.raises(LakeError, match=re.escape(words)):
        list_paths(moved, "*")
    if moved != folder:
        found = list_paths(folder, "wave=*/symbol=*/*.parquet")
        assert found
        assert not any(path.is_relative_to(moved) for path in found)
    with pytest.raises(LakeError, match=re.escape(words)):
        is_stored(moved / "symbol=A" / "1.parquet")


@pytest.mark.skipif(IS_ROOT or os.name == "nt", reason="every folder is open to root")
def test_a_closed_folder_is_named(folder: Path) -> None:
    closed = folder / "wave=RTH"
    closed.chmod(0)
    try:
        with pytest.raises(LakeError, match=re.escape(f"{closed}: cannot be read (Permission denied)")):
            list_paths(folder, "wave=*/symbol=*/*.parquet")
    finally:
        closed.chmod(0o755)


def test_what_is_only_closed_to_this_user_is_to_be_opened_first(folder: Path) -> None:
    path = folder / "wave=PM" / "symbol=A" / "20251126T145700_20251126T150700.parquet"
    words = f"{path}: cannot be read (Permission denied). Let this user read it. Otherwise: {how_to_restore(path)}"
    with pytest.raises(LakeError, match=re.escape(words)), disk_errors("read", path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
