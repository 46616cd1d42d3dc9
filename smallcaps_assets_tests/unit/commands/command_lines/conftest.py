"""Each command runs in a folder like a fresh clone."""

import shutil
from pathlib import Path

import pytest

from smallcaps_assets.cli import main
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.unit.commands.command_lines.lively import ErrorOf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone as working directory; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, folder / name)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def error_of(capsys: pytest.CaptureFixture[str]) -> ErrorOf:
    """Run a command that must reject its input; returns its error message, which is one paragraph."""

    def run(*arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        error = capsys.readouterr().err.strip()
        assert code == 2
        assert error.startswith(f"smallcaps {arguments[0]}: ")
        assert "Traceback" not in error
        assert "\n" not in error
        return error

    return run
