"""How long a backup, its check and a restore take, and what a kill in the middle costs.

python benchmarks/backup.py [--gb GB] [--small FILES] [--folder DIR]

A lake of large tape files that do not compress and of thousands of small ones is copied plainly (copy, flush, SHA-256
of the copy) as the reference; then `smallcaps backup` runs as a process of its own: for the first time, again with
nothing changed, and again after one large and ten small files came; once it is killed with SIGKILL in the middle and
run again.
Then everything is checked and restored, and the restored bytes are compared. DIR needs room for three lakes. Prints a
table in markdown; the last line is one JSON object; the exit code is 1 if a byte differs.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets_tests.small_lake import fresh_clone

LARGE_BYTES = 96_000_000
CHUNK = 1 << 22
# share of the bytes that are stored when the backup is killed
KILLED_AT = 0.5
POLL_S = 0.1


def make_files(lake: Path, first: int, large: int, small: int) -> None:
    """Publish tape files of random numbers: zstd makes them no smaller."""
    chance = np.random.default_rng(first)
    for number in range(first, first + large):
        rows = pl.DataFrame({"x": chance.integers(0, 1 << 63, LARGE_BYTES // 8, dtype=np.uint64)})
        publish_frame(tape_file(lake, "large", number), rows, {}, below=lake)
    for number in range(first, first + small):
        rows = pl.DataFrame({"x": chance.integers(0, 1 << 63, 400, dtype=np.uint64)})
        publish_frame(tape_file(lake, "small", number), rows, {}, below=lake)


def tape_file(lake: Path, kind: str, number: int) -> Path:
    folder = (
        lake / "tape" / "core" / ("trades" if kind == "large" else "quotes") / "wave=RTH" / f"symbol=S{number % 500}"
    )
    return folder / f"20251112T{number:06}_20251112T{number + 1:06}.parquet"


def files_of(lake: Path) -> list[Path]:
    """Those that belong to a lake: no locks."""
    return sorted(path for path in lake.rglob("*") if path.is_file() and "/." not in path.as_posix())


def plain_copy(lake: Path, target: Path) -> float:
    """Copy every file, flush it, and read it back for its SHA-256; returns the seconds."""
    began = time.monotonic()
    for path in files_of(lake):
        copy = target / path.relative_to(lake)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb", buffering=0) as source, copy.open("wb", buffering=0) as written:
            while chunk := source.read(CHUNK):
                written.write(chunk)
            os.fsync(written.fileno())
            os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        sha256(copy)
    return time.monotonic() - began


def sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Commands:
    """`smallcaps` in a folder with settings, as processes."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "smallcaps_assets.cli", *map(str, words), "--json"]
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=os.environ | {"SMALLCAPS_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str | Path) -> tuple[dict[str, object], float]:
        """What a command prints, and the seconds of its whole process."""
        began = time.monotonic()
        process = self.start(*words)
        printed, _ = process.communicate()
        if process.returncode:
            sys.exit(f"{words}: exit code {process.returncode}")
        return json.loads(printed), time.monotonic() - began


def stored_bytes(backup: Path) -> int:
    return sum(path.stat().st_size for path in (backup / "objects").glob("??/*"))


def different(lake: Path, restored: Path) -> list[str]:
    """Files that are not the same in both."""
    ours, theirs = ({path.relative_to(root): path for path in files_of(root)} for root in (lake, restored))
    found = [str(name) for name in ours.keys() ^ theirs.keys()]
    return found + [str(name) for name in ours.keys() & theirs.keys() if sha256(ours[name]) != sha256(theirs[name])]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--folder", type=Path)
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        result = measure(Path(folder), max(1, round(flags.gb * 1e9 / LARGE_BYTES)), flags.small)
    rows = [(name, value) for name, value in result.items() if name.endswith("_s")]
    print("| step | s |\n|---|---|")
    for name, value in rows:
        print(f"| {name.removesuffix('_s').replace('_', ' ')} | {value:,.1f} |")
    print(json.dumps(result))
    return 1 if result["different"] else 0


def measure(folder: Path, large: int, small: int) -> dict[str, object]:
    home, backup = folder / "home", folder / "backup"
    home.mkdir()
    commands, lake = Commands(fresh_clone(home)), folder / "lake"
    lake.mkdir()
    make_files(lake, 0, large, small)
    size = sum(path.stat().st_size for path in files_of(lake))
    take = ("backup", backup, "--lake", lake, "--no-state")
    plain_s = plain_copy(lake, folder / "plain")
    shutil.rmtree(folder / "plain")
    first, first_s = commands.run(*take)
    again, again_s = commands.run(*take)
    make_files(lake, 100_000, 1, 10)
    changed, changed_s = commands.run(*take)
    _, check_s = commands.run("backup", "--check", backup)
    restored, restore_s = commands.run("restore", backup, "--lake", folder / "restored", "--no-state")
    found = different(lake, folder / "restored")
    shutil.rmtree(folder / "restored")
    shutil.rmtree(backup)
    process = commands.start(*take)
    began = time.monotonic()
    while stored_bytes(backup) < KILLED_AT * size and process.poll() is None:
        time.sleep(POLL_S)
    process.kill()
    process.communicate()
    killed_s, stored = time.monotonic() - began, stored_bytes(backup)
    continued, continued_s = commands.run(*take)
    return {
        "files": len(files_of(lake)),
        "bytes": size,
        "plain_copy_and_sha256_s": plain_s,
        "first_backup_s": first_s,
        "nothing_changed_s": again_s,
        "one_large_and_ten_small_files_s": changed_s,
        "check_s": check_s,
        "restore_s": restore_s,
        "killed_after_s": killed_s,
        "continued_s": continued_s,
        "new_bytes": [one["new_bytes"] for one in (first, again, changed)],
        "bytes_when_killed": stored,
        "new_bytes_when_continued": continued["new_bytes"],
        "restored_files": restored["lake_files"],
        "different": found,
    }


if __name__ == "__main__":
    raise SystemExit(main())
