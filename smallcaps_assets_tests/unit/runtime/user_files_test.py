"""Hidden files and backup copies below a user's folder are left out and counted; what a user names is read."""

import sys
from pathlib import Path

import pytest

from smallcaps_assets.runtime.user_files import find_user_files

VISIBLE = (
    "ABCD.parquet",
    "2025/11/bars.csv.gz",
    "symbol=BRK.B/date=2025-11-10.parquet",
    "_data/x.parquet",
    "old/A.csv",
    "COPY.parquet",
    "Copyright/photocopy (1).csv",
)
HIDDEN = (
    *(".ipynb_checkpoints/ABCD-checkpoint.parquet", ".Trash/ABCD.parquet", ".Trash-1000/files/ABCD.parquet"),
    *("__MACOSX/ABCD.parquet", "__macosx/._ABCD.parquet", "2025/._ABCD.parquet", ".git/lfs/ABCD.parquet"),
    *("ABCD.parquet~", "ABCD~.parquet", "minute~/ABCD.parquet", "#ABCD.parquet#", "~$ABCD.csv"),
    *("ABCD.bak.parquet", "ABCD.parquet.bak", "minute.bak/ABCD.parquet", "bars.csv.gz.part", "bars.old.csv.gz"),
    *("$RECYCLE.BIN/S-1-5-21/$RABCD.parquet", "System Volume Information/x.parquet", "@eaDir/ABCD.parquet"),
    *("ABCD - Copy.parquet", "ABCD - Copy (2).csv", "ABCD copy.parquet", "ABCD copy 3.parquet", "ABCD (copy).csv.gz"),
    *("Copy of ABCD.parquet", "minute - Copy/ABCD.parquet", "bars_copy.parquet"),
    *("ABCD - Kopie.parquet", "Kopie von ABCD.csv", "ABCD - copie (2).parquet", "ABCD-checkpoint.parquet"),
    *("Thumbs.db", "table/_change_data/cdc-0.parquet", "table/_delta_log/00.checkpoint.parquet"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Below a hidden folder itself."""
    folder = tmp_path / ".cache" / "bars.bak"
    for name in (*VISIBLE, *HIDDEN):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def names(folder: Path, files: list[Path]) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in files}


@pytest.mark.parametrize("pattern", ["", "**/*"])
def test_hidden_files_below_what_was_given_are_left_out(pattern: str, folder: Path) -> None:
    found = find_user_files(folder / pattern)
    assert names(folder, found.files) == set(VISIBLE)
    assert names(folder, found.left_out) == set(HIDDEN)
    assert found.files == find_user_files(folder / "**/*").files


def test_a_file_comes_before_its_numbered_copies(tmp_path: Path) -> None:
    """As browsers name another download: the first bar of a minute stays."""
    for name in ("ABCD (1).parquet", "ABCD.parquet", "ABCD-2.csv", "ABC.csv.gz", "2025/ABCD.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in find_user_files(tmp_path).files]
    assert found == ["2025/ABCD.csv", "ABC.csv.gz", "ABCD.parquet", "ABCD (1).parquet", "ABCD-2.csv"]


def test_what_was_left_out_is_counted_with_an_example(folder: Path) -> None:
    found = find_user_files(folder, lambda file: ".Trash" in file.parts)
    assert found.files == []
    assert found.note() == f"left out 1 hidden file or backup copy, e.g. {folder / '.Trash' / 'ABCD.parquet'}"
    assert find_user_files(folder / "old").note() is None
    assert (find_user_files(folder).note() or "").startswith(
        f"left out {len(HIDDEN)} hidden files or backup copies, e.g."
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (".Trash/ABCD.parquet", {".Trash/ABCD.parquet"}),
        ("ABCD~.parquet", {"ABCD~.parquet"}),
        (".git", {".git/lfs/ABCD.parquet"}),
        (".git/*/*.parquet", {".git/lfs/ABCD.parquet"}),
        (".Tr*/**/*.parquet", {".Trash/ABCD.parquet", ".Trash-1000/files/ABCD.parquet"}),
        ("*/ABCD-check*.parquet", set()),
    ],
)
def test_what_is_named_is_read_wherever_it_lies(given: str, read: set[str], folder: Path) -> None:
    assert names(folder, find_user_files(folder / given).files) == read


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_to_a_file_that_is_gone_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").touch()
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone.parquet")
    for given in (tmp_path, f"{tmp_path}/*.parquet"):
        found = find_user_files(given)
        assert found.files == [tmp_path / "a.parquet"]
        assert found.note() == f"left out 1 link to a file that is gone, e.g. {tmp_path / 'b.parquet'}"


def test_a_name_that_does_not_exist_names_nothing(tmp_path: Path) -> None:
    assert find_user_files(tmp_path / "none.parquet").files == []


def test_a_relative_path_is_searched_below_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for given in (".", "*.parquet", "../bars.bak/*.parquet"):
        found = find_user_files(given)
        assert "ABCD.parquet" in {file.name for file in found.files}
        assert not any(file.name.startswith("._") for file in found.files)
