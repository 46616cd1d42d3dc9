"""How partitions and tables are recorded in Dagster, so that the web UI shows what is out of date, and why.

Dagster gives all partitions of a run one data version. Partitions are therefore recorded by explicit events, with the
tags that Dagster would write and with a data version each, and the result of the step tells Dagster to record nothing
itself.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.partitions.utils import get_tags_from_multi_partition_key
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.events import AssetMaterializationPlannedData, DagsterEventBatchMetadata
from pydantic import Field

from smallcaps_assets.defs.failures import REMEDIES, is_mended_by_launching, what_to_do
from smallcaps_assets.defs.last_records import LastRecords
from smallcaps_assets.defs.metadata.entries import Metadata, limit_lines, show_figures
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.defs.runs.run_tags import NIGHTLY
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import CaptureIncomplete, SmallcapsError
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem, as_problem, facts_of_problems, group_problems, name_problems
from smallcaps_assets.settings.settings import Settings

Tags = dict[str, str]
# metadata of a result whose materializations are recorded already
RECORDED: Final = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
# partitions that finish within this time are recorded together, where the storage can write many events at once
RECORD_EVERY_S: Final = 1.0
# the metadata key of the problems of a partition
PROBLEMS: Final = "problems"


class ContinueOnFailure(dg.Config):
    """What a step does when some of its partitions fail."""

    # the key stands in the stored configuration of runs, which people re-execute
    go_on: bool = Field(
        default=False,
        description="Continue with the other assets of the run although symbols failed; a later step, such as "
        "nightly_report, names them and fails the run.",
    )


class PartitionRecorder:
    """Records the partitions of a step, each with its own metadata, as they finish.

    A partition is recorded when it finishes; those that finish within `RECORD_EVERY_S` of one another are recorded in
    one batch. One that failed is recorded at the end of the step, or marked as failed. In a night, one whose last
    record says the same is not recorded again, which takes longer than finding that nothing changed.
    """

    def __init__(  # noqa: PLR0913 -- what a step knows of its asset
        self,
        step: dg.OpExecutionContext,
        asset: dg.AssetKey,
        keys: Mapping[tuple[str, ...], str],
        provenance: Tags,
        clock: Callable[[], float] = time.monotonic,
        *,
        upstream: Iterable[dg.AssetKey] | None = None,
    ) -> None:
        """Begin.

        Args:
            step: the step.
            asset: the asset that it makes.
            keys: the partition key of each outcome.
            provenance: that of all partitions, read before any input.
            clock: monotonic seconds from any origin.
            upstream: what the asset is made from, in a job that need not record what did not change; by default every
                partition is recorded, as the backfills of Dagster expect.
        """
        self._step, self._asset, self._keys, self._clock = step, asset, keys, clock
        self._provenance = provenance
        self._pending: dict[str, Outcome] = {}
        self._recorded: set[str] = set()
        self._marked: set[str] | None = None
        self._last: float | None = None
        self._before = None if upstream is None else LastRecords(step.instance, asset, upstream, provenance)

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, keys: Mapping[tuple[str, ...], str]) -> Self:
        """The recorder of the step of an asset; to be called before the step reads any input."""
        asset = context.asset_key
        return cls(
            context.op_execution_context,
            asset,
            keys,
            step_provenance(context),
            upstream=upstream_in_night(context, asset),
        )

    def run(
        self, outcomes: Iterable[Outcome], *, continue_on_failure: bool = False
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Record `outcomes` as the result of the step of an asset; see `record`."""
        self.record(outcomes, continue_on_failure=continue_on_failure)
        yield dg.MaterializeResult(metadata=RECORDED)

    def record(self, outcomes: Iterable[Outcome], *, continue_on_failure: bool = False) -> None:
        """Record each of `outcomes` as it arrives; failed ones are shown as failed once the run has failed.

        Args:
            outcomes: the outcomes of the partitions; where they may be long in coming, their source calls `tick`.
            continue_on_failure: let the later steps of the run continue although partitions failed. One of them must
                then fail the run: until it does, Dagster shows the failed partitions as materialized.

        Raises:
            CaptureIncomplete: some partitions have problems, named in the message, and `continue_on_failure` is not
                set. The others are recorded as materialized, as they are when the work ends with another error.
        """
        done: list[Outcome] = []
        try:
            try:
                for outcome in outcomes:
                    done.append(outcome)
                    if not outcome.problems:
                        self._pending[self._keys[outcome.partition]] = outcome
                    self.tick()
            finally:
                self._flush()
            if not continue_on_failure:
                require_complete(
                    [problem for outcome in done for problem in outcome.problems],
                    f"{sum(bool(outcome.problems) for outcome in done)} of {count_noun(len(done), 'partition')}",
                    REMEDIES[CaptureIncomplete],
                )
        except Exception as error:
            known = {self._keys[outcome.partition]: outcome for outcome in done}
            left = [key for key in self._keys.values() if key not in self._recorded]
            failed = {key: known.get(key) or _outcome_of(error) for key in left}
            record_failures(self._step, self._asset, failed, self._provenance)
            raise
        failed = {self._keys[outcome.partition]: outcome for outcome in done if outcome.problems}
        log_materializations(self._step, self._asset, failed, self._provenance)
        mark_failed(self._step, self._asset, failed)

    def tick(self) -> None:
        """Record the finished partitions if the last ones were recorded `RECORD_EVERY_S` ago."""
        now = self._clock()
        if self._pending and (self._last is None or now - self._last >= RECORD_EVERY_S):
            self._flush()

    def _flush(self) -> None:
        same = set[str]() if self._before is None else self._before.unchanged(self._pending)
        changed = {key: outcome for key, outcome in self._pending.items() if key not in same}
        self._plan_again(changed)
        log_materializations(self._step, self._asset, changed, self._provenance)
        self._recorded |= self._pending.keys()
        self._pending, self._last = {}, self._clock()

    def _plan_again(self, partitions: Iterable[str]) -> None:
        """Plan in this run those partitions that an earlier one marked as failed.

        The page of a partition names the last run that planned it by name, as failed if it failed, even after another
        run has materialized it; and a run that plans a range does not plan its partitions by name.
        """
        if self._marked is None:
            storage, planned = self._step.instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            self._marked = set(storage.get_latest_storage_id_by_partition(self._asset, planned))
        plan_partitions(self._step, self._asset, sorted(self._marked.intersection(partitions)))


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
            step.log_event(dg.AssetObservation(asset, partition=key, metadata=_metadata(outcome)))
        elif outcome.problems:
            step.instance.report_runless_asset_event(_materialization(asset, key, outcome, provenance))
    mark_failed(step, asset, failed)


