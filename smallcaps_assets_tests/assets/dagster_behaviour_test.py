"""Behaviour of Dagster that the assets rely on. If one of these fails after an upgrade, review `defs/`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from smallcaps_assets.defs.recording.events import RECORDED, mark_failed
from smallcaps_assets.defs.recording.provenance import data_version_tags, provenance_tags
from smallcaps_assets_tests.assets.conftest import IN_BOTH_LONG

LETTERS = dg.DynamicPartitionsDefinition(name="letters")
GRID = dg.MultiPartitionsDefinition({"letter": LETTERS, "wave": dg.StaticPartitionsDefinition(["PM", "AH", "RTH"])})
SEEN: list[list[str]] = []


@pytest.fixture
def instance(storage: dict[str, Any], tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's state, in memory or in PostgreSQL."""
    SEEN.clear()
    kept = dg.DagsterInstance.local_temp(str(tmp_path), storage) if storage else dg.DagsterInstance.ephemeral()
    with kept as made:
        made.add_dynamic_partitions("letters", ["a", "b", "c"])
        yield made


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
def lettered(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    SEEN.append(list(context.partition_keys))
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata({"number": number}, partition_key=key)
    return dg.MaterializeResult()


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
def breaking(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    for key in context.partition_keys:
        if key != "b":
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata={"done": 1}))
    raise ValueError("b is not whole")


