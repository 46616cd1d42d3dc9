"""A capture killed under faults ends like an undisturbed one; `benchmarks/kills.py` kills it a hundred times."""

import json
import subprocess
import sys

import pytest

from smallcaps_assets_tests.repository import REPOSITORY

pytestmark = pytest.mark.slow


def test_kills_under_faults_leave_the_frames_of_an_undisturbed_capture() -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "kills.py"), "--kills", "3", "--windows", "80"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["kills"], figures["events"], figures["files"]) == (3, 80, 160)
    assert figures["faults"] > 0
    for name in ("repeated_spans", "files_that_differ", "temporary_files", "refusals_left", "findings_of_verify"):
        assert figures[name] == 0


def test_kills_while_files_are_taken_leave_the_lake_of_an_undisturbed_run() -> None:
    """`benchmarks/flat_kills.py` kills it twenty times."""
    script = str(REPOSITORY / "benchmarks" / "flat_kills.py")
    command = [sys.executable, script, "--kills", "2", "--days", "6", "--symbols", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    # six tables, and a month of each symbol for November and December
    assert (figures["kills"], figures["files"]) == (2, 12)
    for name in ("files_that_differ", "temporary_files", "downloads_left", "findings_of_verify"):
        assert figures[name] == 0
