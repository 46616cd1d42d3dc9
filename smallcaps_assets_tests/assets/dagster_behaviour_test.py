"""Behaviour of Dagster that the assets lean on. If one of these fails after an upgrade, read `defs/` again."""

from collections.abc import Iterator

import dagster as dg
import pytest

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
