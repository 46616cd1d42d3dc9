"""A file at its final path is complete, whatever happens to its writer."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.errors import LakeError
from smallcaps_assets.lake.files.publish import (
    provenance_of,
    publish,
    publish_changed,
    publish_frame,
    publish_lazy,
    publish_text,
    require_writable,
    sha256,
    sweep,
    sweep_below,
)

FRAME = pl.DataFrame({"symbol": ["A", "B"], "close": [1.5, None]})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_frame_reads_back_with_its_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "table.parquet"
    provenance = {"sessions": {"2025-11-05": "1-ab"}, "events_merged": ["é", "|"], "requests": 3, "none": None}
    publish_frame(path, FRAME, provenance, below=tmp_path)
    assert provenance_of(path) == provenance
    assert pl.read_parquet(path).equals(FRAME)
    assert names(path.parent) == ["table.parquet"]


def test_a_frame_without_provenance(tmp_path: Path) -> None:
    publish_frame(tmp_path / "a.parquet", FRAME)
    FRAME.write_parquet(tmp_path / "b.parquet")
    assert provenance_of(tmp_path / "a.parquet") is None
    assert provenance_of(tmp_path / "b.parquet") is None


def test_the_same_frame_is_the_same_bytes(tmp_path: Path) -> None:
    publish_frame(tmp_path / "a.parquet", FRAME, {"b": 1, "a": 2})
    publish_frame(tmp_path / "b.parquet", FRAME, {"a": 2, "b": 1})
    assert sha256(tmp_path / "a.parquet") == sha256(tmp_path / "b.parquet")


def test_a_frame_on_disk_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "part.parquet")
    frame = pl.scan_parquet([tmp_path / "part.parquet"] * 2)
    publish_lazy(tmp_path / "a.parquet", frame, 4)
    assert pl.read_parquet(tmp_path / "a.parquet").equals(pl.concat([FRAME, FRAME]))
    with pytest.raises(LakeError, match=r"b\.parquet: what was written does not read back"):
        publish_lazy(tmp_path / "b.parquet", frame, 5)
    (tmp_path / "part.parquet").unlink()
    with pytest.raises(LakeError, match=r"b\.parquet: cannot be written"):
        publish_lazy(tmp_path / "b.parquet", frame, 4)
    assert names(tmp_path) == ["a.parquet"]


class RowsLost(pl.DataFrame):
    """A frame that loses a row when written."""

    def write_parquet(self, file: Any, **options: Any) -> None:
        pl.DataFrame(self.to_dicts()[:-1], schema=self.schema).write_parquet(file, **options)


class TypeChanged(pl.DataFrame):
    """A frame that changes the type of a column when written."""

    def write_parquet(self, file: Any, **options: Any) -> None:
        pl.DataFrame(self.to_dict()).with_columns(pl.col("close").cast(pl.Float32)).write_parquet(file, **options)


@pytest.mark.parametrize("damaged", [RowsLost, TypeChanged])
def test_a_frame_that_does_not_read_back_is_not_published(tmp_path: Path, damaged: type[pl.DataFrame]) -> None:
    path = tmp_path / "table.parquet"
    publish_frame(path, FRAME)
    with pytest.raises(LakeError, match=r"table\.parquet: what was written does not read back"):
        publish_frame(path, damaged(FRAME.to_dict()), {"new": True})
    assert pl.read_parquet(path).equals(FRAME)
    assert provenance_of(path) is None
    assert names(tmp_path) == ["table.parquet"]


@pytest.fixture
def disk_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Flushes to disk and renames, in order: what happened, and the number of the file's inode."""
    calls: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append(("flushed", os.fstat(descriptor).st_ino))

    def recorded_replace(source: Path, target: Path) -> None:
        replace(source, target)
        calls.append(("renamed", target.stat().st_ino))

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    return calls


