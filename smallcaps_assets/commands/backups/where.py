"""Dagster's state of a lake, as backups and restores find it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from smallcaps_assets.commands.services.state_folder import remember_lake, state_folder
from smallcaps_assets.pipeline.backup.restore import RestoreTarget
from smallcaps_assets.pipeline.backup.state_files import StateSource
from smallcaps_assets.settings.settings import Settings


@contextmanager
def source_of_state(settings: Settings, *, wanted: bool) -> Iterator[StateSource]:
    """The state of the lake; one without files where it is not `wanted`.

    Raises:
        SettingsError: the state is neither in SQLite nor in PostgreSQL, or its database does not answer.
    """
    folder = state_folder(settings)
    if not wanted:
        yield StateSource(folder, is_left_out=True)
    elif settings.dagster.laid_over is None:
        yield StateSource(folder)
    else:
        # these import Dagster, which takes a second
        from smallcaps_assets.commands.services.state import open_state_as_is  # noqa: PLC0415
        from smallcaps_assets.defs.runs.state_source import state_source  # noqa: PLC0415

        with open_state_as_is(settings) as instance:
            yield state_source(instance, folder)


@contextmanager
def restore_target(settings: Settings, lake: Path, *, with_state: bool) -> Iterator[RestoreTarget]:
    """Where a lake and its state are restored to.

    Raises:
        SettingsError: see `source_of_state`.
    """
    if not with_state:
        yield RestoreTarget(lake, None)
    elif settings.dagster.laid_over is None:
        yield RestoreTarget(lake, state_folder(settings), remember_lake=partial(_remember, lake))
    else:
        from smallcaps_assets.commands.services.state import open_state_as_is  # noqa: PLC0415
        from smallcaps_assets.defs.runs.state_source import load_dump_of, require_empty_database  # noqa: PLC0415

        with open_state_as_is(settings) as instance:
            yield RestoreTarget(
                lake,
                state_folder(settings),
                load_dump_of(instance),
                lambda: require_empty_database(instance),
                partial(_remember, lake),
            )


def _remember(lake: Path, folder: Path) -> None:
    remember_lake(folder, lake)
