"""Dagster's state of a lake: where it lies, and how a command opens it."""

import hashlib
from typing import Final

import dagster as dg

from smallcaps_assets.defs.orphans import fail_orphans
from smallcaps_assets.defs.pool import free_slots_of_the_dead
from smallcaps_assets.lake.publish import publish_text
from smallcaps_assets.settings import Settings, home, instance_config, lake_path, use_dagster_home

DEFAULT_LAKE: Final = "lake"


def open_state(settings: Settings) -> dg.DagsterInstance:
    """Dagster's state of the lake, which this process and its children then use; closes what dead processes left.

    It lies in `.dagster` of the repository, or in a folder of it for another lake than the repository's own. The
    dagster.yaml there is the repository's with absolute paths, so that it does not matter where a process starts.
    """
    root, lake = home(), lake_path(settings)
    folder = root / ".dagster"
    if lake != root / DEFAULT_LAKE:
        folder = folder / "lakes" / f"{lake.name}-{hashlib.sha256(str(lake).encode()).hexdigest()[:8]}"
    publish_text(folder / "dagster.yaml", instance_config(root / "dagster.yaml", folder))
    use_dagster_home(folder)
    instance = dg.DagsterInstance.get()
    fail_orphans(instance)
    free_slots_of_the_dead(instance)
    return instance
