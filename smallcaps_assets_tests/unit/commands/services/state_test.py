"""Dagster's state of a lake: shared storage, concurrent creation, damage."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import yaml

from smallcaps_assets.commands.services.state import LAKE_ID_KEY, LAKE_KEY, open_state, open_state_as_is
from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.errors import InputError, LakeError, SettingsError
from smallcaps_assets.lake.identity import give_identity, identity_of
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.settings.settings import Settings, load_settings
from smallcaps_assets_tests.repository import REPOSITORY

SQLITE = {"module": "dagster._core.storage.sqlite_storage", "class": "DagsterSqliteStorage"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a fresh clone; the environment is restored afterwards."""
    folder = tmp_path / "home"
    shutil.copytree(REPOSITORY / "config", folder / "config")
    shutil.copy(REPOSITORY / "dagster.yaml", folder)
    for name in ("SMALLCAPS_CONFIG", "SMALLCAPS_OVERRIDES", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "put back at the end")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMALLCAPS_HOME", str(folder))
    return folder


def settings_of(home: Path, lake: Path, storage: dict[str, Any]) -> Settings:
    """Settings of a lake whose state uses `storage`."""
    (home / "over.yaml").write_text(yaml.safe_dump({"storage": {"custom": storage}}))
    return load_settings(overrides={"lake": {"path": str(lake)}, "dagster": {"laid_over": "over.yaml"}})


def test_a_state_cannot_serve_two_lakes(home: Path, tmp_path: Path) -> None:
    storage = SQLITE | {"config": {"base_dir": str(tmp_path / "state")}}
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    for _ in range(2):
        with open_state(settings_of(home, one, storage)) as instance:
            instance.add_dynamic_partitions("symbols", ["AVLO"])
    with pytest.raises(InputError) as caught:
        open_state(settings_of(home, other, storage))
    for words in (str(one), str(other), "Give each lake a separate database"):
        assert words in str(caught.value)
    one.rename(other)  # a lake that was moved keeps its state
    with open_state(settings_of(home, other, storage)) as instance:
        assert list(instance.get_dynamic_partitions("symbols")) == ["AVLO"]


def test_a_state_knows_its_lake_by_its_id_wherever_it_is_mounted(home: Path, tmp_path: Path) -> None:
    storage = SQLITE | {"config": {"base_dir": str(tmp_path / "state")}}
    one, other, mounted = tmp_path / "one", tmp_path / "other", tmp_path / "mounted"
    one.mkdir()
    open_state(settings_of(home, one, storage)).dispose()
    first = identity_of(Lake(one))
    assert first is not None
    mounted.symlink_to(one)  # the same lake under two names
    open_state(settings_of(home, mounted, storage)).dispose()
    open_state(settings_of(home, one, storage)).dispose()

    shutil.copytree(one, other)
    with pytest.raises(InputError, match="of which this one is a copy"):
        open_state(settings_of(home, other, storage))

    # as another machine, where the first lake is not, sees a lake of its own
    one.rename(tmp_path / "elsewhere")
    (other / "lake.json").unlink()
    with pytest.raises(InputError) as caught:
        open_state(settings_of(home, other, storage))
    second = identity_of(Lake(other))
    assert second not in (None, first)
    assert f"another lake (id {first}, last at {one})" in str(caught.value)
    remedy = str(caught.value).partition("write ")[2].partition(" into ")
    assert remedy[2] == f"{other / 'lake.json'}."
    (other / "lake.json").write_text(remedy[0])
    open_state(settings_of(home, other, storage)).dispose()
    assert identity_of(Lake(other)) == first


def test_a_state_of_an_earlier_release_remembers_the_path_and_learns_the_id(home: Path, tmp_path: Path) -> None:
    storage = SQLITE | {"config": {"base_dir": str(tmp_path / "state")}}
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with open_state(settings_of(home, one, storage)) as instance:
        instance.daemon_cursor_storage.set_cursor_values({LAKE_KEY: str(one), LAKE_ID_KEY: ""})
    with pytest.raises(InputError, match=f"belongs to the lake {one}, not to {other}"):
        open_state(settings_of(home, other, storage))
    with open_state(settings_of(home, one, storage)) as instance:
        known = instance.daemon_cursor_storage.get_cursor_values({LAKE_ID_KEY})
        assert known == {LAKE_ID_KEY: identity_of(Lake(one))}


def test_the_state_of_a_lake_that_cannot_be_written_to_is_opened_without_an_id(home: Path, tmp_path: Path) -> None:
    storage = SQLITE | {"config": {"base_dir": str(tmp_path / "state")}}
    lake = tmp_path / "one"
    lake.mkdir()
    (lake / ".locks").touch()  # in the place of a folder: nothing can be locked, as on a read-only mount
    open_state(settings_of(home, lake, storage)).dispose()
    assert identity_of(Lake(lake)) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 7}', '{"id": "no id"}', '{"id": "0", "content": "x"}'])
def test_a_damaged_id_of_a_lake_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lake.json").write_text(text)
    with pytest.raises(LakeError, match=r"lake\.json.*(Restore it, or remove it: the lake is given another id)"):
        give_identity(Lake(tmp_path))


def test_a_lake_that_does_not_exist_is_given_no_id(tmp_path: Path) -> None:
    assert give_identity(Lake(tmp_path / "none")) is None
    assert not (tmp_path / "none").exists()


def test_several_processes_give_a_lake_one_id(tmp_path: Path) -> None:
    together = Barrier(8)

    def give(_: int) -> str | None:
        together.wait()
        return give_identity(Lake(tmp_path))

    with ThreadPoolExecutor(8) as threads:
        assert len({*threads.map(give, range(8))}) == 1


def test_several_processes_may_create_a_state_concurrently(tmp_path: Path) -> None:
    settings, together = load_settings(overrides={"lake": {"path": str(tmp_path / "lake")}}), Barrier(3)

    def begin(number: int) -> None:
        together.wait()
        with open_state_as_is(settings) as instance:
            instance.add_dynamic_partitions("symbols", [f"S{number}"])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(begin, range(3)))
    with open_state_as_is(settings) as instance:
        assert sorted(instance.get_dynamic_partitions("symbols")) == ["S0", "S1", "S2"]


def test_a_state_that_is_damaged_is_named(tmp_path: Path) -> None:
    settings = load_settings(overrides={"lake": {"path": str(tmp_path / "lake")}})
    open_state(settings).dispose()
    (state_folder(settings) / "history" / "runs.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(SettingsError) as caught:
        open_state(settings)
    for words in (str(state_folder(settings)), "file is not a database", "move this folder away"):
        assert words in str(caught.value)


def test_a_state_that_cannot_be_opened_names_the_file_that_configures_it(home: Path, tmp_path: Path) -> None:
    storage = {"module": "no_such_storage", "class": "Storage", "config": {}}
    with pytest.raises(SettingsError) as caught:
        open_state(settings_of(home, tmp_path / "lake", storage))
    for words in (str(home / "over.yaml"), "no_such_storage", "is it installed"):
        assert words in str(caught.value)
