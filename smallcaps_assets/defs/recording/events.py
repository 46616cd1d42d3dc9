"""The events by which partitions are recorded in Dagster: as materialized, planned or failed.

Dagster gives all partitions of a run one data version. Partitions are therefore recorded by explicit events, with the
tags that Dagster would write and with a data version each, and the result of the step tells Dagster to record nothing
itself.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import dagster as dg
from dagster._core.definitions.partitions.utils import get_tags_from_multi_partition_key
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import AssetMaterializationPlannedData, DagsterEventBatchMetadata

from smallcaps_assets.defs.metadata.entries import Metadata, show_figures
from smallcaps_assets.defs.recording.completeness import describe_problems
from smallcaps_assets.defs.recording.provenance import Tags, data_version_tags, provenance_tags
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import Settings

# metadata of a result whose materializations are recorded already
RECORDED: Final = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}


def log_materializations(
    step: dg.OpExecutionContext, asset: dg.AssetKey, outcomes: Mapping[str, Outcome], provenance: Tags
) -> None:
    """Record partitions as materialized in one batch, each with its metadata, its data version and its provenance.

    `step.log_event` records the same, but writes one event at a time where the storage can write many.
    """
    batch = uuid.uuid4().hex
    for number, (key, outcome) in enumerate(outcomes.items(), start=1):
        event = _materialization(asset, key, outcome, provenance)
        position = DagsterEventBatchMetadata(batch, is_end=number == len(outcomes))
        context = step.get_step_execution_context()
        step._events.append(dg.DagsterEvent.asset_materialization(context, event, position))  # noqa: SLF001


def record_failures(
    step: dg.OpExecutionContext, asset: dg.AssetKey, failed: Mapping[str, Outcome], provenance: Tags
) -> None:
    """Record what failed of partitions, why and what to do, and have them shown as failed once the run has failed.

    The page of a partition shows the metadata of its last materialization and of the observations since. A partition
    that was never materialized therefore gets a materialization, outside the run: a backfill counts those of its runs
    as done. Partitions without problems are shown as failed, without a record.
    """
    materialized = step.instance.get_materialized_partitions(asset) if failed else set()
    for key, outcome in failed.items():
        if outcome.problems and key in materialized:
            step.log_event(dg.AssetObservation(asset, partition=key, metadata=metadata_of(outcome)))
        elif outcome.problems:
            step.instance.report_runless_asset_event(_materialization(asset, key, outcome, provenance))
    mark_failed(step, asset, failed)


def mark_failed(step: dg.OpExecutionContext, asset: dg.AssetKey, partitions: Iterable[str]) -> None:
    """Have partitions shown as failed once the run has failed, regardless of earlier records.

    Dagster shows a partition as failed when its last event is the plan of a run to materialize it, and that run failed.
    """
    plan_partitions(step, asset, partitions)


def plan_partitions(step: dg.OpExecutionContext, asset: dg.AssetKey, partitions: Iterable[str]) -> None:
    """Record that the run of a step plans to materialize each of these partitions."""
    for partition in partitions:
        event = dg.DagsterEvent.build_asset_materialization_planned_event(
            step.job_name, str(step.op_handle), AssetMaterializationPlannedData(asset, partition, None)
        )
        step.instance.report_dagster_event(event, step.run_id, logging.DEBUG)


def report_imported(  # noqa: PLR0913
    instance: dg.DagsterInstance,
    settings: Settings,
    asset: dg.AssetKey,
    outcomes: Mapping[str, Outcome],
    *,
    upstream: Iterable[dg.AssetKey],
    metadata: Mapping[str, dg.MetadataValue] = MappingProxyType({}),
) -> None:
    """Record partitions that were imported, without a run, as materialized, each as a run would record it.

    Args:
        instance: Dagster's state.
        settings: the settings in force, for the code version.
        asset: the asset.
        outcomes: by partition key, what is published now.
        upstream: the assets that this one is derived from.
        metadata: added to every partition.
    """
    provenance = provenance_tags(instance, facts_of(asset).code_version(settings) or "", upstream)
    for key, outcome in outcomes.items():
        instance.report_runless_asset_event(_materialization(asset, key, outcome, provenance, metadata))


def _materialization(
    asset: dg.AssetKey,
    key: str,
    outcome: Outcome,
    provenance: Tags,
    metadata: Mapping[str, dg.MetadataValue] = MappingProxyType({}),
) -> dg.AssetMaterialization:
    # Dagster finds partitions of two dimensions by tags
    dimensions = get_tags_from_multi_partition_key(key) if isinstance(key, dg.MultiPartitionKey) else {}
    tags = {**provenance, **data_version_tags(outcome.version), **dimensions}
    return dg.AssetMaterialization(asset, partition=key, metadata={**metadata_of(outcome), **metadata}, tags=tags)


def metadata_of(outcome: Outcome) -> Metadata:
    """The problems of a partition, its figures and its present number of rows."""
    rows: Metadata = {} if outcome.rows is None else {"dagster/partition_row_count": outcome.rows}
    return {**describe_problems(outcome.problems), **show_figures(outcome.figures), **rows}
