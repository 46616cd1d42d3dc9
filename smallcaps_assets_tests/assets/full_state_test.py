"""A run while the disk of Dagster's state takes nothing: what it published stays, and the next run fetches the rest."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites

FIRST, LAST = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
BARS = dg.AssetKey("minute_bars")


def mount(folder: Path, options: str) -> None:
    """Mount a small file system in memory at a folder, or change how it is mounted."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"file systems cannot be mounted here: {done.stderr.decode().strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own for Dagster's state."""
    if shutil.which("mount") is None:
        pytest.skip("there is no command mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=20m,nr_inodes=60")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    (disk / "filler").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))


def use_inodes(disk: Path) -> None:
    for number in range(os.statvfs(disk).f_favail):
        (disk / f"filler-{number}").touch()


def remove_fillers(disk: Path) -> None:
    for file in disk.glob("filler*"):
        file.unlink()


class Fault:
    """Breaks the disk when the answer to a request is awaited, and counts the requests."""

    def __init__(self, at: int, cause: Callable[[], None]) -> None:
        self.at, self.cause, self.requests = at, cause, 0

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG002
        self.requests += "/aggs/" in path
        if self.requests == self.at:
            self.cause()
        return None


def months(platform: Platform) -> set[Path]:
    return set(platform.lake.minute_bars.glob("*/*.parquet"))


@pytest.mark.long
def test_a_run_loses_nothing_that_it_published_when_its_state_cannot_be_written(disk: Path, sites: Sites) -> None:
    faults = [lambda: fill(disk), lambda: use_inodes(disk)]
    refused = r"(?i)disk|readonly|unable to open|no space"
    for platform in sites.opened(disk / "state"):
        platform.overrides["fetch_threads"] = 1
        platform.run("universe")
        kept = set[Path]()
        for symbol, cause in zip(SYMBOLS_OF_MARKET, faults, strict=False):
            platform.gate.rule = fault = Fault(1, cause)
            # Dagster cannot even record that the run failed
            with pytest.raises(Exception, match=refused):
                platform.run("minute_bars", first=symbol, last=symbol, fails=True)
            assert fault.requests
            assert months(platform) >= kept
            kept = months(platform)
            remove_fillers(disk)
        platform.gate.rule = fault = Fault(0, lambda: None)
        # a file system with files that are being written to cannot be mounted read-only by hand
        mount(disk, "remount,ro")
        with pytest.raises(Exception, match=refused):
            platform.run("minute_bars", first=FIRST, last=LAST, fails=True)
        mount(disk, "remount,rw")
        # a run that cannot be recorded does not begin
        assert (fault.requests, months(platform)) == (0, kept)
        assert 0 < len(kept) <= 4
        assert not list(platform.root.rglob("*.part"))
        platform.run("minute_bars", first=FIRST, last=LAST)
        # each symbol has two months, each a request; what was published is not requested again
        assert (len(months(platform)), fault.requests) == (8, 8 - len(kept))
        assert platform.materialized(BARS) == set(SYMBOLS_OF_MARKET)
