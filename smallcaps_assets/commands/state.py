"""Dagster's state of a lake: where it lies, and how a command opens it."""

import hashlib
from pathlib import Path
from typing import Final

import dagster as dg

from smallcaps_assets.defs.orphans import fail_orphans
from smallcaps_assets.defs.pool import free_slots_of_the_dead, settle_limit
from smallcaps_assets.errors import InputError, SettingsError
from smallcaps_assets.lake.publish import publish_text
from smallcaps_assets.settings import Settings, home, instance_config, lake_path, use_dagster_home

DEFAULT_LAKE: Final = "lake"
# under which a state says whose it is
LAKE_KEY: Final = "smallcaps/lake"


def open_state(settings: Settings) -> dg.DagsterInstance:
    """Dagster's state of the lake, which this process and its children then use; closes what dead processes left.

    It lies in `.dagster` of the repository, or in a folder of it for another lake than the repository's own. The
    dagster.yaml there is the repository's with absolute paths, so that it does not matter where a process starts,
    and with what settings lay over it.

    Raises:
        InputError: the state is that of another lake.
        SettingsError: it cannot be opened as `dagster.laid_over` says.
    """
    root, lake = home(), lake_path(settings)
    folder = root / ".dagster"
    if lake != root / DEFAULT_LAKE:
        folder = folder / "lakes" / f"{lake.name}-{hashlib.sha256(str(lake).encode()).hexdigest()[:8]}"
    over = None if settings.dagster.laid_over is None else root / settings.dagster.laid_over
    publish_text(folder / "dagster.yaml", instance_config(root / "dagster.yaml", folder, over))
    use_dagster_home(folder)
    instance = _opened(over)
    _require_same_lake(instance, lake)
    fail_orphans(instance)
    free_slots_of_the_dead(instance)
    settle_limit(instance)
    return instance


def _opened(over: Path | None) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except Exception as error:
        if over is None:
            raise
        # a storage is a plug-in: its errors have no root of their own
        raise SettingsError(
            f"{over}: Dagster's state cannot be opened ({' '.join(str(error).split())}). Check what the file names: is "
            "it installed, does the server run, are user, password and database right?"
        ) from error


def _require_same_lake(instance: dg.DagsterInstance, lake: Path) -> None:
    """Make sure that a state which does not lie in the lake's own folder, such as a database, is of this lake."""
    store = instance.daemon_cursor_storage
    known = store.get_cursor_values({LAKE_KEY}).get(LAKE_KEY)
    if known not in (None, str(lake)) and Path(known).is_dir():
        raise InputError(
            f"Dagster's state is that of the lake {known}, not of {lake}: its partitions would mix. Give each lake a "
            "database of its own."
        )
    if known != str(lake):
        store.set_cursor_values({LAKE_KEY: str(lake)})
