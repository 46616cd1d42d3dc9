"""Dagster's state of a lake: its folder, how a command opens it, and when it is removed."""

import shutil
import time
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.commands.services.processes import processes_of_state
from smallcaps_assets.commands.services.state_folder import (
    is_whole_name,
    lake_of_state,
    remember_lake,
    state_folder,
)
from smallcaps_assets.defs.runs.orphans import fail_orphans
from smallcaps_assets.defs.runs.pool import free_orphaned_slots, settle_limit
from smallcaps_assets.defs.runs.sqlite_engines import reuse_engines
from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.lake.files.locks import exclusive_lock
from smallcaps_assets.lake.files.publish import publish_text, require_writable
from smallcaps_assets.lake.identity import LAKE_ID_KEY, identity_if_possible, identity_of, is_same_folder
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.runtime.system_errors import system_error
from smallcaps_assets.settings.settings import Settings, home, instance_config, lake_path, use_dagster_home

# names it in the storage as well, which may be a database that other lakes could use by mistake
LAKE_KEY: Final = "smallcaps/lake"
# a lake on a disk that is not mounted now may be back later
KEPT_S: Final = 30 * 86_400.0


def open_state(settings: Settings) -> dg.DagsterInstance:
    """Open Dagster's state of the lake for this process and its children; fails orphaned runs and frees their slots.

    Raises:
        InputError: the state is that of another lake.
        SettingsError: dagster.yaml or the file of `dagster.laid_over` is wrong, or the state cannot be opened.
    """
    instance = open_state_as_is(settings)
    fail_orphans(instance)
    free_orphaned_slots(instance)
    settle_limit(instance)
    return instance


def open_state_as_is(settings: Settings) -> dg.DagsterInstance:
    """Open the state without changing runs or slots. Raises as `open_state`."""
    folder, lake = state_folder(settings), lake_path(settings)
    override = None if settings.dagster.laid_over is None else home() / settings.dagster.laid_over
    config = instance_config(home() / "dagster.yaml", folder, override)
    require_writable(folder)
    reuse_engines()
    # a state that does not exist yet is created, by one process at a time
    with exclusive_lock(folder / "opening.lock"):
        publish_text(folder / "dagster.yaml", config)
        remember_lake(folder, lake)
        use_dagster_home(folder)
        instance = _open(folder, override)
        if override is not None:  # else the state is in a folder of this lake
            _require_same_lake(instance, lake)
    return instance


def outdated_schemas(instance: dg.DagsterInstance) -> list[str]:
    """The parts of a state whose tables are not those of the installed Dagster, each with both schema versions."""
    storages = {
        "runs": instance.run_storage,
        "event log": instance.event_log_storage,
        "schedules": instance.schedule_storage,
    }
    # a storage without versions, such as one in memory, has none
    versions = {name: storage.alembic_version() for name, storage in storages.items() if storage}
    return [
        f"{name} {version[0]} instead of {version[1]}"
        for name, version in versions.items()
        if version and version[0] != version[1]
    ]


def remove_states_of_missing_lakes(now: float | None = None) -> list[Path]:
    """Remove states whose lake is gone, if unchanged for a month and used by no process; returns their folders."""
    oldest = (time.time() if now is None else now) - KEPT_S
    folders = (home() / ".dagster" / "lakes").glob("*")
    gone = [folder for folder in folders if _lake_is_gone(folder) and _last_change(folder) < oldest]
    removed = [folder for folder in gone if not processes_of_state(folder)]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _lake_is_gone(folder: Path) -> bool:
    """False if the state does not name its lake, or names another than that of its folder, as a cut file does."""
    lake = lake_of_state(folder)
    return lake is not None and is_whole_name(folder, lake) and not lake.exists()


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _open(folder: Path, override: Path | None) -> dg.DagsterInstance:
    try:
        instance = dg.DagsterInstance.get()
        # an override may name plug-ins, which are loaded when they are first used
        _ = (instance.run_launcher, instance.run_coordinator) if override is not None else None
    except Exception as error:  # a storage is a plug-in: its errors have no common root
        if known := system_error(error):
            raise known from error
        cause = " ".join(str(error).split())
        if override is None:
            raise SettingsError(
                f"{folder}: Dagster's state cannot be opened ({cause}). Correct dagster.yaml beside config/, or move "
                "this folder away to begin with an empty state: the lake stays as it is."
            ) from error
        raise SettingsError(
            f"{override}: Dagster's state cannot be opened ({cause}). Check what the file names: is it installed, does "
            "the server run, are user, password and database right?"
        ) from error
    return instance


def _require_same_lake(instance: dg.DagsterInstance, lake: Path) -> None:
    """Make sure that a state outside the folder of the lake's state, such as a database, belongs to this lake.

    The state remembers the id of its lake, which each machine may mount elsewhere, and where it was last.
    """
    store = instance.daemon_cursor_storage
    known = store.get_cursor_values({LAKE_KEY, LAKE_ID_KEY})
    path, known_id, present_id = known.get(LAKE_KEY), known.get(LAKE_ID_KEY), identity_if_possible(Lake(lake))
    elsewhere = Path(path) if path not in (None, str(lake)) else None
    # an earlier release remembered the path only
    if not (known_id and present_id) and elsewhere and elsewhere.is_dir():
        raise InputError(_belongs_to(f"the lake {path}", lake))
    if known_id and present_id and known_id != present_id:
        raise InputError(
            f"{_belongs_to(f'another lake (id {known_id}, last at {path})', lake)} If this is that lake, whose "
            f'{Lake(lake).identity.name} was lost: write {{"id": "{known_id}"}} into {Lake(lake).identity}.'
        )
    if elsewhere and known_id and _is_copy(elsewhere, lake, known_id):
        raise InputError(_belongs_to(f"the lake {path}, of which this one is a copy", lake))
    found = {LAKE_KEY: str(lake)} | ({LAKE_ID_KEY: present_id} if present_id else {})
    if found.items() - known.items():
        store.set_cursor_values(found)


def _belongs_to(owner: str, lake: Path) -> str:
    return (
        f"Dagster's state belongs to {owner}, not to {lake}: their partitions would mix. Give each lake a separate "
        "database."
    )


def _is_copy(one: Path, other: Path, identity: str) -> bool:
    """Whether two folders of this machine are two lakes with the same id; one that is mounted twice is one lake."""
    return one.is_dir() and identity_of(Lake(one)) == identity and not is_same_folder(one, other)
