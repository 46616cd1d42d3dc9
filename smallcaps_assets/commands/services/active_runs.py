"""The runs of Dagster that are not finished, read without changing the state: nothing is created, migrated or locked.

The file of runs is asked first whether there is any, since importing Dagster takes a second.
"""

import sqlite3
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from smallcaps_assets.commands.services.state_folder import state_folder
from smallcaps_assets.settings.settings import Settings

_UNFINISHED: Final = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")


class ActiveRun(NamedTuple):
    """A run that is not finished.

    Attributes:
        run_id: Dagster's id.
        job: the job, or the assets of a run that has none.
        profile: the profile it works on; empty if it is none in particular.
        wave: the wave; empty if it is none in particular.
        symbols: `first to last` of its partitions; empty if it has none.
        state: `queued`, `not started`, `starting`, `running`, `ending`, or `its process is gone`.
        since: when it reached that state, or when it was queued.
        log_line: the last line of its log; empty if there is none.
        logged_at: when that was logged.
        machine: of a cluster, on which it is; empty elsewhere and while it waits for one.
    """

    run_id: str
    job: str
    profile: str
    wave: str
    symbols: str
    state: str
    since: datetime
    log_line: str = ""
    logged_at: datetime | None = None
    machine: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its process is at work."""
        return self.state in {"running", "starting", "ending"}


def active_runs(settings: Settings) -> list[ActiveRun]:
    """The runs of the lake's state that are not finished, the oldest first; none where there is no state.

    Raises:
        SettingsError: the state cannot be read.
    """
    folder = state_folder(settings)
    in_files = settings.dagster.laid_over is None
    if not (folder / "dagster.yaml").is_file() or (in_files and not _any_unfinished(folder / "history" / "runs.db")):
        return []
    from smallcaps_assets.commands.services.unfinished_runs import read_unfinished  # noqa: PLC0415 -- imports Dagster

    return read_unfinished(folder)


def _any_unfinished(file: Path) -> bool:
    """Whether Dagster's file of runs has unfinished ones; also where it cannot be read here, for Dagster to judge."""
    if not file.is_file():
        return False
    marks = ", ".join("?" * len(_UNFINISHED))
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as known:
        query = f"SELECT 1 FROM runs WHERE status IN ({marks}) LIMIT 1"  # noqa: S608 -- marks only
        return known.execute(query, _UNFINISHED).fetchone() is not None
    return True
