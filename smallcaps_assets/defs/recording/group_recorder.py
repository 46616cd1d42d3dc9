"""How a step is recorded that makes several assets of the same partitions, and one whose failure ends no night."""

import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import dagster as dg

from smallcaps_assets.defs.failures import describe_error
from smallcaps_assets.defs.recording.completeness import PROBLEMS, require_complete
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.partition_recorder import PartitionRecorder
from smallcaps_assets.defs.recording.provenance import provenance_tags, upstream_in_night
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.errors import SmallcapsError
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.pipeline.problems import Problem
from smallcaps_assets.pipeline.unexpected import UNFORESEEN
from smallcaps_assets.runtime.system_errors import system_error

# of steps in a run: those whose inputs are complete run in this order, others have 0
RESEARCH_PRIORITY: Final = {"dagster/priority": "-10"}
# after the research tables of tape, which a night makes in the steps of the profiles
OUTCOME_PRIORITY: Final = {"dagster/priority": "-20"}
REPORT_PRIORITY: Final = {"dagster/priority": "-100"}
# outcomes of one partition, by the name of the asset
GroupOutcome = Mapping[str, Outcome]
_LATER: Final = "The run continues; nightly_report names it and fails the run."
_AGAIN: Final = "Materialize them again: only what is missing is computed."


class GroupRecorder:
    """Records the partitions of a step that makes several assets: those of the first as they finish, the others after.

    See `PartitionRecorder`, of which each asset has one.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        assets: Sequence[str],
        keys: Sequence[str] | Mapping[tuple[str, ...], str],
        prefix: Sequence[str] = (),
    ) -> None:
        """Begin the step of `assets`; to be called before it reads any input.

        Args:
            context: the step.
            assets: names of the assets, without `prefix`.
            keys: the partition keys, by partition where these are not the same.
            prefix: what the keys of the assets begin with.
        """
        self._first, *self._others = assets
        self._prefix = tuple(prefix)
        instance, defined = context.instance, context.assets_def
        made: Mapping[tuple[str, ...], str] = keys if isinstance(keys, Mapping) else {(key,): key for key in keys}
        self._recorders = {}
        for name in assets:
            asset = dg.AssetKey([*prefix, name])
            version = defined.code_versions_by_key.get(asset) or context.run.run_id
            provenance = provenance_tags(instance, version, defined.asset_deps[asset])
            self._recorders[name] = PartitionRecorder(
                context.op_execution_context, asset, made, provenance, upstream=upstream_in_night(context, asset)
            )

    def tick(self) -> None:
        """See `PartitionRecorder.tick`."""
        self._recorders[self._first].tick()

    def record(self, outcomes: Iterable[GroupOutcome], *, continue_on_failure: bool) -> None:
        """Record `outcomes`; see `PartitionRecorder.record`, also for the errors."""
        kept: dict[str, list[Outcome]] = {name: [] for name in self._others}

        def of_first() -> Iterator[Outcome]:
            for outcome in outcomes:
                for name in self._others:
                    kept[name].append(outcome[name])
                yield outcome[self._first]

        failure = self._failure_of(self._first, of_first(), continue_on_failure=continue_on_failure)
        for name in self._others:
            # an error that ended the step early ends the others' record in the same way
            self._failure_of(name, _then_raise(kept[name], failure), continue_on_failure=continue_on_failure)
        if failure is not None:
            raise failure

    def results(self) -> Iterator[dg.MaterializeResult[None]]:
        """What the step returns: everything is recorded."""
        for name in self._recorders:
            yield dg.MaterializeResult(asset_key=[*self._prefix, name], metadata=RECORDED)

    def _failure_of(self, name: str, outcomes: Iterable[Outcome], *, continue_on_failure: bool) -> Exception | None:
        try:
            self._recorders[name].record(outcomes, continue_on_failure=continue_on_failure)
        except UNFORESEEN as error:  # raised when all assets are recorded
            return error
        return None


def _then_raise(outcomes: Sequence[Outcome], failure: Exception | None) -> Iterator[Outcome]:
    yield from outcomes
    if failure is not None:
        raise failure


class AssetFailures:
    """Errors of single assets of a step that makes several, one after another: an error of one stops no other.

    Attributes:
        continue_on_failure: record an error at once and let later steps of the run continue; a later step must then
            fail the run. Otherwise `raise_them` raises them.
    """

    def __init__(self, context: dg.AssetExecutionContext, *, continue_on_failure: bool) -> None:
        """Begin."""
        self.continue_on_failure = continue_on_failure
        self._context = context
        self._errors: dict[dg.AssetKey, BaseException] = {}

    @contextmanager
    def of(self, asset: dg.AssetKey) -> Iterator[None]:
        """Keep an error that ends the block, as one of `asset`."""
        try:
            yield
        except UNFORESEEN as error:
            if self.continue_on_failure:
                _record_tolerated(self._context, error, [asset])
            else:
                self._errors[asset] = error

    def raise_them(self) -> None:
        """Raise what was kept: one error, or an error that nobody foresaw, as it is; several in one.

        Raises:
            CaptureIncomplete: more than one asset failed; names each.
        """
        known = {asset: _known(error) for asset, error in self._errors.items()}
        unforeseen = [error for asset, error in self._errors.items() if known[asset] is None]
        if unforeseen or len(known) == 1:
            raise [*unforeseen, *self._errors.values()][0]
        problems = [Problem.of(asset.to_user_string(), error) for asset, error in known.items() if error is not None]
        require_complete(problems, count_noun(len(problems), "table"), _AGAIN)


@contextmanager
def tolerated(context: dg.AssetExecutionContext, *, continue_on_failure: bool) -> Iterator[None]:
    """Record an error of the step and end it as if it had none, so that later steps of the run continue.

    Args:
        context: the step.
        continue_on_failure: do so; otherwise errors propagate. A later step must then fail the run.
    """
    try:
        yield
    except UNFORESEEN as error:
        if not continue_on_failure:
            raise
        _record_tolerated(context, error, context.selected_asset_keys)


def _record_tolerated(context: dg.AssetExecutionContext, error: BaseException, assets: Iterable[dg.AssetKey]) -> None:
    known = _known(error)
    trace = "" if known else "".join(traceback.format_exception(error))
    context.log.warning("%s %s%s", known or error, _LATER, f"\n{trace}" if trace else "")
    described = {} if known is None else describe_error(known)
    for asset in assets:
        problem = {PROBLEMS: f"{known or f'{type(error).__name__}: {error}'}"}
        context.op_execution_context.log_event(dg.AssetObservation(asset, metadata={**problem, **described}))


def _known(error: BaseException) -> SmallcapsError | None:
    """The error as one of this package, where it is one, or what a disk or a database refused."""
    return error if isinstance(error, SmallcapsError) else system_error(error)
