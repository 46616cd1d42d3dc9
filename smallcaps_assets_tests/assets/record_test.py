"""When partitions are recorded in Dagster, and their state after a step ended with an error."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from smallcaps_assets.defs.partitions import range_tags, tape_key
from smallcaps_assets.defs.recording.partition_recorder import RECORD_EVERY_S, ContinueOnFailure, PartitionRecorder
from smallcaps_assets.defs.recording.provenance import step_provenance
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import BATCH_SIZE, BATCH_VARIABLE
from smallcaps_assets.simulated.protocol.wire import Reply
from smallcaps_assets_tests.assets.conftest import IN_BOTH
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites, by_path

KEYS = dg.StaticPartitionsDefinition(["A", "B", "C", "D"])
FIRST, LAST = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
BARS = dg.AssetKey("minute_bars")
# how long the exchange holds a request before it gives up waiting for the records of others
PATIENCE_S = 30.0
# outcomes of the partitions of a step, given its recorder
Source = Callable[[PartitionRecorder], Iterator[Outcome]]


@pytest.fixture
def instance(storage: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    # as in the product: Dagster plans a range at once, and does not know which of its partitions failed
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    monkeypatch.setenv(BATCH_VARIABLE, BATCH_SIZE)
    with dg.DagsterInstance.local_temp(str(tmp_path), {"telemetry": {"enabled": False}, **storage}) as opened_instance:
        yield opened_instance


def run(
    instance: dg.DagsterInstance,
    source: Source,
    clock: Callable[[], float] = time.monotonic,
    *,
    continue_on_failure: bool = False,
) -> dg.ExecuteInProcessResult:
    """Materialize all of KEYS of the asset `worked`."""

    @dg.asset(partitions_def=KEYS, backfill_policy=dg.BackfillPolicy.single_run())
    def worked(context: dg.AssetExecutionContext, config: ContinueOnFailure) -> Iterator[dg.MaterializeResult[None]]:
        keys: dict[tuple[str, ...], str] = {(key,): key for key in "ABCD"}
        step = context.op_execution_context
        recorder = PartitionRecorder(step, context.asset_key, keys, step_provenance(context), clock)
        yield from recorder.run(source(recorder), continue_on_failure=config.go_on)

    job = dg.Definitions([worked]).resolve_implicit_global_asset_job_def()
    config = {"ops": {"worked": {"config": {"go_on": continue_on_failure}}}}
    tags = range_tags("A", "D")
    return job.execute_in_process(instance=instance, run_config=config, tags=tags, raise_on_error=False)


def recorded(instance: dg.DagsterInstance, asset: str | dg.AssetKey = "worked") -> list[str | None]:
    """The partitions of all materializations of an asset by runs, the oldest first.

    What failed of a partition is recorded outside of its run.
    """
    key = dg.AssetKey(asset) if isinstance(asset, str) else asset
    records = instance.fetch_materializations(key, limit=100).records
    return [record.partition_key for record in reversed(records) if record.run_id]


def status(instance: dg.DagsterInstance) -> dict[str, AssetPartitionStatus | None]:
    return dict(instance.get_status_by_partition(dg.AssetKey("worked"), list("ABCD"), KEYS) or {})


def broken_off(_: PartitionRecorder) -> Iterator[Outcome]:
    yield Outcome(("A",), {"rows": 1})
    yield Outcome(("B",), {"rows": 2}, ("B: its file is damaged",))
    raise RuntimeError("a defect")


@IN_BOTH
def test_after_an_error_finished_partitions_are_materialized_and_the_rest_failed(instance: dg.DagsterInstance) -> None:
    assert not run(instance, broken_off).success
    failed = AssetPartitionStatus.FAILED
    assert status(instance) == {"A": AssetPartitionStatus.MATERIALIZED, "B": failed, "C": failed, "D": failed}


def test_partitions_that_finish_within_a_second_are_recorded_together(instance: dg.DagsterInstance) -> None:
    now, seen = [100.0], list[list[str | None]]()

    def source(recorder: PartitionRecorder) -> Iterator[Outcome]:
        for key, later in (("A", 0.0), ("B", 0.0), ("C", RECORD_EVERY_S - 0.1), ("D", 0.1)):
            now[0] += later
            yield Outcome((key,), {"rows": 1})
            seen.append(recorded(instance))
        now[0] += RECORD_EVERY_S
        recorder.tick()
        seen.append(recorded(instance))

    assert run(instance, source, lambda: now[0]).success
    # A at once, D a second after A, with what waited
    assert seen == [["A"], ["A"], ["A"], list("ABCD"), list("ABCD")]
    assert recorded(instance) == list("ABCD")


def test_while_the_work_waits_finished_partitions_are_recorded_after_a_second(instance: dg.DagsterInstance) -> None:
    now, seen = [100.0], list[list[str | None]]()

    def source(recorder: PartitionRecorder) -> Iterator[Outcome]:
        yield Outcome(("A",), {"rows": 1})
        yield Outcome(("B",), {"rows": 1})
        for _ in range(2):
            now[0] += RECORD_EVERY_S / 2
            recorder.tick()
            seen.append(recorded(instance))
        yield Outcome(("C",), {"rows": 1})

    assert run(instance, source, lambda: now[0]).success
    assert seen == [["A"], ["A", "B"]]
    assert recorded(instance) == ["A", "B", "C"]


@IN_BOTH
def test_a_failed_partition_is_recorded_at_the_end_and_only_if_the_run_continues(instance: dg.DagsterInstance) -> None:
    def source(_: PartitionRecorder) -> Iterator[Outcome]:
        yield Outcome(("B",), {"rows": 2}, ("B: its file is damaged",))
        for key in "ACD":
            yield Outcome((key,), {"rows": 1})

    assert not run(instance, source).success
    assert sorted(filter(None, recorded(instance))) == ["A", "C", "D"]
    assert run(instance, source, continue_on_failure=True).success
    assert recorded(instance)[3:] == ["A", "C", "D", "B"]


def test_the_page_of_a_partition_names_the_run_that_mended_it(instance: dg.DagsterInstance) -> None:
    def source(problems: tuple[str, ...]) -> Source:
        return lambda _: iter([Outcome((key,), {"rows": 1}, problems if key == "B" else ()) for key in "ABCD"])

    def named(partition: str) -> str | None:
        planned = instance.event_log_storage.get_latest_planned_materialization_info(dg.AssetKey("worked"), partition)
        return planned.run_id if planned else None

    failed = run(instance, source(("B: its file is damaged",)))
    assert (named("A"), named("B")) == (None, failed.run_id)
    assert status(instance)["B"] == AssetPartitionStatus.FAILED
    mended = run(instance, source(()))
    assert (named("A"), named("B")) == (None, mended.run_id)
    assert status(instance)["B"] == AssetPartitionStatus.MATERIALIZED


@pytest.fixture
def kept(tmp_path: Path, sites: Sites, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Three sessions; Dagster's state in a folder, which other threads may read."""
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    monkeypatch.setenv(BATCH_VARIABLE, BATCH_SIZE)
    for platform in sites.opened(tmp_path / "state"):
        platform.overrides |= {"history": {"first_session": "2025-11-26", "last_session": "2025-11-28"}}
        platform.run("universe")
        yield platform


