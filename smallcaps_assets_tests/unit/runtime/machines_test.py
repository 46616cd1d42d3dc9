"""Marks of machines: what is looked up, what counts as running, and what has ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smallcaps_assets.lake.files import publish
from smallcaps_assets.runtime.machines import is_before_reboot, is_this_machine, machine_mark
from smallcaps_assets.runtime.processes import is_alive, is_elsewhere, process_here, process_identity

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def other(mark: str, *, host: bool = False, boot: bool = False, table: bool = False) -> str:
    """A mark with other hosts, boots or process tables: every digit of that part replaced by its complement."""
    parts = zip((mark[:8], mark[8:12], mark[12:]), (host, boot, table), strict=True)
    return "".join("".join(f"{15 - int(digit, 16):x}" for digit in part) if change else part for part, change in parts)


def other_machine() -> str:
    """The mark of another machine."""
    return other(machine_mark(), host=True)


def identity_on(machine: str) -> str:
    """The identity of this very process, as if it ran on another machine."""
    return f"{process_identity().rpartition('-')[0]}-{machine}"


def test_this_process_is_here() -> None:
    assert process_identity().endswith(f"-{machine_mark()}")
    assert is_this_machine(machine_mark())
    assert is_alive(process_identity())
    assert not is_elsewhere(process_identity())
    found = process_here(process_identity())
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("change", [{"host": True}, {"table": True}, {"host": True, "boot": True}])
def test_a_process_of_another_machine_counts_as_running_and_is_never_looked_up(change: dict[str, bool]) -> None:
    elsewhere = identity_on(other(machine_mark(), **change))
    assert is_alive(elsewhere)
    assert is_elsewhere(elsewhere)
    assert process_here(elsewhere) is None


def test_a_process_from_before_a_reboot_has_ended() -> None:
    before = other(machine_mark(), boot=True, table=True)
    assert is_before_reboot(before)
    assert not is_alive(identity_on(before))
    assert not is_elsewhere(identity_on(before))
    assert process_here(identity_on(before)) is None


def test_an_identity_of_an_earlier_release_is_of_this_machine() -> None:
    pid, start, _ = process_identity().split("-")
    assert is_alive(f"{pid}-{start}")
    assert not is_alive(f"{pid}-{int(start) + 60}")
    assert not is_elsewhere("999999999-1")
    assert not is_alive("999999999-1")


@pytest.mark.parametrize("text", ["", "-", "x", "1-", "-1", "1.5-2", "pid-1-aa"])
def test_text_of_another_form_is_no_running_process(text: str) -> None:
    assert not is_alive(text)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has several process tables")
def test_the_same_process_id_in_a_container_is_another_process() -> None:
    code = "from smallcaps_assets.runtime.processes import process_identity; print(process_identity())"
    made = subprocess.run([*NAMESPACE, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this machine starts no process table of its own: {made.stderr}")
    inside = made.stdout.strip()
    assert inside.partition("-")[0] == "1", "the first process of its table"
    # has ended, which nobody out here can see; process 1 of this table is not it
    assert is_elsewhere(inside)
    assert is_alive(inside)
    assert process_here(inside) is None


@contextmanager
def parts_of(folder: Path, *identities: str) -> Iterator[list[Path]]:
    parts = [folder / f".table.parquet.{identity}.{number}.part" for number, identity in enumerate(identities)]
    for part in parts:
        part.touch()
    yield parts


def test_a_file_in_the_making_on_another_machine_stays_until_its_lease_is_over(tmp_path: Path) -> None:
    elsewhere = identity_on(other(machine_mark(), host=True))
    rebooted = identity_on(other(machine_mark(), boot=True))
    with parts_of(tmp_path, elsewhere, elsewhere, rebooted, process_identity()) as (fresh, old, ended, own):
        written = fresh.stat().st_mtime - publish.LEASE_S - 60
        os.utime(old, (written, written))
        os.utime(own, (written, written))
        publish.sweep(tmp_path / "table.parquet")
        assert sorted(tmp_path.iterdir()) == sorted([fresh, own])
        assert not old.exists()
        assert not ended.exists()
