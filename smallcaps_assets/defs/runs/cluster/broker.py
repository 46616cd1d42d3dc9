"""The broker between Dagster's daemon and the workers of other machines: what both sides agree on.

The daemon sends the id of a run, a worker takes it from the queue. All else is in Dagster's state, which both reach.
"""

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from smallcaps_assets.errors import ServiceEnded
from smallcaps_assets.lake.identity import LAKE_ID_KEY

# takes the id of a run, and has the same id
TASK: Final = "smallcaps.execute_run"
# under which a worker answers; Dagster hides tags that begin so from the web UI
WORKER_TAG: Final = ".dagster/smallcaps_worker"

# a worker that has not answered for so long, asked once, may be gone
SECONDS_PER_ANSWER: Final = 2.0
UNREACHABLE: Final = (OperationalError, RedisError, OSError)
# what the launcher and the workers need; the file cannot change it
_REQUIRED: Final[Mapping[str, Any]] = {
    # a worker takes a run only when it has a free place: no run waits behind a long one while another machine idles
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # every run is a process of its own anyway
    "worker_max_tasks_per_child": 1,
    # a run whose machine dies is repeated by Dagster, which counts repetitions, and not by the broker as well
    "task_acks_late": False,
    # how a run ended is in Dagster's state
    "task_ignore_result": True,
    "result_backend": "disabled://",
    "task_serializer": "json",
    "accept_content": ["json"],
    "worker_hijack_root_logger": False,
    # a worker outlives its broker, and finds it again
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
}
_TRANSPORT: Final[Mapping[str, Any]] = {
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 25,
}


def prepare(app: Celery, instance: dg.DagsterInstance) -> None:
    """Configure an application before it first connects: what is required, and the keys of this lake.

    Several lakes may share a broker: a worker of one never takes a run of another.

    Raises:
        ServiceEnded: the lake has no id yet, so that no worker can have joined.
    """
    lake = instance.daemon_cursor_storage.get_cursor_values({LAKE_ID_KEY}).get(LAKE_ID_KEY)
    if not lake:
        raise ServiceEnded("no worker has joined this lake yet. Start `smallcaps worker` on a machine that sees it.")
    given = app.conf.broker_transport_options or {}
    app.conf.update(_REQUIRED)
    app.conf.broker_transport_options = {**_TRANSPORT, **given, "global_keyprefix": f"smallcaps:{lake}:"}


def runs_of(app: Celery, worker: str) -> set[str] | None:
    """The ids of the runs that a worker executes now; None if it does not answer within 2 s.

    Raises:
        One of UNREACHABLE: the broker cannot be asked.
    """
    answer = app.control.inspect(destination=[worker], timeout=SECONDS_PER_ANSWER, limit=1).active()
    return None if not answer or worker not in answer else {task["id"] for task in answer[worker]}


def places_of_workers(app: Celery) -> dict[str, int]:
    """How many runs each worker that answers within 2 s can execute at once, by the name of the worker.

    Raises:
        One of UNREACHABLE: the broker cannot be asked.
    """
    answers = app.control.inspect(timeout=SECONDS_PER_ANSWER).stats() or {}
    return {name: int(stats["pool"]["max-concurrency"]) for name, stats in answers.items()}


def host_of(worker: str) -> str:
    """The machine that a worker is on, from its name."""
    return worker.partition("@")[2]