class Hold:
    """Holds the requests of the last symbol until all other partitions of an asset are recorded, in a run under way."""

    def __init__(
        self, platform: Platform, asset: dg.AssetKey, keys: Mapping[str, str], requested: Iterable[str]
    ) -> None:
        """Hold requests for `requested` symbols; `keys` maps the symbols of the run to their partitions."""
        self.platform, self.asset, self.keys, self.to_come = platform, asset, keys, set(requested)
        self.lock = threading.Lock()
        self.statuses = list[dg.DagsterRunStatus]()

    def __call__(self, path: str, query: Mapping[str, str]) -> Reply | None:  # noqa: ARG002
        symbol = next(symbol for symbol in self.keys if symbol in path)
        with self.lock:
            is_last = self.to_come == {symbol}
            self.to_come.discard(symbol)
        if is_last:
            self._wait({key for other, key in self.keys.items() if other != symbol})
        return None

    def _wait(self, others: set[str]) -> None:
        instance, waited = self.platform.instance, threading.Event()
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if set(recorded(instance, self.asset)) == others:
                self.statuses = [run.status for run in instance.get_runs(limit=1)]
                return
            waited.wait(0.05)


def test_bars_of_a_symbol_are_recorded_while_others_are_fetched(kept: Platform) -> None:
    hold = Hold(kept, BARS, {symbol: symbol for symbol in SYMBOLS_OF_MARKET}, SYMBOLS_OF_MARKET)
    kept.gate.rule = hold
    kept.run("minute_bars", first=FIRST, last=LAST)
    assert hold.statuses == [dg.DagsterRunStatus.STARTED]
    assert Counter(recorded(kept.instance, BARS)) == dict.fromkeys(SYMBOLS_OF_MARKET, 1)


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_tape_of_a_symbol_is_recorded_while_other_windows_are_fetched(
    planned_in_folder: Platform, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    monkeypatch.setenv(BATCH_VARIABLE, BATCH_SIZE)
    keys = {symbol: str(tape_key(symbol, "RTH")) for symbol in SYMBOLS_OF_MARKET}
    asset = dg.AssetKey(["premium", f"tape_{kind}"])
    windows = ManifestStore(planned_in_folder.lake.manifests("premium"), "premium").load().filter(session="RTH")
    # symbols without an event are recorded without a request
    assert 1 < windows["symbol"].n_unique() < len(keys), "or this test shows less"
    hold = Hold(planned_in_folder, asset, keys, windows["symbol"])
    planned_in_folder.gate.rule = hold
    planned_in_folder.run(asset.path, first=keys[FIRST], last=keys[LAST])
    assert hold.statuses == [dg.DagsterRunStatus.STARTED]
    assert Counter(recorded(planned_in_folder.instance, asset)) == dict.fromkeys(keys.values(), 1)


def test_partitions_recorded_before_an_error_are_not_recorded_twice(kept: Platform) -> None:
    by_path(kept, f"ticker/{LAST}")
    kept.run("minute_bars", first=FIRST, last=LAST, fails=True)
    assert Counter(recorded(kept.instance, BARS)) == dict.fromkeys(SYMBOLS_OF_MARKET[:-1], 1)
    kept.gate.rule = lambda path, query: None  # noqa: ARG005
    kept.run("minute_bars", first=FIRST, last=LAST)
    assert Counter(recorded(kept.instance, BARS)) == dict.fromkeys(SYMBOLS_OF_MARKET[:-1], 2) | {LAST: 1}
