"""Metadata of assets, as the catalog, the lineage and the plots of the web UI show it.

The web UI shows entries in the order in which they are recorded: what matters most comes first. A row is as wide as its
longest word, and the page scrolls sideways once a table of metadata needs more than 360 pixels beside keys of more than
12 characters: on a screen of 1,280 pixels there is room for four to six short columns. Every number becomes a plot over
the materializations: only figures that are worth one are recorded as numbers, all others stand in tables.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata.drawn import drawn
from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.pipeline.pictures import coverage_picture

# values by name, as Dagster takes them
Metadata = dict[str, dg.MetadataValue | str | int | float | bool | None]
# the metadata keys of columns: of those that the web UI shows in full above the metadata, and of those in a dialog
COLUMNS_ABOVE: Final = "dagster/column_schema"
COLUMNS_BELOW: Final = "columns"
# how many lines of a list a message shows
MAX_LINES: Final = 20
# how many rows the preview of a table shows
FIRST_ROWS: Final = 5
# numbers from here on keep all digits before the decimal point
_ALL_DIGITS: Final = 1000.0


def column_schema(
    schema: Mapping[str, pl.DataType], descriptions: Mapping[str, str] = COLUMNS, *, below: bool = False
) -> dict[str, dg.TableSchema]:
    """Metadata that describes the columns of a table.

    Args:
        schema: the columns.
        descriptions: by column name. A table whose columns no other table has may describe them beside its schema.
        below: show them in a dialog below the other metadata. The web UI shows `dagster/column_schema` in full above
            the metadata, so that a verdict or pictures would begin three screens further down.
    """
    columns = [dg.TableColumn(name, _type_name(dtype), descriptions.get(name)) for name, dtype in schema.items()]
    return {COLUMNS_BELOW if below else COLUMNS_ABOVE: dg.TableSchema(columns=columns)}


def _type_name(dtype: pl.DataType) -> str:
    """The name of a type: short, because the web UI never wraps it and squeezes the description beside it."""
    if isinstance(dtype, pl.Datetime):
        return f"Datetime[{dtype.time_unit}, {dtype.time_zone}]" if dtype.time_zone else f"Datetime[{dtype.time_unit}]"
    return str(dtype)


def table(frame: pl.DataFrame) -> dg.TableMetadataValue:
    """A small frame as a metadata table, which holds no times and no NaN; numbers are rounded to four digits."""
    numbers, times = round_figure(pl.col(pl.Float64)).fill_nan(None), pl.selectors.temporal().cast(pl.String)
    cells = frame.with_columns(numbers, times).to_dicts()
    return dg.MetadataValue.table(
        records=[dg.TableRecord(row) for row in cells],
        schema=dg.TableSchema([dg.TableColumn(name, str(dtype)) for name, dtype in frame.schema.items()]),
    )


def round_figure(value: pl.Expr) -> pl.Expr:
    """Numbers of four significant digits, and of no fewer than all before the decimal point."""
    return pl.when(value.abs() < _ALL_DIGITS).then(value.round_sig_figs(4)).otherwise(value.round(0))


def round_value(value: float) -> float:
    """One number, rounded as in a table."""
    return float(pl.select(round_figure(pl.lit(value, pl.Float64))).item())


def megabytes(size: float) -> float:
    """Bytes as megabytes (10^6 bytes), rounded."""
    return round_value(size / 1e6)


def show_figures(figures: Mapping[str, float | str | None]) -> Metadata:
    """Figures of a partition or a check: fractions rounded, bytes as megabytes under a name that says so."""
    shown: Metadata = {}
    for name, value in figures.items():
        if name == "bytes" and isinstance(value, int | float):
            shown["tape_mb"] = megabytes(value)
        else:
            shown[name] = round_value(value) if isinstance(value, float) else value
    return shown


def in_words(column: str) -> pl.Expr:
    """Names as words, which can wrap: `volume spike` for `volume_spike`."""
    return pl.col(column).cast(pl.String).str.replace_all("_", " ")


def new_york(column: str) -> pl.Expr:
    """Times in New York as text, to the minute; the column is named `New York`."""
    return pl.col(column).dt.convert_time_zone(NEW_YORK).dt.to_string("%Y-%m-%d %H:%M").alias("New York")


def limit_lines(lines: Sequence[str]) -> str:
    """Lines joined, at most MAX_LINES of them, with the number of the others."""
    more = f"\n... and {len(lines) - MAX_LINES} more" if len(lines) > MAX_LINES else ""
    return "\n".join(lines[:MAX_LINES]) + more


def coverage_pictures(table: pl.DataFrame) -> Metadata:
    """The share of expected sessions that is published (COVERAGE), by month; none where no session is expected."""
    expected = table.filter(pl.col("sessions_expected") > 0)
    if expected.is_empty():
        return {}
    pct = 100 * pl.col("sessions_here") / pl.col("sessions_expected")
    return {"picture/coverage": drawn("coverage by month", coverage_picture, expected.select("month", pct=pct))}
