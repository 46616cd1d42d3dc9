"""Where Dagster's state of a lake is. Apart from `state`, which imports Dagster: that takes a second."""

import hashlib
from pathlib import Path
from typing import Final

from smallcaps_assets.settings.settings import Settings, home, lake_path

_DEFAULT_LAKE: Final = "lake"


def state_folder(settings: Settings) -> Path:
    """The folder of Dagster's state of the lake.

    It is `.dagster` of the repository for its default lake, or a sub-folder of it for another lake. The dagster.yaml in
    it is that of the repository with absolute paths, so that the working folder of a process does not matter, and with
    the sections of `dagster.laid_over`.
    """
    root, lake = home(), lake_path(settings)
    folder = root / ".dagster"
    if lake == root / _DEFAULT_LAKE:
        return folder
    return folder / "lakes" / name_of_state(lake)


def name_of_state(lake: Path) -> str:
    """The name of the folder of a lake's state, among those of other lakes than the default one."""
    return f"{lake.name}-{hashlib.sha256(str(lake).encode()).hexdigest()[:8]}"
