"""A platform for tests to break: `smallcaps ui` on a fresh lake, with an exchange that can hold requests up.

Its dagster.yaml is the repository's with shorter intervals.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import Event
from typing import Final, Self

import dagster as dg
import psutil
import yaml

from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.defs.runs.workers import worker
from smallcaps_assets.settings.settings import HOME_VARIABLE
from smallcaps_assets.simulated.market.market import SimulatedMarket
from smallcaps_assets.simulated.protocol.exchange import Exchange
from smallcaps_assets.simulated.protocol.server import serve
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import LATER, Gate
from smallcaps_assets_tests.repository import REPOSITORY
from smallcaps_assets_tests.web_server import RUNS_S, WebUI, until

SYMBOLS: Final = 6
PER_RUN: Final = 2
THREADS: Final = 2
# four months, one request each for a symbol
FIRST_SESSION: Final = date(2025, 9, 2)
MONTHS: Final = 4
LET_THROUGH: Final = 3
BARS: Final = "/range/1/minute/"
SHORT: Final = {
    "poll_interval_seconds": 2,
    "cancel_timeout_seconds": 5,
    "free_slots_after_run_end_seconds": 1,
}
UNDER_WAY: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_BACKFILL: Final = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
} }"""
_CANCEL: Final = """
mutation ($ids: [String!]!) { terminateRuns(runIds: $ids, terminatePolicy: SAFE_TERMINATE) {
  ... on TerminateRunsResult { terminateRunResults { __typename } }
} }"""


class HoldRequests:
    """A rule of the gate: passes some requests for bars, then holds the others until `release`.

    After that each takes `latency_s`.
    """

    def __init__(self, after: int) -> None:
        self._left = after
        self.latency_s = 0.0
        self.waiting: list[str] = []
        self._released = Event()

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG002
        if BARS not in path:
            return None
        if self._released.is_set():
            time.sleep(self.latency_s)
            return None
        self._left -= 1
        if self._left < 0:
            self.waiting.append(path)
            self._released.wait(RUNS_S)
        return None

    def release(self) -> None:
        """Pass every request from now on."""
        self._released.set()


