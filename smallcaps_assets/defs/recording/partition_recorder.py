"""How the partitions of a step are recorded in Dagster as they finish, and those that failed at its end."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Self

import dagster as dg
from pydantic import Field

from smallcaps_assets.defs.failures import REMEDIES
from smallcaps_assets.defs.recording.completeness import require_complete
from smallcaps_assets.defs.recording.events import (
    RECORDED,
    log_materializations,
    mark_failed,
    plan_partitions,
    record_failures,
)
from smallcaps_assets.defs.recording.last_records import LastRecords
from smallcaps_assets.defs.recording.provenance import Tags, step_provenance, upstream_in_night
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import CaptureIncomplete, SmallcapsError
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem

# partitions that finish within this time are recorded together, where the storage can write many events at once
RECORD_EVERY_S: Final = 1.0


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


def _outcome_of(error: Exception) -> Outcome:
    """What is recorded of partitions that a step did not get to before an error: nothing of an unforeseen one."""
    problems = (Problem.of("the run ended early", error),) if isinstance(error, SmallcapsError) else ()
    return Outcome((), problems=problems)
