"""In a night, partitions are recorded again only where their last record does not say what a new one would say."""

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from smallcaps_assets.defs.partitions import range_tags
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure, PartitionRecorder
from smallcaps_assets.defs.runs.run_tags import NIGHTLY
from smallcaps_assets.pipeline.outcome import Outcome

KEYS = dg.StaticPartitionsDefinition(["A", "B"])
UPPER, LOWER = dg.AssetKey("upper"), dg.AssetKey("lower")


class World:
    """Two assets of the same partitions, one made from the other and from a table; and what their steps find."""

    def __init__(self, state: dg.DagsterInstance) -> None:
        self.instance = state
        self.code = "1"
        self.table = "t1"
        self._definitions = dict[str, dg.Definitions]()
        self.outcomes = {
            asset: {key: Outcome((key,), {"requests": 0}, rows=1, version="v1") for key in "AB"}
            for asset in ("upper", "lower")
        }

    def definitions(self) -> dg.Definitions:
        if self.code not in self._definitions:
            self._definitions[self.code] = self._build()
        return self._definitions[self.code]

    def _build(self) -> dg.Definitions:
        @dg.asset
        def table() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult(data_version=dg.DataVersion(self.table))

        def by_symbol(name: str, deps: list[str], code: str) -> dg.AssetsDefinition:
            @dg.asset(
                name=name,
                deps=deps,
                partitions_def=KEYS,
                code_version=code,
                backfill_policy=dg.BackfillPolicy.single_run(),
            )
            def made(
                context: dg.AssetExecutionContext, config: ContinueOnFailure
            ) -> Iterator[dg.MaterializeResult[None]]:
                keys = {(key,): key for key in context.partition_keys}
                recorder = PartitionRecorder.of(context, keys)
                found = self.outcomes[name]
                yield from recorder.run([found[key] for key in keys.values()], continue_on_failure=config.go_on)

            return made

        assets = [table, by_symbol("upper", ["table"], "1"), by_symbol("lower", ["upper"], self.code)]

        others = [dg.define_asset_job(f"only_{name}", [name]) for name in ("upper", "lower")]
        night = dg.define_asset_job(NIGHTLY, ["upper", "lower"], executor_def=dg.in_process_executor)
        return dg.Definitions(assets, jobs=[night, *others, dg.define_asset_job("of_table", ["table"])])

    def run(self, job: str = NIGHTLY, *, fails: bool = False, partitions: str = "AB") -> set[str]:
        """What a run records, such as `upper A`."""
        tags = {} if job == "of_table" else range_tags(partitions[0], partitions[-1])
        made = self.definitions().resolve_job_def(job)
        result = made.execute_in_process(instance=self.instance, tags=tags, raise_on_error=False)
        assert result.success != fails
        events = result.get_asset_materialization_events()
        return {
            f"{event.asset_key.to_user_string()} {event.partition}"
            for event in events
            if event.asset_key and event.partition
        }

    def stale(self) -> set[str]:
        """What Dagster shows as out of date."""
        graph = self.definitions().resolve_asset_graph()
        ask = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        return {
            f"{asset.to_user_string()} {key}"
            for asset in (UPPER, LOWER)
            for key in "AB"
            if ask.get_status(asset, key).value != "FRESH"
        }

    def change(self, asset: str, key: str, **changes: object) -> None:
        before = self.outcomes[asset][key]
        fields = {
            "figures": before.figures,
            "problems": before.problems,
            "rows": before.rows,
            "version": before.version,
        }
        self.outcomes[asset][key] = Outcome((key,), **(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Everything is recorded once; a run plans its partitions in one event, as those of the product."""
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")
    with dg.DagsterInstance.ephemeral() as instance:
        found = World(instance)
        found.run("of_table")
        assert found.run() == {"upper A", "upper B", "lower A", "lower B"}
        yield found


def test_what_changed_is_recorded_and_nothing_is_stale_afterwards(world: World) -> None:
    assert world.run() == set() == world.stale()
    world.change("upper", "A", version="v2")
    # the content of lower A is the same, but its record names the former input: left as it is, it would be stale
    assert world.run() == {"upper A", "lower A"}
    assert world.stale() == set()
    world.table = "t2"
    world.run("of_table")
    assert world.stale() == {"upper A", "upper B"}
    assert world.run() == {"upper A", "upper B", "lower A", "lower B"}
    assert world.stale() == set()
    world.code = "2"
    assert world.stale() == {"lower A", "lower B"}
    assert world.run() == {"lower A", "lower B"}
    assert world.run() == set() == world.stale()
    # a backfill counts the partitions that its runs record
    assert world.run("only_upper") == {"upper A", "upper B"}


def test_a_partition_is_recorded_where_its_content_is_not_known_or_the_report_sums_its_figures(world: World) -> None:
    world.change("upper", "A", version=None)
    world.change("upper", "B", figures={"requests": 1})
    assert world.run() == {"upper A", "upper B", "lower A", "lower B"}


def test_failed_partitions_are_recorded_when_they_are_as_before_and_others_stay_materialized(world: World) -> None:
    def status() -> list[AssetPartitionStatus | None]:
        found = world.instance.get_status_by_partition(UPPER, ["A", "B"], KEYS) or {}
        return [found["A"], found["B"]]

    world.change("upper", "B", problems=("B: no answer",))
    world.run(fails=True)
    assert status() == [AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.FAILED]
    world.change("upper", "B", problems=())
    assert world.run() == {"upper B", "lower B"}
    assert status() == [AssetPartitionStatus.MATERIALIZED, AssetPartitionStatus.MATERIALIZED]
