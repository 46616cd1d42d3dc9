"""A folder with bars, and runs of `smallcaps detect` in it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets_tests.unit.commands.detect.lively_home import LIVELY, LOWER


@pytest.fixture(autouse=True)
def home(fresh_home: Path) -> Path:
    """A folder like a fresh clone as working directory, with bars."""
    LIVELY.write_parquet("bars.parquet")
    Path("low.yaml").write_text(LOWER)
    return fresh_home


@pytest.fixture
def run_detect(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `smallcaps detect`; returns its output."""

    def run(*arguments: object) -> str:
        code = main(["detect", *map(str, arguments)])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return printed.out

    return run


@pytest.fixture
def figures(run_detect: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """Run `smallcaps detect --bars bars.parquet ... --json`; returns its one object."""
    return lambda *arguments: json.loads(run_detect("--bars", "bars.parquet", "--json", *arguments))


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `smallcaps detect`, which must fail with a message of one line; returns the message."""

    def run(*arguments: object) -> str:
        code = main(["detect", *map(str, arguments)])
        printed = capsys.readouterr()
        assert (code, printed.out) == (2, "")
        assert printed.err.startswith("smallcaps detect: ")
        assert printed.err.count("\n") == 1
        return printed.err

    return run
