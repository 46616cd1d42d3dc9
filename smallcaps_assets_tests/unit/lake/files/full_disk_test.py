"""A disk without room is named as that wherever it ends, and work continues once it has room."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from smallcaps_assets.errors import DiskFull
from smallcaps_assets.lake.files.publish import publish_frame, publish_lazy, publish_text

FRAME = pl.DataFrame({f"column {number}": ["a", "b", None] for number in range(12)})
REMEDY = "no incomplete file was left in place, and published data is not fetched again."


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The system refuses to extend files of this process beyond a size, as a disk without room does."""
    resource = pytest.importorskip("resource", reason="Windows has no limit of file sizes")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: publish_frame(path, FRAME, {"sessions": "s" * 300}),
        lambda path: publish_lazy(path, FRAME.lazy(), FRAME.height),
        lambda path: publish_text(path, "text" * 500),
    ],
    ids=["frame", "lazy frame", "text"],
)
def test_wherever_the_room_ends_the_disk_is_named_as_full(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "table.parquet"
    write(path)
    whole = path.read_bytes()
    # within rows, within the footer, and at its very end
    for room in {*range(0, len(whole), max(1, len(whole) // 40)), *range(len(whole) - 12, len(whole))}:
        with files_of_at_most(room), pytest.raises(DiskFull, match="File too large") as refused:
            write(path)
        assert REMEDY in str(refused.value)
        assert "Invalid thrift" not in str(refused.value)
        assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]
        assert path.read_bytes() == whole
    write(path)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system in memory with its own limits, where this user may mount one."""
    if shutil.which("mount") is None:
        pytest.skip("there is no command mount")
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_small_disk_is_full_at_every_place_of_a_file(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=128k"):
        publish_frame(tmp_path / "small.parquet", FRAME)
        filler = tmp_path / "filler"
        large = pl.select(n=pl.int_range(6_000).hash())
        for pages in range(20, 30):
            filler.write_bytes(b"f" * 4096 * pages)
            with pytest.raises(DiskFull, match=r"cannot be written \(No space left on device\)") as refused:
                publish_frame(tmp_path / "large.parquet", large)
            assert "The file needs up to 0.05 MB and the disk has" in str(refused.value)
            assert not (tmp_path / "large.parquet").exists()
        filler.unlink()
        publish_frame(tmp_path / "large.parquet", large)


def test_a_disk_without_inodes_is_not_said_to_have_megabytes_free(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=20m", "nr_inodes=4"):
        for name in "abc":
            (tmp_path / name).touch()
        with pytest.raises(DiskFull) as refused:
            publish_frame(tmp_path / "table.parquet", FRAME)
        assert "The disk has no free inodes: 20.97 MB are free, but it can hold no further file." in str(refused.value)
        (tmp_path / "a").unlink()
        publish_frame(tmp_path / "table.parquet", FRAME)
