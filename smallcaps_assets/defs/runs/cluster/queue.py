"""The queue of runs for several machines: a run leaves it only when a worker has a free place.

Otherwise runs would wait in the broker, out of sight, and fail when they have not started after
`run_monitoring.start_timeout_seconds`.
"""

import threading
import time
from contextlib import suppress
from typing import Final

from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator, RunQueueConfig

from smallcaps_assets.defs.runs.cluster.broker import UNREACHABLE, places_of_workers
from smallcaps_assets.defs.runs.cluster.launcher import ClusterRunLauncher
from smallcaps_assets.errors import ServiceEnded, SettingsError

# Dagster names the threads of its daemon so
DAEMON_THREAD: Final = "dagster-daemon-"
_ANSWER_HOLDS_S: Final = 10.0


class ClusterRunQueue(QueuedRunCoordinator):
    """Allows as many runs at once as the workers that answer have places, and at most `max_concurrent_runs`."""

    _known: tuple[float, int] | None = None

    def get_run_queue_config(self) -> RunQueueConfig:
        """The limits of the queue; only Dagster's daemon, which takes runs from it, asks the workers."""
        config = super().get_run_queue_config()
        if not threading.current_thread().name.startswith(DAEMON_THREAD):
            return config
        free, limit = self._places(), config.max_concurrent_runs
        return config._replace(max_concurrent_runs=free if limit == -1 else min(free, limit))

    def _places(self) -> int:
        launcher, now = self._instance.run_launcher, time.monotonic()
        if self._known is None or now - self._known[0] >= _ANSWER_HOLDS_S:
            if not isinstance(launcher, ClusterRunLauncher):
                raise SettingsError(
                    f"dagster.yaml: the run_coordinator {type(self).__name__} needs the run_launcher "
                    f"{ClusterRunLauncher.__name__}, found {type(launcher).__name__}. Take both from "
                    "deploy/celery/dagster.yaml."
                )
            self._known = (now, _places_of(launcher))
        return self._known[1]


def _places_of(launcher: ClusterRunLauncher) -> int:
    with suppress(ServiceEnded, *UNREACHABLE):
        return sum(places_of_workers(launcher.app).values())
    return 0
