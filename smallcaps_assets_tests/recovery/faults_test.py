"""Kills, hangs and cancellations while bars are fetched: work completes, nothing is lost, no slot stays taken.

And a second web UI, which would launch everything twice.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil
import pytest

from smallcaps_assets.commands.services.processes import SERVICES, WEB_SERVER
from smallcaps_assets.runtime.processes import is_running, wait_until_gone
from smallcaps_assets.settings.settings import HOME_VARIABLE
from smallcaps_assets_tests.recovery.platform import MONTHS, PER_RUN, SYMBOLS, UNDER_WAY, Platform
from smallcaps_assets_tests.web_server import RUNS_S, until

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
DAEMON = "dagster._daemon"
CODE = ("grpc", "code-server")


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()
    assert not wait_until_gone(processes, within_s=20)


def expect_retry(platform: Platform, run_id: str, requested_twice: list[str]) -> None:
    """Wait for a successful repetition of the run; no slot is taken then, and only these requests were sent twice."""
    until("the retry succeeds", lambda: [run.status for run in platform.retries_of(run_id)] == [SUCCESS], RUNS_S)
    assert platform.run(run_id).status == FAILURE
    assert platform.months() == PER_RUN * MONTHS
    assert platform.requested_twice() == sorted(requested_twice)
    assert platform.slots_taken() == 0


def expect_end_of_all_services(platform: Platform, name: str, killed: psutil.Process) -> None:
    code = "exit code -9 (SIGKILL)" if sys.platform != "win32" else "exit code 15"
    platform.wait_until_ended(f"{name} (process {killed.pid}) ended with {code}")
    assert not platform.services(DAEMON, WEB_SERVER, "code-server")


def test_a_second_web_ui_is_rejected_and_names_the_address_of_the_first(platform: Platform) -> None:
    before = platform.services(*SERVICES)
    second = subprocess.run(
        [sys.executable, "-m", "smallcaps_assets.cli", "ui", "--port", "0", "--lake", str(platform.lake)],
        cwd=platform.home,
        env=os.environ | {HOME_VARIABLE: str(platform.home), "MASSIVE_API_KEY": "a-key-of-tests"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert second.returncode == 2
    assert f"the web UI is open at {platform.ui.url} on this lake already" in second.stderr
    assert f"(process {platform.ui.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert platform.services(*SERVICES) == before


def test_a_run_whose_process_is_killed_is_repeated(platform: Platform) -> None:
    hold = platform.hold()
    run_id = platform.launch(0, PER_RUN - 1)
    platform.wait_until_it_waits(hold)
    first, second, *others = platform.ui.symbols()[:PER_RUN]
    more = f" +{len(others)}" if others else ""
    assert platform.run(run_id).tags["smallcaps/symbols"] == f"{first}, {second}{more}"
    kill(platform.worker(run_id))
    hold.release()
    expect_retry(platform, run_id, hold.waiting)


@pytest.mark.long
def test_a_run_continues_without_its_code_server(platform: Platform) -> None:
    hold = platform.hold()
    run_id = platform.launch(0, PER_RUN - 1)
    platform.wait_until_it_waits(hold)
    at_work = platform.worker(run_id)
    # the child process with the definitions: its parent, the code server, does not notice
    kill(*platform.services("grpc"))
    platform.wait_until_ended("the child of the code server")
    assert not platform.services(DAEMON, WEB_SERVER, *CODE)
    assert is_running(at_work)
    platform.start()
    hold.release()
    until("the run ends", lambda: platform.run(run_id).status == SUCCESS, RUNS_S)
    assert not platform.retries_of(run_id)
    assert platform.requested_twice() == []
    # and the new code server launches runs
    launched = platform.launch(PER_RUN, 2 * PER_RUN - 1)
    until("it ends", lambda: platform.run(launched).status == SUCCESS, RUNS_S)
    assert platform.months() == 2 * PER_RUN * MONTHS


@pytest.mark.long
def test_a_backfill_outlives_its_daemon_and_then_everything(platform: Platform) -> None:
    hold = platform.hold()
    backfill_id = platform.backfill()
    platform.wait_until_it_waits(hold)
    at_work = platform.slot_holder()
    worker = platform.worker(at_work)
    (daemon,) = platform.services(DAEMON)
    kill(daemon)
    expect_end_of_all_services(platform, "the daemon", daemon)
    platform.start()
    assert is_running(worker)
    assert platform.requested_twice() == []

    kill(*platform.ui.processes())
    assert platform.slots_taken() == 1
    hold.release()
    platform.start()
    until("the backfill ends", lambda: platform.backfill_status(backfill_id).startswith("COMPLETED"), RUNS_S)
    assert platform.backfill_status(backfill_id) == "COMPLETED_SUCCESS"
    ended = Counter(run.status for run in platform.runs() if run.tags.get("dagster/backfill") == backfill_id)
    # each run once, and the interrupted one again
    assert set(ended) == {SUCCESS, FAILURE}
    assert ended[SUCCESS] == SYMBOLS // PER_RUN
    assert platform.run(at_work).status == FAILURE
    assert [run.status for run in platform.retries_of(at_work)] == [SUCCESS]
    assert platform.months() == SYMBOLS * MONTHS
    assert platform.requested_twice() == sorted(hold.waiting)
    assert not platform.runs(*UNDER_WAY)
    assert platform.slots_taken() == 0


@pytest.mark.long
def test_services_end_with_a_killed_web_ui(platform: Platform) -> None:
    hold = platform.hold()
    run_id = platform.launch(0, PER_RUN - 1)
    platform.wait_until_it_waits(hold)
    # the code server's child stays for its run
    left, at_work = platform.services(DAEMON, WEB_SERVER, "code-server"), platform.worker(run_id)
    assert len(left) == 3
    kill(psutil.Process(platform.ui.process.pid))
    # without delay: the next web UI waits for the daemon of this one
    platform.start()
    assert not wait_until_gone(left, within_s=20)
    # the run needs no service
    assert is_running(at_work)
    hold.release()
    until("the run ends", lambda: platform.run(run_id).status == SUCCESS, RUNS_S)
    assert platform.requested_twice() == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_run_interrupted_by_the_end_of_the_web_ui_is_repeated_by_the_next(platform: Platform) -> None:
    hold = platform.hold()
    run_id = platform.launch(0, PER_RUN - 1)
    platform.wait_until_it_waits(hold)
    platform.ui.process.send_signal(signal.SIGTERM)
    # so slow that the signal arrives before everything is fetched
    hold.latency_s = 2.0
    hold.release()
    platform.ui.require_end()
    assert platform.ui.process.returncode == 0
    hold.latency_s = 0.0
    kept = platform.months()
    assert kept < PER_RUN * MONTHS
    platform.gate.requests.clear()
    platform.start()
    expect_retry(platform, run_id, [])
    assert len(platform.gate.requests) == PER_RUN * MONTHS - kept


@pytest.mark.long
def test_a_run_that_hangs_is_ended_and_repeated(platform: Platform) -> None:
    hold = platform.hold()
    # the repetition has the same limit, part of which it needs on a busy machine
    run_id = platform.launch(0, PER_RUN - 1, **{"dagster/max_runtime": "20"})
    platform.wait_until_it_waits(hold)
    hanging = platform.worker(run_id)
    until("the run is ended", lambda: platform.run(run_id).status == FAILURE, RUNS_S)
    assert not is_running(hanging)
    hold.release()
    until("a retry succeeds", lambda: SUCCESS in [run.status for run in platform.retries_of(run_id)], RUNS_S)
    assert platform.months() == PER_RUN * MONTHS
    assert platform.slots_taken() == 0


@pytest.mark.long
@pytest.mark.parametrize("without_code_server", [False, True])
def test_a_cancelled_run_leaves_no_process_behind(platform: Platform, without_code_server: bool) -> None:
    hold = platform.hold()
    run_id = platform.launch(0, PER_RUN - 1)
    platform.wait_until_it_waits(hold)
    at_work = platform.worker(run_id)
    if without_code_server:
        # restarted since the run started
        (dying,) = platform.services("code-server")
        kill(dying, *platform.services("grpc"))
        expect_end_of_all_services(platform, "the code server", dying)
        platform.start()
    platform.cancel(run_id)
    assert not is_running(at_work)
    assert platform.run(run_id).status == CANCELED
    until("its slot is free", lambda: platform.slots_taken() == 0, RUNS_S)
    hold.release()
    assert not platform.retries_of(run_id)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A separate disk mounted at `folder`; yields a function that changes its size."""

    def mount(*options: str) -> None:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", *options, str(folder)], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"disks cannot be mounted here: {done.stderr.decode().strip()}")

    folder.mkdir(parents=True)
    mount(f"size={size}", "tmpfs")
    try:
        yield lambda larger: mount(f"remount,size={larger}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("mount") is None, reason="a small disk is mounted")
def test_a_full_disk_is_named_and_work_continues_once_it_has_space(platform: Platform) -> None:
    with small_disk(platform.lake / "bars", "300k") as resize:
        run_id = platform.launch(0, PER_RUN - 1)
        until("the run fails", lambda: platform.run(run_id).status == FAILURE, RUNS_S)
        words = r".*parquet: cannot be written .*No space left on device.*needs up to [\d.]+ MB and the disk has"
        assert re.search(words, platform.failure_of(run_id))
        kept = platform.months()
        assert 0 < kept < PER_RUN * MONTHS
        # a repetition would fail in the same way
        assert not platform.retries_of(run_id)
        resize("50m")
        platform.gate.requests.clear()
        platform.ui.run(["minute_bars"], *platform.ui.symbols()[:PER_RUN])
        assert platform.months() == PER_RUN * MONTHS
        assert len(platform.gate.requests) == PER_RUN * MONTHS - kept
        assert not list(platform.lake.rglob("*.part"))


@pytest.mark.long
def test_all_services_end_when_the_web_server_dies(platform: Platform) -> None:
    """The last test of this module: none needs them again."""
    (dying,) = platform.services(WEB_SERVER)
    kill(dying)
    expect_end_of_all_services(platform, "the web server", dying)
