"""`smallcaps worker`: executes runs of a cluster on this machine."""

import logging
import platform
import signal
import sys
from argparse import ArgumentParser, Namespace
from datetime import datetime
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Final

import dagster as dg

from smallcaps_assets.commands.console import show
from smallcaps_assets.commands.flag_types import positive_number
from smallcaps_assets.commands.services.state import open_state_as_is
from smallcaps_assets.commands.workplace import add_data_flags, enter
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import InputError, ServiceEnded, SettingsError
from smallcaps_assets.pipeline.operations.readiness import check_key
from smallcaps_assets.runtime.processes import process_identity
from smallcaps_assets.settings.settings import Settings, lake_path

if TYPE_CHECKING:
    from smallcaps_assets.defs.runs.cluster.launcher import ClusterRunLauncher

NEEDS: Final = "deploy/celery/dagster.yaml as dagster.laid_over; see deploy/celery/README.md."
EXAMPLE: Final = "smallcaps worker --runs 2"

_OVERRIDE: Final = "deploy/celery/dagster.yaml"
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


def add_flags(parser: ArgumentParser) -> None:
    """Add the command's flags."""
    add_data_flags(parser)
    parser.add_argument(
        "--runs",
        type=positive_number,
        default=2,
        metavar="N",
        help="number of runs at once on this machine (default: 2)",
    )


def run(arguments: Namespace) -> int:
    """Execute runs until interrupted (0).

    Raises:
        InputError: the state has no cluster.
        SettingsError: see `open_state_as_is`; or an extra is not installed.
        ServiceEnded: the broker rejects this worker.
    """
    settings = enter(arguments)
    key = check_key(settings.source)
    if key.verdict == "problem":
        show(f"smallcaps worker: {key.message} Until then, all requests to the vendor fail.", file=sys.stderr)
    require_lake(settings)
    with open_state_as_is(settings) as instance:
        return _serve(instance, _launcher_of(instance, settings), arguments.runs, settings)


def require_lake(settings: Settings) -> None:
    """Make sure that the lake is mounted: an empty folder in its place would become a second lake.

    Raises:
        InputError: the folder is missing.
    """
    lake = lake_path(settings)
    if not lake.is_dir():
        raise InputError(
            f"{lake}: there is no such folder. A worker works on the lake of the machine that runs `smallcaps ui`: "
            "mount it here, or correct lake.path. On a new lake, start `smallcaps ui` first."
        )


def _launcher_of(instance: dg.DagsterInstance, settings: Settings) -> "ClusterRunLauncher":
    if find_spec("dagster_celery") is None or find_spec("redis") is None:
        raise SettingsError('the extra cluster is not installed: python -m pip install -e ".[cluster]".')
    from smallcaps_assets.defs.runs.cluster.launcher import ClusterRunLauncher  # noqa: PLC0415 -- of an extra

    launcher = instance.run_launcher
    if not isinstance(launcher, ClusterRunLauncher):
        raise InputError(
            f"dagster.laid_over is {settings.dagster.laid_over or 'null'}, so that runs start on the machine of "
            f"`smallcaps ui` and no worker gets any. Set it to {_OVERRIDE} on every machine."
        )
    return launcher


def _serve(instance: dg.DagsterInstance, launcher: "ClusterRunLauncher", runs: int, settings: Settings) -> int:
    from celery.worker import state  # noqa: PLC0415 -- of an extra

    from smallcaps_assets.commands.cluster.run_worker import RunWorker  # noqa: PLC0415 -- the same
    from smallcaps_assets.defs.runs.cluster.broker import TASK  # noqa: PLC0415 -- the same

    name = f"{process_identity()}@{platform.node()}"
    worker, app = RunWorker(instance, name, _log), launcher.app
    app.task(name=TASK, acks_late=False, ignore_result=True)(worker.execute)
    service = app.WorkController(
        hostname=name,
        # each waits for the process of a run; forked processes would inherit the state of threads and outlive us
        pool_cls="threads",
        concurrency=runs,
        queues=[launcher.default_queue],
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        ready_callback=lambda consumer: show(  # noqa: ARG005 -- of Celery
            f"worker on {platform.node()}: {count_noun(runs, 'run')} at once; Ctrl-C ends it"
        ),
    )

    def take_no_more() -> None:
        if service.consumer.task_consumer is not None:
            service.consumer.cancel_task_queue(launcher.default_queue)

    def stop() -> None:
        state.should_stop = 0

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 -- of the interpreter
        # takes no more runs, and answers for its own until they have ended: they would be given up otherwise
        service.consumer.call_soon(take_no_more)
        worker.end_all(stop)

    logging.getLogger("celery").addHandler(_ToTerminal(logging.WARNING))
    for signal_name in _SIGNALS:
        if (number := getattr(signal, signal_name, None)) is not None:
            signal.signal(number, end)
    show(f"lake {lake_path(settings)}\nbroker {app.connection_for_read().as_uri()}")
    service.start()
    if service.exitcode:
        raise ServiceEnded(f"the worker ended with exit code {service.exitcode}; its output is above")
    return 0


class _ToTerminal(logging.Handler):
    """What Celery warns of, such as a broker that is away; it replaces the password in the broker's address."""

    def emit(self, record: logging.LogRecord) -> None:
        _log(" ".join(record.getMessage().split()))


def _log(line: str) -> None:
    show(f"{datetime.now().astimezone():%H:%M:%S} {line}", file=sys.stderr)
