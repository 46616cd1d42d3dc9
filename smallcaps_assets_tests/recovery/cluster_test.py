"""Several machines on one lake: both work, one dies, a run is cancelled; the tables are those of one machine."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import Final

import dagster as dg
import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.commands.cluster.readiness import check_cluster
from smallcaps_assets.commands.services.state import open_state
from smallcaps_assets.defs.runs.cluster.broker import WORKER_TAG
from smallcaps_assets.domain.tape.schemas import TAPE_KINDS
from smallcaps_assets.lake.files import publish
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.ledger import build_ledger
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.source import profile_tape
from smallcaps_assets.pipeline.tape.capture import Capture
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.conftest import client_of
from smallcaps_assets_tests.recovery.cluster import FOLLOWED, KEY, Cluster
from smallcaps_assets_tests.redis_server import PASSWORD
from smallcaps_assets_tests.web_server import RUNS_S, until

pytestmark = pytest.mark.slow

TAPES: Final = [f"core/tape_{kind}" for kind in TAPE_KINDS]
LEDGER: Final = "core/capture_ledger"
SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
# columns of the ledger that say when a file was fetched, by which request, and the digest of the bytes with both
OF_THE_FETCH: Final = "_(fetched_at|request_ids|sha256)$"
_CANCEL: Final = """
mutation ($ids: [String!]!) { terminateRuns(runIds: $ids, terminatePolicy: SAFE_TERMINATE) {
  ... on TerminateRunsResult { terminateRunResults { __typename } }
} }"""


class HoldQuotes:
    """A rule of the gate: holds the requests for quotes of some symbols until each is released."""

    def __init__(self, *symbols: str) -> None:
        self._released = {symbol: Event() for symbol in symbols}
        self.waiting: Counter[str] = Counter()

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG002
        symbol = path.rpartition("/")[2]
        if path.startswith("/v3/quotes/") and symbol in self._released and not self._released[symbol].is_set():
            self.waiting[symbol] += 1
            self._released[symbol].wait(RUNS_S)
        return None

    def release(self, symbol: str) -> None:
        self._released[symbol].set()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster.running(tmp_path_factory.mktemp("cluster"), "alpha", "beta") as running:
        yield running


def test_two_machines_do_what_one_does_and_one_of_them_dies(
    cluster: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    alone = Lake(tmp_path / "alone")
    shutil.copytree(cluster.lake.root, alone.root)
    cluster.gate.rule = hold = HoldQuotes("CRVO", "DRFT")

    # both machines have a place for one run: the first run waits for an answer, so that the other machine gets the rest
    runs = {"CRVO": launch(cluster, "CRVO"), "AVLO": launch(cluster, "AVLO", "BNRX"), "DRFT": launch(cluster, "DRFT")}
    until("the run over two symbols succeeds", lambda: status(cluster, runs["AVLO"]) == SUCCESS, RUNS_S)
    until("both other runs wait", lambda: set(hold.waiting) == {"CRVO", "DRFT"}, RUNS_S)
    machines = {symbol: cluster.machine_of(run) for symbol, run in runs.items()}
    dies, lives = machines["CRVO"], machines["DRFT"]
    assert {dies, lives} == {"alpha", "beta"}
    assert machines["AVLO"] == lives

    opening_and_sweeping_leave_other_machines_alone(cluster, runs)
    found = check_cluster(cluster.settings)
    assert found is not None
    assert found.message.endswith(": 2 runs at once: alpha (1 run), beta (1 run)")

    # cancelled in the web UI: canceled only when its process, on another machine, is gone
    assert processes_of(runs["DRFT"])
    (answer,) = cluster.ui.ask(_CANCEL, ids=[runs["DRFT"]])["terminateRuns"]["terminateRunResults"]
    assert answer["__typename"] == "TerminateRunSuccess"
    assert status(cluster, runs["DRFT"]) == CANCELED
    assert not processes_of(runs["DRFT"])
    hold.release("DRFT")

    # a power cut: noticed, and the run repeated by the machine that is left
    assert status(cluster, runs["CRVO"]) == dg.DagsterRunStatus.STARTED
    cluster.machines[str(dies)].kill()
    killed_at = time.time()
    until("the death is noticed", lambda: status(cluster, runs["CRVO"]) == FAILURE, RUNS_S)
    # stands in the report of the tests; that it is below 30 s follows from the settings, see unit/defs/cluster_test.py
    record_property("noticed_s", round(failed_at(cluster, runs["CRVO"]) - killed_at, 1))
    hold.release("CRVO")
    until("the run is repeated", lambda: retry_of(cluster, runs["CRVO"], SUCCESS), RUNS_S)
    assert cluster.machine_of(retry_of(cluster, runs["CRVO"], SUCCESS)) == lives

    last = launch(cluster, "DRFT", tables=(LEDGER,))
    until("the ledger is made", lambda: status(cluster, last) == SUCCESS, RUNS_S)

    assert 429 not in cluster.gate.statuses
    asked = Counter((path.split("/")[2], path.rpartition("/")[2], str(query)) for path, query in cluster.gate.requests)
    assert {(kind, symbol) for (kind, symbol, _), times in asked.items() if times > 1} == {
        ("quotes", "CRVO"),
        ("quotes", "DRFT"),
    }, "what was under way when its run ended, and nothing published"
    text = cluster.texts()
    assert PASSWORD not in text
    assert KEY not in text
    work_on_one_machine(cluster, alone)
    require_same_tables(cluster.lake, alone)


def opening_and_sweeping_leave_other_machines_alone(cluster: Cluster, runs: Mapping[str, str]) -> None:
    """Another machine opens the state, and cleans up in a folder where a living process of a machine writes."""
    identity = cluster.run(runs["CRVO"]).tags[WORKER_TAG].partition("@")[0]
    table = cluster.lake.ledger("core")
    table.parent.mkdir(parents=True, exist_ok=True)
    part = table.with_name(f".{table.name}.{identity}.1.part")
    part.touch()
    with open_state(cluster.settings):
        publish.sweep(table)
    assert part.exists()
    part.unlink()
    assert status(cluster, runs["CRVO"]) == status(cluster, runs["DRFT"]) == dg.DagsterRunStatus.STARTED


def launch(cluster: Cluster, first: str, last: str = "", tables: tuple[str, ...] = ()) -> str:
    return cluster.ui.launch([*TAPES, *tables], f"{first}|RTH", f"{last or first}|RTH")


def status(cluster: Cluster, run_id: str) -> dg.DagsterRunStatus:
    return cluster.run(run_id).status


def failed_at(cluster: Cluster, run_id: str) -> float:
    """When the state recorded that a run has failed, in seconds since 1970."""
    (record,) = cluster.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
    assert record.end_time is not None
    return record.end_time


def retry_of(cluster: Cluster, run_id: str, reached: dg.DagsterRunStatus) -> str:
    """The repetition of a run that has reached a status; empty if none has."""
    found = cluster.instance.get_runs(dg.RunsFilter(statuses=[reached]))
    return next((run.run_id for run in found if run.parent_run_id == run_id), "")


def processes_of(run_id: str) -> list[psutil.Process]:
    """The processes that name a run on their command line, on whichever machine."""
    return [found for found in psutil.process_iter(["cmdline"]) if run_id in " ".join(found.info["cmdline"] or [])]


def work_on_one_machine(cluster: Cluster, lake: Lake) -> None:
    """Capture the same manifest without Dagster, in this process."""
    store, manifests = profile_tape(lake, "core", cluster.settings), ManifestStore.in_lake(lake, "core")
    manifest = manifests.load()
    with client_of(cluster.gate) as client:
        for kind in TAPE_KINDS:
            capture = Capture(kind, store, client, 1, "0" * 16, log=lambda line: None)  # noqa: ARG005
            assert not [outcome.problems for outcome in capture.run(manifest, pairs()) if outcome.problems]
    publish.publish_frame(lake.ledger("core"), build_ledger(manifest, store, manifests.current_id()), below=lake.root)


def pairs() -> list[tuple[str, str]]:
    return [(symbol, "RTH") for symbol in FOLLOWED]


def require_same_tables(one: Lake, other: Lake) -> None:
    """Make sure that two lakes have the same parquet files with the same content."""
    names = tables_of(one)
    assert names == tables_of(other)
    assert len([name for name in names if "wave=RTH" in name]) == 2 * 2 * len(FOLLOWED)
    for name in names:
        assert_frame_equal(content(one.root / name), content(other.root / name))


def tables_of(lake: Lake) -> list[str]:
    return sorted(path.relative_to(lake.root).as_posix() for path in lake.root.rglob("*.parquet"))


def content(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, hive_partitioning=False).select(pl.exclude(f"^.*{OF_THE_FETCH}"))
