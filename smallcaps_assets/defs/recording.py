"""Metadata that catalog, lineage and plots show, and the one way to record what a run over many partitions did."""

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl
from dagster._core.events import AssetMaterializationPlannedData, DagsterEventBatchMetadata
from pydantic import Field

from smallcaps_assets.defs.provenance import RECORDED, Tags, partition_tags, provenance_in, version_tags
from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.errors import CaptureIncomplete
from smallcaps_assets.pipeline.outcome import Outcome

OWNERS: Final = ["team:data"]
# the name under which a partition's metadata says what is wrong with it
PROBLEMS: Final = "problems"
# how many problems a message names
NAMED: Final = 20
# figures and tables by name, as Dagster takes them
Metadata = dict[str, dg.MetadataValue | str | int | float | bool | None]


class GoOn(dg.Config):
    """What becomes of a run in which some partitions are not whole."""

    go_on: bool = Field(
        default=False,
        description="Go on with the other assets of the run although symbols failed; a later step names them and fails "
        "the run, as nightly_report does.",
    )


def column_schema(schema: Mapping[str, pl.DataType]) -> dict[str, dg.TableSchema]:
    """Metadata that describes the columns of a table."""
    columns = [dg.TableColumn(name, str(dtype), COLUMNS.get(name)) for name, dtype in schema.items()]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A small frame as a metadata table, which holds no times and no NaN."""
    numbers, times = pl.col(pl.Float64).round(4).fill_nan(None), pl.selectors.temporal().cast(pl.String)
    cells = frame.with_columns(numbers, times).to_dicts()
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in cells],
        schema=dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()]),
    )


def counts(frame: pl.DataFrame, *columns: str) -> Metadata:
    """Rows by value of each column, one figure per value, so that each becomes a line of a plot."""
    return {
        f"{column}/{value}": rows
        for column in columns
        for value, rows in frame.group_by(column).len().sort(column).iter_rows()
    }


def crossed_counts(frame: pl.DataFrame, by: str, of: str) -> Metadata:
    """Rows by values of two columns, one figure per pair, so that each becomes a line of a plot."""
    return {f"{one}/{other}": rows for one, other, rows in frame.group_by(by, of).len().sort(by, of).iter_rows()}


def score_quantiles(frame: pl.DataFrame) -> Metadata:
    """Quantiles of the score, one figure each."""
    if frame.is_empty():
        return {}
    return {
        f"score/p{percent}": float(frame.select(pl.col("score").quantile(percent / 100, "linear")).item())
        for percent in (10, 50, 90)
    }


def record(
    context: dg.AssetExecutionContext,
    outcomes: Iterable[Outcome],
    keys: Mapping[tuple[str, ...], str],
    *,
    go_on: bool = False,
) -> Iterator[dg.MaterializeResult[None]]:
    """Record each partition with its own figures; those that are not whole are shown failed once the run has failed.

    Args:
        context: the step.
        outcomes: what becomes of the partitions, as it is known.
        keys: the partition key of each outcome.
        go_on: let what comes after in the same run go on although partitions are not whole. A later step must then
            fail the run: until it does, Dagster takes them for materialized.

    Raises:
        CaptureIncomplete: some partitions have problems, named in the message, and the work is not to go on; the
            others are recorded as materialized, as they are when the work breaks off with another error.
    """
    done: list[Outcome] = []
    step, made_of = context.op_execution_context, provenance_in(context)
    try:
        done.extend(outcomes)
        if not go_on:
            _require_whole(done)
    except Exception:
        whole = {keys[outcome.partition]: outcome for outcome in done if not outcome.problems}
        log_materializations(step, context.asset_key, whole, made_of)
        mark_failed(step, context.asset_key, [key for key in keys.values() if key not in whole])
        raise
    log_materializations(step, context.asset_key, {keys[outcome.partition]: outcome for outcome in done}, made_of)
    mark_failed(step, context.asset_key, [keys[outcome.partition] for outcome in done if outcome.problems])
    yield dg.MaterializeResult(metadata=RECORDED)


def log_materializations(
    step: dg.OpExecutionContext, asset: dg.AssetKey, outcomes: Mapping[str, Outcome], made_of: Tags
) -> None:
    """Record partitions as materialized, at once: each with its figures, its data version and what it was made of.

    As `step.log_event` does, which however does not write many together where the storage can.
    """
    batch = uuid.uuid4().hex
    for number, (key, outcome) in enumerate(outcomes.items(), start=1):
        tags = {**made_of, **version_tags(outcome.version), **partition_tags(key)}
        event = dg.AssetMaterialization(asset, partition=key, metadata=described(outcome), tags=tags)
        together = DagsterEventBatchMetadata(batch, is_end=number == len(outcomes))
        context = step.get_step_execution_context()
        step._events.append(dg.DagsterEvent.asset_materialization(context, event, together))  # noqa: SLF001


def mark_failed(step: dg.OpExecutionContext, asset: dg.AssetKey, partitions: Iterable[str]) -> None:
    """Let partitions be shown failed once the run has failed, whatever was recorded of them before.

    Dagster calls a partition failed when the last that is known of it is that a run meant to materialize it, and that
    run failed.
    """
    for partition in partitions:
        event = dg.DagsterEvent.build_asset_materialization_planned_event(
            step.job_name, str(step.op_handle), AssetMaterializationPlannedData(asset, partition, None)
        )
        step.instance.report_dagster_event(event, step.run_id, logging.DEBUG)


def described(outcome: Outcome) -> Metadata:
    """The figures of a partition, how many rows it holds now, and what is wrong with it."""
    rows: Metadata = {} if outcome.rows is None else {"dagster/partition_row_count": outcome.rows}
    problems: Metadata = {PROBLEMS: "\n".join(outcome.problems)} if outcome.problems else {}
    return {**outcome.figures, **rows, **problems}


def _require_whole(done: Sequence[Outcome]) -> None:
    problems = [problem for outcome in done for problem in outcome.problems]
    if problems:
        raise CaptureIncomplete(_told(problems, sum(bool(outcome.problems) for outcome in done), len(done)))


def _told(problems: Sequence[str], broken: int, partitions: int) -> str:
    return (
        f"{broken} of {partitions} partitions are not whole; everything else is published. "
        f"Materialize them again: only what is missing is asked for.\n{first_lines(problems)}"
    )


def first_lines(lines: Sequence[str]) -> str:
    """The first of many lines, and how many more there are."""
    more = f"\n... and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
    return "\n".join(lines[:NAMED]) + more
