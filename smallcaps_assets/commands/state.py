"""Dagster's state of a lake: where it lies, how a command opens it, and when it is no longer needed."""

import hashlib
import shutil
import time
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.commands.processes import works_on
from smallcaps_assets.defs.orphans import fail_orphans
from smallcaps_assets.defs.pool import free_slots_of_the_dead
from smallcaps_assets.lake.publish import publish_text
from smallcaps_assets.settings import Settings, home, instance_config, lake_path, use_dagster_home

DEFAULT_LAKE: Final = "lake"
# says in a state whose it is
LAKE_FILE: Final = "lake.txt"
# a lake on a disk that is not there today may be there tomorrow
KEPT_S: Final = 30 * 86_400.0


def open_state(settings: Settings) -> dg.DagsterInstance:
    """Dagster's state of the lake, which this process and its children then use; closes what dead processes left."""
    instance = look_into_state(settings)
    fail_orphans(instance)
    free_slots_of_the_dead(instance)
    return instance


def look_into_state(settings: Settings) -> dg.DagsterInstance:
    """The same as it is, with nothing closed."""
    folder = state_folder(settings)
    publish_text(folder / "dagster.yaml", instance_config(home() / "dagster.yaml", folder))
    publish_text(folder / LAKE_FILE, str(lake_path(settings)))
    use_dagster_home(folder)
    return dg.DagsterInstance.get()


def state_folder(settings: Settings) -> Path:
    """Where Dagster's state of the lake lies.

    It is `.dagster` of the repository, or a folder of it for another lake than the repository's own. The dagster.yaml
    there is the repository's with absolute paths, so that it does not matter where a process starts.
    """
    root, lake = home(), lake_path(settings)
    folder = root / ".dagster"
    if lake == root / DEFAULT_LAKE:
        return folder
    return folder / "lakes" / f"{lake.name}-{hashlib.sha256(str(lake).encode()).hexdigest()[:8]}"


def remove_states_of_gone_lakes(now: float | None = None) -> list[Path]:
    """Remove states whose lake is gone, that nothing changed for a month and that nothing works on; returns them."""
    oldest = (time.time() if now is None else now) - KEPT_S
    folders = (home() / ".dagster" / "lakes").glob("*")
    gone = [folder for folder in folders if _lake_is_gone(folder) and _last_change(folder) < oldest]
    removed = [folder for folder in gone if not works_on(folder)]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _lake_is_gone(folder: Path) -> bool:
    """False where the state does not say whose it is."""
    file = folder / LAKE_FILE
    return file.is_file() and not Path(file.read_text(encoding="utf-8")).exists()


def _last_change(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