class Platform:
    """A home with configuration and state, an exchange, and the web UI on both."""

    ui: WebUI

    def __init__(self, folder: Path, intervals: Mapping[str, int] = SHORT) -> None:
        self.home = folder / "home"
        # the name identifies the processes of this lake
        self.lake = folder / f"lake-{os.getpid()}-{folder.name}"
        self.gate = Gate(Exchange(SimulatedMarket(seed=7, symbols=SYMBOLS, clock=lambda: LATER)))
        self.server = serve(self.gate)  # type: ignore[arg-type]
        self._configure(intervals)

    @classmethod
    @contextmanager
    def running(cls, folder: Path, intervals: Mapping[str, int] = SHORT) -> Iterator[Self]:
        """A running platform with registered symbols and no bars."""
        platform = cls(folder, intervals)
        try:
            platform.start()
            platform.ui.run(["universe"])
            yield platform
        finally:
            platform.ui.stop()
            platform.server.close()

    def start(self, port: int | None = None) -> None:
        """Start the web UI, as a service manager does after it ended, on a free port, and wait until it answers."""
        if hasattr(self, "ui"):
            self.ui.process.wait(60)
        environment = {HOME_VARIABLE: str(self.home), "MASSIVE_API_KEY": "a-key-of-tests"}
        self.ui = WebUI(self.lake, home=self.home, environment=environment, port=port)
        self.ui.wait_until_it_answers()

    def wait_until_ended(self, service: str) -> None:
        """Wait until the web UI has ended because a service did, and has named that service."""
        assert self.ui.process.wait(60) == 1
        (line,) = [line for line in self.ui.log.read_text().splitlines() if line.startswith("smallcaps ui: ")][-1:]
        assert service in line
        assert "ended" in line

    def reset(self) -> None:
        """Delete bars and recorded requests, and start the web UI if it is not running."""
        if self.ui.process.poll() is not None:
            self.start()
        self.ui.wait_until_it_answers()
        self.ui.wait_for_its_code()
        until("nothing is under way", lambda: not self.runs(*UNDER_WAY), RUNS_S)
        shutil.rmtree(self.lake / "bars", ignore_errors=True)
        self.gate.rule = lambda path, query: None  # noqa: ARG005
        self.gate.requests.clear()

    def hold(self) -> HoldRequests:
        """Pass a few requests for bars and hold the others."""
        self.gate.rule = hold = HoldRequests(LET_THROUGH)
        return hold

    def wait_until_it_waits(self, hold: HoldRequests) -> None:
        """Wait until the passed requests are published and every thread of the run waits for a response."""
        until(
            "the run waits for answers",
            lambda: self.months() == LET_THROUGH and len(hold.waiting) == THREADS,
            RUNS_S,
        )

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's state."""
        (state,) = (self.home / ".dagster" / "lakes").iterdir()
        with dg.DagsterInstance.from_config(str(state)) as instance:
            yield instance

    def runs(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """Runs with these statuses (any if none is given), newest first."""
        with self.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(statuses=list(statuses))))

    def run(self, run_id: str) -> dg.DagsterRun:
        with self.instance() as instance:
            run = instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def started_at(self, run_id: str) -> float:
        """When a run started, Unix seconds."""
        with self.instance() as instance:
            record = instance.get_run_record_by_id(run_id)
        assert record is not None
        assert record.start_time is not None
        return record.start_time

    def retries_of(self, run_id: str) -> list[dg.DagsterRun]:
        """The repetitions of a run, newest first."""
        return [run for run in self.runs() if run.root_run_id == run_id and run.run_id != run_id]

    def failure_of(self, run_id: str) -> str:
        """The error of the failed step of a run."""
        with self.instance() as instance:
            entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        errors = [entry.get_dagster_event().step_failure_data.error for entry in entries]
        return "\n".join(error.to_string() for error in errors if error)

    def worker(self, run_id: str) -> psutil.Process:
        """The process of a run."""
        with self.instance() as instance:
            run = instance.get_run_by_id(run_id)
            process = run and worker(instance, run)
        assert process is not None
        return process

    def launch(self, first: int, last: int, **tags: str) -> str:
        """Launch a run over the bars of symbols by their numbers; returns its id."""
        symbols = self.ui.symbols()
        return self.ui.launch(["minute_bars"], symbols[first], symbols[last], **tags)

    def backfill(self) -> str:
        """Launch the backfill of all bars, as the web UI does; returns its id."""
        params = {"assetSelection": [{"path": ["minute_bars"]}], "partitionNames": self.ui.symbols()}
        launched = self.ui.ask(_BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        backfill_id: str = launched["backfillId"]
        return backfill_id

    def backfill_status(self, backfill_id: str) -> str:
        with self.instance() as instance:
            backfill = instance.get_backfill(backfill_id)
        assert backfill is not None
        return str(backfill.status.value)

    def cancel(self, run_id: str) -> None:
        """Cancel a run as the web UI does."""
        results = self.ui.ask(_CANCEL, ids=[run_id])["terminateRuns"]["terminateRunResults"]
        assert [result["__typename"] for result in results] == ["TerminateRunSuccess"]

    def services(self, *words: str) -> list[psutil.Process]:
        """The processes of this platform whose command line has one of these words."""
        return [process for process in self.ui.processes() if {*words} & {*process.cmdline()}]

    def slots_taken(self) -> int:
        """How many slots of the pool `vendor` are taken."""
        with self.instance() as instance:
            return instance.event_log_storage.get_concurrency_info(VENDOR_POOL).active_slot_count

    def slot_holder(self) -> str:
        """The id of the run that holds the slot of the pool `vendor`."""
        with self.instance() as instance:
            (run_id,) = instance.event_log_storage.get_concurrency_info(VENDOR_POOL).active_run_ids
        return run_id

    def requested_twice(self) -> list[str]:
        """Requests for bars that were sent more than once."""
        times = Counter(path for path, _ in self.gate.requests if BARS in path)
        return sorted(path for path, number in times.items() if number > 1)

    def months(self) -> int:
        """How many months of bars are published."""
        return len(list((self.lake / "bars" / "minute").glob("symbol=*/*.parquet")))

    def _configure(self, intervals: Mapping[str, int]) -> None:
        (self.home / "config").mkdir(parents=True)
        shutil.copy(REPOSITORY / "workspace.yaml", self.home)
        settings = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
        settings["source"] |= {"kind": "vendor", "base_url": self.server.base_url, "max_retries": 1}
        # a request that is held while the web UI restarts is not sent a second time
        settings["source"]["timeout_s"] = float(RUNS_S)
        settings["history"]["first_session"] = FIRST_SESSION
        settings |= {"partitions_per_run": PER_RUN, "fetch_threads": THREADS}
        (self.home / "config" / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        dagster = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text(encoding="utf-8"))
        dagster["run_monitoring"] |= intervals
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(dagster), encoding="utf-8")