@dg.asset(partitions_def=GRID, backfill_policy=dg.BackfillPolicy.multi_run(200))
def gridded(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    SEEN.append(list(context.partition_keys))
    assert all(isinstance(key, dg.MultiPartitionKey) for key in context.partition_keys)
    return dg.MaterializeResult()


def materialize(
    asset: dg.AssetsDefinition, instance: dg.DagsterInstance, first: str, last: str
) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    job = dg.Definitions(assets=[asset]).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def key(letter: str, wave: str) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({"letter": letter, "wave": wave})


def test_a_range_of_tags_is_one_call_with_all_its_keys(instance: dg.DagsterInstance) -> None:
    assert materialize(lettered, instance, "a", "b").success
    assert SEEN == [["a", "b"]]
    assert set(instance.get_materialized_partitions(lettered.key)) == {"a", "b"}


def test_metadata_can_be_given_to_each_partition(instance: dg.DagsterInstance) -> None:
    result = materialize(lettered, instance, "a", "c")
    found = {
        event.partition: event.step_materialization_data.materialization.metadata["number"].value
        for event in result.get_asset_materialization_events()
    }
    assert found == {"a": 0, "b": 1, "c": 2}


@IN_BOTH_LONG
def test_partitions_logged_before_a_failure_stay_materialized(instance: dg.DagsterInstance) -> None:
    assert not materialize(breaking, instance, "a", "c").success
    assert set(instance.get_materialized_partitions(breaking.key)) == {"a", "c"}


def test_a_range_over_one_wave_is_that_wave_of_all_letters(instance: dg.DagsterInstance) -> None:
    assert materialize(gridded, instance, key("a", "AH"), key("c", "AH")).success
    assert [[str(key(letter, "AH")) for letter in "abc"]] == SEEN


def test_a_range_over_two_waves_is_a_cross_product(instance: dg.DagsterInstance) -> None:
    materialize(gridded, instance, key("a", "PM"), key("b", "AH"))
    assert sorted(SEEN[0]) == sorted(str(key(letter, wave)) for letter in "ab" for wave in ("PM", "AH"))


def test_keys_of_two_dimensions_have_keys_by_dimension(instance: dg.DagsterInstance) -> None:
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        keys = GRID.get_partition_keys()
    assert len(keys) == 9
    (one,) = [found for found in keys if found == "b|RTH"]
    assert isinstance(one, dg.MultiPartitionKey)
    assert dict(one.keys_by_dimension) == {"letter": "b", "wave": "RTH"}


@IN_BOTH_LONG
def test_partitions_that_are_added_again_keep_their_order(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("letters", ["d", "a", "b"])
    assert list(instance.get_dynamic_partitions("letters")) == ["a", "b", "c", "d"]


# ------------------------------------------------------------------------------------------ failed partitions

# with it Dagster records one plan for a range of partitions instead of one for each
ONE_PLAN = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
def going_on(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    for letter in context.partition_keys:
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=letter))
    recorded = context.instance.get_materialized_partitions(context.asset_key)
    assert set(recorded) == {"a", "b", "c"}, "what is logged is there at once"
    mark_failed(context.op_execution_context, context.asset_key, ["b"])
    yield dg.MaterializeResult(metadata=RECORDED)


@dg.asset(deps=[going_on])
def at_the_end() -> Iterator[dg.MaterializeResult[None]]:
    yield dg.MaterializeResult()
    raise ValueError("b is not whole")


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
def marking(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log_event(dg.AssetMaterialization(context.asset_key, partition="a"))
    mark_failed(context.op_execution_context, context.asset_key, ["b", "c"])
    raise ValueError("b and c are not whole")


def shown(instance: dg.DagsterInstance, asset: dg.AssetsDefinition) -> dict[str, set[str]]:
    """Partitions by their colour in the web UI: failed ones are red even if they are materialized."""
    value = get_and_update_asset_status_cache_value(instance, asset.key, LETTERS)
    assert value is not None
    failed = set(value.deserialize_failed_partition_subsets(LETTERS).get_partition_keys())
    running = set(value.deserialize_in_progress_partition_subsets(LETTERS).get_partition_keys())
    green = set(value.deserialize_materialized_partition_subsets(LETTERS).get_partition_keys()) - failed
    return {"green": green, "red": failed, "running": running}


@pytest.fixture(params=["1", "0"], ids=["one plan", "a plan for each"])
def plans(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(ONE_PLAN, request.param)
    return request.param


def run_together(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, tags: Mapping[str, str]) -> bool:
    job = dg.define_asset_job("together", list(assets))
    resolved = dg.Definitions(assets=list(assets), jobs=[job]).resolve_job_def("together")
    return resolved.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success


WHOLE = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}


@IN_BOTH_LONG
@pytest.mark.usefixtures("plans")
def test_partitions_a_step_marks_as_failed_are_failed_once_a_later_step_fails_the_run(
    instance: dg.DagsterInstance,
) -> None:
    assert not run_together(instance, going_on, at_the_end, tags=WHOLE)
    assert shown(instance, going_on) == {"green": {"a", "c"}, "red": {"b"}, "running": set()}
    assert instance.get_latest_materialization_event(at_the_end.key) is not None
    assert run_together(instance, lettered_as_going_on(), tags=WHOLE)
    assert shown(instance, going_on) == {"green": {"a", "b", "c"}, "red": set(), "running": set()}


def lettered_as_going_on() -> dg.AssetsDefinition:
    """The same asset without the failure."""

    @dg.asset(name="going_on", partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
    def well() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    return well


@IN_BOTH_LONG
@pytest.mark.usefixtures("plans")
def test_partitions_a_failing_step_marks_are_failed(instance: dg.DagsterInstance) -> None:
    assert not materialize(marking, instance, "a", "c").success
    assert shown(instance, marking) == {"green": {"a"}, "red": {"b", "c"}, "running": set()}


def test_a_failing_step_that_marks_no_partition_fails_the_planned_ones(
    instance: dg.DagsterInstance, plans: str
) -> None:
    assert not materialize(breaking, instance, "a", "c").success
    assert shown(instance, breaking)["red"] == (set() if plans == "1" else {"b"})


def test_partitions_in_progress_are_shown_only_if_each_is_planned(instance: dg.DagsterInstance, plans: str) -> None:
    seen = []

    @dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
    def looking() -> dg.MaterializeResult[None]:
        seen.append(shown(instance, looking)["running"])
        return dg.MaterializeResult()

    assert materialize(looking, instance, "a", "c").success
    assert seen == [set() if plans == "1" else {"a", "b", "c"}]
    assert shown(instance, looking)["green"] == {"a", "b", "c"}


def test_an_asset_job_runs_partitioned_and_other_assets_in_order_in_one_run(instance: dg.DagsterInstance) -> None:
    @dg.asset(deps=[lettered])
    def table() -> None:
        SEEN.append(["table"])

    assert run_together(instance, lettered, table, tags=WHOLE)
    assert SEEN == [["a", "b", "c"], ["table"]]
    assert len(instance.get_runs()) == 1


# ------------------------------------------------------------------------------------------- stale assets

BY_LETTER: dict[str, Any] = {"partitions_def": LETTERS, "backfill_policy": dg.BackfillPolicy.multi_run(200)}


def source(version: str = "1") -> dg.AssetsDefinition:
    @dg.asset(**BY_LETTER, code_version=version)
    def source() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(data_version=dg.DataVersion("of the run"))

    return source


@dg.asset(**BY_LETTER, deps=["source"], code_version="1")
def derived() -> None: ...


@dg.asset(deps=["source"])
def gathered() -> None: ...


def causes(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None, of: dg.AssetsDefinition | None = None
) -> list[str]:
    """The reasons for which an asset or partition is shown as stale."""
    graph = dg.Definitions(assets=[of or source(), derived, gathered]).resolve_asset_graph()
    ask = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found = ask.get_stale_root_causes(dg.AssetKey(asset), partition)
    assert (ask.get_status(dg.AssetKey(asset), partition).value == "STALE") == bool(found)
    return [f"{cause.category.value} {cause.asset_key.to_user_string()} {cause.partition_key}" for cause in found]


def made_of_source(instance: dg.DagsterInstance) -> None:
    assert run_together(instance, source(), derived, gathered, tags=WHOLE)


def tell(instance: dg.DagsterInstance, partition: str, version: str) -> None:
    """Report a partition of the source with its own data version."""
    tags = provenance_tags(instance, "1", []) | data_version_tags(version)
    instance.report_runless_asset_event(dg.AssetMaterialization("source", partition=partition, tags=tags))


def test_all_partitions_of_a_run_get_its_one_data_version(instance: dg.DagsterInstance) -> None:
    result = materialize(source(), instance, "a", "c")
    events = result.get_asset_materialization_events()
    tags = [event.step_materialization_data.materialization.tags or {} for event in events]
    assert [one["dagster/data_version"] for one in tags] == ["of the run"] * 3


@IN_BOTH_LONG
def test_partitions_are_stale_individually_and_their_asset_never_is(instance: dg.DagsterInstance) -> None:
    made_of_source(instance)
    assert causes(instance, "source", "a") == []
    assert causes(instance, "source", "a", of=source("2")) == ["CODE source a"]
    assert causes(instance, "source", of=source("2")) == []
    # a new code version alone makes no existing partition stale
    assert causes(instance, "derived", "a", of=source("2")) == []


@IN_BOTH_LONG
def test_the_last_event_of_a_partition_counts_regardless_of_its_origin(instance: dg.DagsterInstance) -> None:
    made_of_source(instance)
    tell(instance, "b", "of the run")
    assert causes(instance, "derived", "b") == causes(instance, "gathered") == []
    tell(instance, "b", "another")
    assert causes(instance, "derived", "a") == []
    assert causes(instance, "derived", "b") == ["DATA source b"]
    assert causes(instance, "gathered") == ["DATA source b"]
    tell(instance, "b", "of the run")
    assert causes(instance, "derived", "b") == causes(instance, "gathered") == []


def test_without_a_code_version_the_time_of_materialization_decides(instance: dg.DagsterInstance) -> None:
    made_of_source(instance)
    instance.report_runless_asset_event(dg.AssetMaterialization("derived", partition="a"))
    tell(instance, "a", "of the run")
    assert causes(instance, "derived", "a") == ["DATA source a"]
    assert causes(instance, "derived", "b") == []


@pytest.mark.parametrize(("partitions", "seen"), [(99, True), (100, False)])
def test_updates_of_100_or_more_partitions_are_not_detected(
    instance: dg.DagsterInstance, partitions: int, seen: bool
) -> None:
    made_of_source(instance)
    instance.add_dynamic_partitions("letters", [f"letter {number}" for number in range(3, partitions)])
    tell(instance, "b", "another")
    assert causes(instance, "gathered") == (["DATA source b"] if seen else [])


def test_a_result_marked_as_recorded_is_not_recorded_again_and_later_steps_run(instance: dg.DagsterInstance) -> None:
    @dg.asset(name="source", **BY_LETTER, code_version="1")
    def recorded(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        for letter in context.partition_keys:
            tags = provenance_tags(instance, "1", []) | data_version_tags(letter)
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=letter, tags=tags))
        return dg.MaterializeResult(metadata=RECORDED)

    assert run_together(instance, recorded, derived, gathered, tags=WHOLE)
    records = instance.fetch_materializations(recorded.key, limit=10).records
    assert sorted(str(record.partition_key) for record in records) == ["a", "b", "c"]
    assert shown(instance, recorded)["green"] == {"a", "b", "c"}
    assert causes(instance, "derived", "a") == causes(instance, "gathered") == []


def test_provenance_tags_equal_those_of_dagster(instance: dg.DagsterInstance) -> None:
    assert run_together(instance, source(), tags=WHOLE)
    ours = provenance_tags(instance, "1", [dg.AssetKey("source")])
    # for one partition; for several Dagster records a digest of their data versions
    assert run_together(instance, derived, gathered, tags=WHOLE)
    event = instance.get_latest_materialization_event(derived.key)
    assert event is not None
    assert event.asset_materialization is not None
    theirs = dict(event.asset_materialization.tags or {})
    assert theirs.keys() - ours.keys() == {"dagster/data_version"}
    assert theirs["dagster/input_event_pointer/source"] == ours["dagster/input_event_pointer/source"]
    assert theirs["dagster/code_version"] == ours["dagster/code_version"]
