"""The state of partitions in Dagster after a step ended with an error."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from smallcaps_assets.defs.partitions import range_tags
from smallcaps_assets.defs.recording import ContinueOnFailure, record_partitions
from smallcaps_assets.pipeline.outcome import Outcome

KEYS = dg.StaticPartitionsDefinition(["A", "B", "C", "D"])


def broken_off() -> Iterator[Outcome]:
    yield Outcome(("A",), {"rows": 1})
    yield Outcome(("B",), {"rows": 2}, ("B: its file is damaged",))
    raise RuntimeError("a defect")


def test_after_an_error_finished_partitions_are_materialized_and_the_rest_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as in the product: Dagster plans a range at once, and does not know which of its partitions failed
    monkeypatch.setenv("DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS", "1")

    @dg.asset(partitions_def=KEYS, backfill_policy=dg.BackfillPolicy.single_run())
    def worked(context: dg.AssetExecutionContext, config: ContinueOnFailure) -> Iterator[dg.MaterializeResult[None]]:
        yield from record_partitions(
            context, broken_off(), {(key,): key for key in "ABCD"}, continue_on_failure=config.go_on
        )

    job = dg.Definitions([worked]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.local_temp(str(tmp_path), {"telemetry": {"enabled": False}}) as instance:
        result = job.execute_in_process(instance=instance, tags=range_tags("A", "D"), raise_on_error=False)
        assert not result.success
        status = instance.get_status_by_partition(worked.key, list("ABCD"), KEYS)
    failed = AssetPartitionStatus.FAILED
    assert status == {"A": AssetPartitionStatus.MATERIALIZED, "B": failed, "C": failed, "D": failed}
