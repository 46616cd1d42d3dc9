"""Behaviour of Dagster that the assets lean on. If one of these fails after an upgrade, read `defs/` again."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from smallcaps_assets.defs.metadata import mark_failed

LETTERS = dg.DynamicPartitionsDefinition(name="letters")
GRID = dg.MultiPartitionsDefinition({"letter": LETTERS, "wave": dg.StaticPartitionsDefinition(["PM", "AH", "RTH"])})
SEEN: list[list[str]] = []


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    SEEN.clear()
    with dg.DagsterInstance.ephemeral() as made:
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


def test_what_was_logged_before_a_failure_stays_materialized(instance: dg.DagsterInstance) -> None:
    assert not materialize(breaking, instance, "a", "c").success
    assert set(instance.get_materialized_partitions(breaking.key)) == {"a", "c"}


def test_a_range_over_one_wave_is_that_wave_of_all_letters(instance: dg.DagsterInstance) -> None:
    assert materialize(gridded, instance, key("a", "AH"), key("c", "AH")).success
    assert [[str(key(letter, "AH")) for letter in "abc"]] == SEEN


def test_a_range_over_two_waves_is_a_cross_product(instance: dg.DagsterInstance) -> None:
    materialize(gridded, instance, key("a", "PM"), key("b", "AH"))
    assert sorted(SEEN[0]) == sorted(str(key(letter, wave)) for letter in "ab" for wave in ("PM", "AH"))


def test_keys_of_a_grid_know_their_dimensions(instance: dg.DagsterInstance) -> None:
    with dg.partition_loading_context(dynamic_partitions_store=instance):
        keys = GRID.get_partition_keys()
    assert len(keys) == 9
    (one,) = [found for found in keys if found == "b|RTH"]
    assert isinstance(one, dg.MultiPartitionKey)
    assert dict(one.keys_by_dimension) == {"letter": "b", "wave": "RTH"}


def test_partitions_that_are_added_again_keep_their_place(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("letters", ["d", "a", "b"])
    assert list(instance.get_dynamic_partitions("letters")) == ["a", "b", "c", "d"]


# ------------------------------------------------------------------------------------------ what is shown failed

# with it Dagster writes that a run will materialize a range once, instead of once for each partition
ONE_PLAN = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"


@dg.asset(partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
def going_on(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
    yield dg.MaterializeResult()
    recorded = context.instance.get_materialized_partitions(context.asset_key)
    assert set(recorded) == {"a", "b", "c"}, "code after the yield runs when the partitions are recorded"
    mark_failed(context.op_execution_context, context.asset_key, ["b"])


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
    """Partitions as the web UI colours them: of those that are materialized, the failed ones are red all the same."""
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


@pytest.mark.usefixtures("plans")
def test_what_a_step_marks_as_failed_is_red_when_a_later_step_fails_the_run(instance: dg.DagsterInstance) -> None:
    assert not run_together(instance, going_on, at_the_end, tags=WHOLE)
    assert shown(instance, going_on) == {"green": {"a", "c"}, "red": {"b"}, "running": set()}
    assert instance.get_latest_materialization_event(at_the_end.key) is not None
    assert run_together(instance, lettered_as_going_on(), tags=WHOLE)
    assert shown(instance, going_on) == {"green": {"a", "b", "c"}, "red": set(), "running": set()}


def lettered_as_going_on() -> dg.AssetsDefinition:
    """The same asset, well again."""

    @dg.asset(name="going_on", partitions_def=LETTERS, backfill_policy=dg.BackfillPolicy.multi_run(200))
    def well() -> dg.MaterializeResult[None]:
        return dg.MaterializeResult()

    return well


@pytest.mark.usefixtures("plans")
def test_what_a_failing_step_marks_as_failed_is_red(instance: dg.DagsterInstance) -> None:
    assert not materialize(marking, instance, "a", "c").success
    assert shown(instance, marking) == {"green": {"a"}, "red": {"b", "c"}, "running": set()}


def test_of_a_failing_step_that_marks_nothing_only_plans_for_each_partition_are_red(
    instance: dg.DagsterInstance, plans: str
) -> None:
    assert not materialize(breaking, instance, "a", "c").success
    assert shown(instance, breaking)["red"] == (set() if plans == "1" else {"b"})


def test_partitions_of_a_run_that_goes_on_are_shown_so_only_where_each_has_a_plan(
    instance: dg.DagsterInstance, plans: str
) -> None:
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