def _outcome_of(error: Exception) -> Outcome:
    """What is recorded of partitions that a step did not get to before an error: nothing of an unforeseen one."""
    problems = (Problem.of("the run ended early", error),) if isinstance(error, SmallcapsError) else ()
    return Outcome((), problems=problems)


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


def provenance_tags(instance: dg.DagsterInstance, code_version: str, upstream: Iterable[dg.AssetKey]) -> Tags:
    """The tags that name the code version of a materialization, and the latest data version of each upstream asset."""
    tags = {CODE_VERSION_TAG: code_version}
    for asset in upstream:
        found = instance.fetch_materializations(asset, limit=1).records
        last = found[0].asset_materialization if found else None
        version = (last.tags or {}).get(DATA_VERSION_TAG) if last else None
        tags[get_input_data_version_tag(asset)] = version or DEFAULT_DATA_VERSION.value
        tags[get_input_event_pointer_tag(asset)] = f"{found[0].storage_id}" if found else NULL_EVENT_POINTER
    return tags


def provenance_of_asset(
    context: dg.OpExecutionContext, settings: Settings, asset: dg.AssetKey, upstream: Iterable[Sequence[str]]
) -> Tags:
    """The provenance of an asset that a step of a job makes; `upstream` are the keys of the assets it is made from."""
    version = facts_of(asset).code_version(settings)
    return provenance_tags(context.instance, version or context.run_id, [dg.AssetKey(path) for path in upstream])


def step_provenance(context: dg.AssetExecutionContext) -> Tags:
    """The provenance of the asset that a step makes; to be called before the step reads any input."""
    asset, defined = context.asset_key, context.assets_def
    version = defined.code_versions_by_key.get(asset) or context.run.run_id
    return provenance_tags(context.instance, version, defined.asset_deps[asset])


def upstream_in_night(context: dg.AssetExecutionContext, asset: dg.AssetKey) -> Iterable[dg.AssetKey] | None:
    """What an asset is made from, where the step belongs to a night; None elsewhere."""
    return context.assets_def.asset_deps[asset] if context.job_name == NIGHTLY else None


def data_version_tags(version: str | None) -> Tags:
    """The tags of a data version; none where it is not known."""
    return {} if version is None else {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}


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
    return dg.AssetMaterialization(asset, partition=key, metadata={**_metadata(outcome), **metadata}, tags=tags)


def _metadata(outcome: Outcome) -> Metadata:
    """The problems of a partition, its figures and its present number of rows."""
    rows: Metadata = {} if outcome.rows is None else {"dagster/partition_row_count": outcome.rows}
    return {**_describe_problems(outcome.problems), **show_figures(outcome.figures), **rows}


def _describe_problems(problems: Sequence[str]) -> Metadata:
    """Which windows of a partition failed, why and what to do; empty if none did."""
    if not problems:
        return {}
    remedy = what_to_do(as_problem(problem).kind for problem in problems)
    facts = facts_of_problems(problems)
    # in the order of the page: at 1,280 x 900 pixels its first four entries show
    first = {name: facts[name] for name in ("windows_failed", "http_status") if name in facts}
    return {**first, **remedy, PROBLEMS: limit_lines(name_problems(problems)), **facts}


def require_complete(problems: Sequence[str], what: str, remedy: str) -> None:
    """Make sure that there are no problems.

    Args:
        problems: of all partitions.
        what: failed, for the message.
        remedy: for the message, where launching again may be all that is needed.

    Raises:
        CaptureIncomplete: there are problems; names each cause once.
    """
    if problems:
        causes = limit_lines(group_problems(problems))
        kinds = frozenset(as_problem(problem).kind for problem in problems)
        again = f" {remedy}" if any(map(is_mended_by_launching, kinds)) else ""
        incomplete = CaptureIncomplete(f"{what} failed; everything else is published.{again}\n{causes}")
        incomplete.facts, incomplete.kinds = facts_of_problems(problems), kinds
        raise incomplete
