"""The folder of Dagster's state of a lake, and when it is removed."""

import os
import time
from pathlib import Path

import pytest

from smallcaps_assets.commands.services.state import KEPT_S, open_state_as_is, remove_states_of_missing_lakes
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.settings.settings import CONFIG_VARIABLE, HOME_VARIABLE, load_settings
from smallcaps_assets_tests.recovery.second_start_test import looks_like
from smallcaps_assets_tests.repository import REPOSITORY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config").mkdir()
    for name in ("config/config.yaml", "dagster.yaml"):
        (tmp_path / name).write_bytes((REPOSITORY / name).read_bytes())
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    return tmp_path


def state_of(lake: Path) -> Path:
    """The state of a lake elsewhere, created as commands do."""
    settings = load_settings(overrides={"lake": {"path": str(lake)}})
    open_state_as_is(settings).dispose()
    return state_folder(settings)


def months_later() -> float:
    return time.time() + KEPT_S + 60


def test_the_state_of_a_removed_lake_is_deleted_after_a_delay(home: Path) -> None:
    kept, lost = home / "elsewhere" / "kept", home / "elsewhere" / "lost"
    kept.mkdir(parents=True)
    of_kept, of_lost = state_of(kept), state_of(lost)
    assert of_kept.parent == of_lost.parent == home / ".dagster" / "lakes"
    # its disk may be mounted again tomorrow
    assert remove_states_of_missing_lakes() == []
    assert remove_states_of_missing_lakes(months_later()) == [of_lost]
    assert of_kept.is_dir()
    assert not of_lost.exists()


def test_a_state_that_changed_recently_or_is_in_use_is_kept(home: Path) -> None:
    state = state_of(home / "elsewhere" / "lost")
    long_ago = time.time() - 2 * KEPT_S
    for path in (state, *state.rglob("*")):
        os.utime(path, (long_ago, long_ago))
    with looks_like(["dagster._daemon"], home, DAGSTER_HOME=str(state)):
        assert remove_states_of_missing_lakes() == []
    (state / "storage").mkdir(exist_ok=True)
    (state / "storage" / "fresh").touch()
    assert remove_states_of_missing_lakes() == []
    os.utime(state / "storage" / "fresh", (long_ago, long_ago))
    os.utime(state / "storage", (long_ago, long_ago))
    os.utime(state, (long_ago, long_ago))
    assert remove_states_of_missing_lakes() == [state]


def test_a_state_that_does_not_name_its_lake_is_kept(home: Path) -> None:
    state = state_of(home / "elsewhere" / "lost")
    (state / "lake.txt").unlink()
    assert remove_states_of_missing_lakes(months_later()) == []


def test_the_state_of_the_default_lake_is_never_removed(home: Path) -> None:
    open_state_as_is(load_settings()).dispose()
    assert state_folder(load_settings()) == home / ".dagster"
    assert remove_states_of_missing_lakes(months_later()) == []
    assert (home / ".dagster" / "dagster.yaml").is_file()
