"""Metadata that catalog, lineage and plots show, and the one way to record what a run over many partitions did."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.errors import CaptureIncomplete, SmallcapsError
from smallcaps_assets.pipeline.outcome import Outcome

OWNERS: Final = ["team:data"]
# figures and tables by name, as Dagster takes them
Metadata = dict[str, dg.MetadataValue | str | int | float | bool | None]


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
    context: dg.AssetExecutionContext, outcomes: Iterable[Outcome], keys: Mapping[tuple[str, ...], str]
) -> dg.MaterializeResult[None]:
    """Record each partition with its own figures; fail at the end if any is not whole, naming what is wrong.

    Raises:
        CaptureIncomplete: some partitions have problems; the others are recorded as materialized, as they are when
            the work breaks off with another error of ours.
    """
    done: list[Outcome] = []
    try:
        done.extend(outcomes)
        problems = [problem for outcome in done for problem in outcome.problems]
        if problems:
            raise CaptureIncomplete(_told(problems, sum(bool(outcome.problems) for outcome in done), len(done)))
    except SmallcapsError:
        for outcome in _whole(done):
            key = keys[outcome.partition]
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=figures_of(outcome)))
        raise
    _describe(context, {keys[outcome.partition]: figures_of(outcome) for outcome in done})
    return dg.MaterializeResult()


def _describe(context: dg.AssetExecutionContext, figures: Mapping[str, Metadata]) -> None:
    """Give each partition of the run its own figures.

    As `context.add_asset_metadata` does, which however reads all partitions there are from the database for every key.
    """
    step = context.get_step_execution_context()
    said = step._metadata_accumulator  # noqa: SLF001
    for key, values in figures.items():
        said = said.with_additional_asset_metadata(context.asset_key, key, values)
    step._metadata_accumulator = said  # noqa: SLF001


def figures_of(outcome: Outcome) -> Metadata:
    """What a partition shows: its own figures, and how many rows it holds now."""
    rows: Metadata = {} if outcome.rows is None else {"dagster/partition_row_count": outcome.rows}
    return {**outcome.figures, **rows}


def _whole(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if not outcome.problems]


def _told(problems: Sequence[str], broken: int, partitions: int) -> str:
    shown = "\n".join(problems[:20])
    more = f"\n... and {len(problems) - 20} more" if len(problems) > 20 else ""  # noqa: PLR2004
    return (
        f"{broken} of {partitions} partitions are not whole; everything else is published. "
        f"Materialize them again: only what is missing is asked for.\n{shown}{more}"
    )
