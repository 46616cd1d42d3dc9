"""Metadata of assets, as the catalog, the lineage and the plots of the web UI show it."""

import base64
from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.pipeline.pictures import (
    clock_picture,
    coverage_picture,
    funnel_picture,
    score_picture,
    sessions_picture,
)

# values by name, as Dagster takes them
Metadata = dict[str, dg.MetadataValue | str | int | float | bool | None]
# how many lines of a list a message shows
MAX_LINES: Final = 20


def column_schema(
    schema: Mapping[str, pl.DataType], descriptions: Mapping[str, str] = COLUMNS
) -> dict[str, dg.TableSchema]:
    """Metadata that describes the columns of a table.

    Args:
        schema: the columns.
        descriptions: by column name. A table whose columns no other table has may describe them beside its schema.
    """
    columns = [dg.TableColumn(name, str(dtype), descriptions.get(name)) for name, dtype in schema.items()]
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


def limit_lines(lines: Sequence[str]) -> str:
    """Lines joined, at most MAX_LINES of them, with the number of the others."""
    more = f"\n... and {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
    return "\n".join(lines[:MAX_LINES]) + more


def event_pictures(events: pl.DataFrame) -> Metadata:
    """Events by day, by New York clock and by score; nothing where there are no events."""
    if events.is_empty():
        return {}
    return {
        "picture/days": _shown(sessions_picture(events), "events per day"),
        "picture/clock": _shown(clock_picture(events), "events by quarter of an hour, New York"),
        "picture/scores": _shown(score_picture(events), "scores by event type"),
    }


def manifest_pictures(manifest: pl.DataFrame, funnel: Sequence[Mapping[str, int | str]]) -> Metadata:
    """The funnel of a selection, and the pictures of what it chose."""
    return {"picture/funnel": _shown(funnel_picture(funnel), "events left after each step"), **event_pictures(manifest)}


def coverage_pictures(table: pl.DataFrame) -> Metadata:
    """The share of expected sessions that is published (COVERAGE), by month; none where no session is expected."""
    expected = table.filter(pl.col("sessions_expected") > 0)
    if expected.is_empty():
        return {}
    pct = 100 * pl.col("sessions_here") / pl.col("sessions_expected")
    return {"picture/coverage": _shown(coverage_picture(expected.select("month", pct=pct)), "coverage by month")}


def _shown(png: bytes, what: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(png).decode()})")