@pytest.mark.parametrize(
    "write",
    [
        lambda path: publish_frame(path, FRAME),
        lambda path: publish_lazy(path, FRAME.lazy(), FRAME.height),
        lambda path: publish_text(path, "text"),
    ],
    ids=["frame", "lazy frame", "text"],
)
def test_a_file_is_flushed_to_disk_before_it_is_renamed_into_place(
    tmp_path: Path, disk_calls: list[tuple[str, int]], write: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    write(path)
    inode = path.stat().st_ino
    assert disk_calls == [("flushed", inode), ("renamed", inode)]


def test_row_groups_carry_statistics(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    publish_frame(tmp_path / "a.parquet", FRAME)
    column = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0)
    assert column.statistics is not None
    assert (column.statistics.min, column.compression) == ("A", "ZSTD")


@pytest.mark.parametrize("existing", [True, False])
def test_a_failing_writer_changes_nothing(tmp_path: Path, existing: bool) -> None:
    path = tmp_path / "table.parquet"
    if existing:
        publish_text(path, "old")

    def write(part: Path) -> None:
        part.write_bytes(b"half a ta")
        raise RuntimeError("the writer failed")

    with pytest.raises(RuntimeError, match="the writer failed"):
        publish(path, write)
    assert names(tmp_path) == (["table.parquet"] if existing else [])
    assert not existing or path.read_text() == "old"


def test_a_full_disk_is_reported_with_the_file_and_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    publish_text(path, "old")

    def write(part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(LakeError, match=r"table\.parquet: cannot be written \(No space left on device\)"):
        publish(path, write)
    assert names(tmp_path) == ["table.parquet"]
    assert path.read_text() == "old"


def test_a_folder_that_cannot_be_made_is_a_lake_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    below = tmp_path / "file" / "bars" / "2025-11.parquet"
    with pytest.raises(LakeError, match="cannot be written"):
        publish_frame(below, FRAME)
    with pytest.raises(LakeError, match="cannot be written"):
        require_writable(tmp_path / "file" / "lake")


def test_a_file_that_is_not_parquet_is_a_lake_error(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 but no more")
    with pytest.raises(LakeError, match=r"table\.parquet: cannot be read"):
        provenance_of(path)
    path.write_bytes(b"")
    with pytest.raises(LakeError, match=r"table\.parquet: cannot be read"):
        provenance_of(path)
    with pytest.raises(LakeError, match="cannot be read"):
        sha256(tmp_path / "nowhere")


def test_a_lake_that_can_be_written_to_is_left_clean(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "lake")
    assert names(tmp_path / "new" / "lake") == []


KILLED = """
import sys
from pathlib import Path
import psutil
from smallcaps_assets.lake.files.publish import publish

def write(part):
    part.write_bytes(b"half a table")
    print("writing", flush=True)
    if sys.argv[2] == "killed":
        psutil.Process().kill()
    sys.stdin.read()

publish(Path(sys.argv[1]), write)
"""


def writer(path: Path, fate: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), fate], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"writing"
    return process


def parts(folder: Path) -> list[str]:
    return [name for name in names(folder) if name.endswith(".part")]


@pytest.mark.slow
def test_the_next_publication_removes_remains_of_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    publish_text(path, "old")
    with writer(path, "killed") as process:
        process.wait(timeout=20)
    assert process.returncode == (15 if sys.platform == "win32" else -9)
    assert len(parts(tmp_path)) == 1
    assert path.read_text() == "old"
    publish_text(tmp_path / "neighbour.parquet", "other")
    assert len(parts(tmp_path)) == 1
    publish_text(path, "new")
    assert names(tmp_path) == ["neighbour.parquet", "table.parquet"]


@pytest.mark.slow
def test_a_writer_that_is_still_at_work_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    with writer(path, "waits") as process:
        publish_text(path, "mine")
        assert len(parts(tmp_path)) == 1
        process.communicate(b"", timeout=20)
    assert process.returncode == 0
    # both were whole; the last one to end stays
    assert path.read_text() == "half a table"
    assert parts(tmp_path) == []


def test_remains_without_a_running_process_are_removed(tmp_path: Path) -> None:
    for owner in ("0123abcd", "999999999-1", f"{os.getpid()}-1"):
        (tmp_path / f".table.parquet.{owner}.0a.part").write_bytes(b"")
    sweep(tmp_path / "table.parquet")
    assert names(tmp_path) == []


def test_a_frame_is_published_again_only_if_rows_types_or_provenance_differ(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    whole = pl.DataFrame({"count": [1, 2]})
    assert publish_changed(path, whole, {"by": 1})
    assert not publish_changed(path, whole, {"by": 1})
    assert publish_changed(path, whole, {"by": 2})
    assert provenance_of(path) == {"by": 2}
    assert publish_changed(path, whole.cast(pl.Int32), {"by": 2})
    assert publish_changed(path, whole.head(1).cast(pl.Int32), {"by": 2})


def test_only_remains_of_the_named_files_are_removed(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        (tmp_path / f".{name}.999999999-1.0a.part").write_bytes(b"")
    sweep_below(tmp_path, ".*.part", of={"a.parquet"})
    assert names(tmp_path) == [".b.parquet.999999999-1.0a.part"]
    sweep_below(tmp_path, ".*.part")
    assert names(tmp_path) == []


def test_two_threads_publish_one_path_and_each_time_one_of_them_wins(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    failures: list[BaseException] = []
    seen: set[bytes] = set()

    def work(text: str) -> None:
        try:
            for _ in range(100):
                publish_text(path, text)
                seen.add(path.read_bytes())
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the test must tell it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in ("a" * 10_000, "b" * 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert seen <= {b"a" * 10_000, b"b" * 10}
    assert names(tmp_path) == ["table.parquet"]


def test_text_has_line_feeds_on_every_system(tmp_path: Path) -> None:
    publish_text(tmp_path / "a.json", "é\n")
    assert (tmp_path / "a.json").read_bytes() == b"\xc3\xa9\n"


def test_remains_that_cannot_be_removed_are_ignored(tmp_path: Path) -> None:
    (tmp_path / ".table.parquet.0123abcd.0a.part").mkdir()  # cannot be unlinked, like an open file on Windows
    publish_text(tmp_path / "table.parquet", "whole")
    assert (tmp_path / "table.parquet").read_text() == "whole"
