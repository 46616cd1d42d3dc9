"""The columns of every research table with their texts, and what is missing of them (research specification, 0.2)."""

from collections.abc import Mapping
from typing import Final, NamedTuple, get_args

import polars as pl

from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.controls.features import CONTROL_FEATURE_COLUMNS, CONTROL_FEATURE_TEXTS
from smallcaps_assets.domain.research.controls.labels import CONTROL_LABEL_COLUMNS, CONTROL_LABEL_TEXTS
from smallcaps_assets.domain.research.controls.outcomes import (
    CONTROL_OUTCOME_COLUMNS,
    CONTROL_OUTCOME_TEXTS,
    CONTROL_WAVE_COLUMNS,
    CONTROL_WAVE_TEXTS,
)
from smallcaps_assets.domain.research.controls.tables import CONTROL_COLUMNS, CONTROL_TEXTS
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS
from smallcaps_assets.domain.research.tables.bar_descriptions import (
    BAR_TEXTS,
    HALT_COLUMNS,
    HALT_TEXTS,
    MARKET_STATE_COLUMNS,
    MARKET_STATE_TEXTS,
    SCORE_TEXTS,
)
from smallcaps_assets.domain.research.tables.bar_tables import (
    BAR_FEATURE_COLUMNS,
    EVENT_RECONCILIATION_COLUMNS,
    EVENT_SCORE_COLUMNS,
    RECONCILIATION_COLUMNS,
)
from smallcaps_assets.domain.research.tables.cohort_tables import (
    COHORT_COLUMNS,
    COHORT_MEMBER_COLUMNS,
    COHORT_MEMBER_TEXTS,
    COHORT_TEXTS,
    WAS_WINNING_COLUMNS,
    WAS_WINNING_TEXTS,
)
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED_COLUMNS, ENRICHED_TEXTS
from smallcaps_assets.domain.research.tables.label_tables import COST_COLUMNS, COST_TEXTS, LABEL_COLUMNS, LABEL_TEXTS
from smallcaps_assets.domain.research.tables.research_labels import RESEARCH_LABEL_COLUMNS, RESEARCH_LABEL_TEXTS
from smallcaps_assets.domain.research.tables.research_table import RESEARCH_TABLE_COLUMNS
from smallcaps_assets.domain.research.tables.table_descriptions import TABLE_TEXTS
from smallcaps_assets.domain.research.tables.tape_columns import TAPE_HALT_COLUMNS, TAPE_STATE_COLUMNS
from smallcaps_assets.domain.research.tables.tape_descriptions import (
    EVENT_RECONCILIATION_TEXTS,
    MICRO_TEXTS,
    RECONCILIATION_TEXTS,
    TAPE_HALT_TEXTS,
    TAPE_STATE_TEXTS,
)
from smallcaps_assets.domain.research.tables.wave_descriptions import EVENT_OUTCOME_TEXTS, EVENT_WAVE_TEXTS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOME_COLUMNS, EVENT_WAVE_COLUMNS


class DescribedColumns(NamedTuple):
    """The columns of a table by name, in order, and what they mean."""

    columns: Mapping[str, ResearchColumn]
    texts: Mapping[str, str]


# By the name of the table.
TABLE_REGISTRY: Final[Mapping[str, DescribedColumns]] = {
    "event_bar_features": DescribedColumns(BAR_FEATURE_COLUMNS, BAR_TEXTS),
    "halts": DescribedColumns(HALT_COLUMNS, HALT_TEXTS),
    "market_state_day": DescribedColumns(MARKET_STATE_COLUMNS, MARKET_STATE_TEXTS),
    "event_scores": DescribedColumns(EVENT_SCORE_COLUMNS, SCORE_TEXTS),
    "event_labels": DescribedColumns(LABEL_COLUMNS, LABEL_TEXTS),
    "event_costs": DescribedColumns(COST_COLUMNS, COST_TEXTS),
    "research_labels": DescribedColumns(RESEARCH_LABEL_COLUMNS, RESEARCH_LABEL_TEXTS),
    "micro_features": DescribedColumns({column.name: column for column in MICRO_COLUMNS}, MICRO_TEXTS),
    "bar_reconciliation": DescribedColumns(RECONCILIATION_COLUMNS, RECONCILIATION_TEXTS),
    "event_reconciliation": DescribedColumns(EVENT_RECONCILIATION_COLUMNS, EVENT_RECONCILIATION_TEXTS),
    "event_tape_state": DescribedColumns(TAPE_STATE_COLUMNS, TAPE_STATE_TEXTS),
    "tape_halts": DescribedColumns(TAPE_HALT_COLUMNS, TAPE_HALT_TEXTS),
    "cohorts": DescribedColumns(COHORT_COLUMNS, COHORT_TEXTS),
    "cohort_members": DescribedColumns(COHORT_MEMBER_COLUMNS, COHORT_MEMBER_TEXTS),
    "cohort_was_winning": DescribedColumns(WAS_WINNING_COLUMNS, WAS_WINNING_TEXTS),
    "event_waves": DescribedColumns(EVENT_WAVE_COLUMNS, EVENT_WAVE_TEXTS),
    "event_outcomes": DescribedColumns(EVENT_OUTCOME_COLUMNS, EVENT_OUTCOME_TEXTS),
    "events_with_waves_enriched": DescribedColumns(ENRICHED_COLUMNS, ENRICHED_TEXTS),
    "control_manifest": DescribedColumns(CONTROL_COLUMNS, CONTROL_TEXTS),
    "control_features": DescribedColumns(CONTROL_FEATURE_COLUMNS, CONTROL_FEATURE_TEXTS),
    "control_labels": DescribedColumns(CONTROL_LABEL_COLUMNS, CONTROL_LABEL_TEXTS),
    "control_outcomes": DescribedColumns(CONTROL_OUTCOME_COLUMNS, CONTROL_OUTCOME_TEXTS),
    "control_waves": DescribedColumns(CONTROL_WAVE_COLUMNS, CONTROL_WAVE_TEXTS),
    "research_table": DescribedColumns(RESEARCH_TABLE_COLUMNS, TABLE_TEXTS),
}
# What is wrong with a column of a table, or of one of its files.
COLUMN_GAPS: Final = pl.Schema({"table": pl.String(), "column": pl.String(), "gap": pl.String(), "file": pl.String()})


def registry_gaps(table: str, described: DescribedColumns) -> pl.DataFrame:
    """What the registry does not say of the columns of a table (COLUMN_GAPS): text, unit of a number, availability."""
    gaps = [
        (table, name, gap, None)
        for name, column in described.columns.items()
        for gap, is_missing in {
            "has no text": not described.texts.get(name),
            # keys are codes and settings of the capture
            "has no unit": column.dtype.is_numeric() and column.availability != "key" and not column.unit,
            "has no availability": column.availability not in get_args(Availability),
            "has another name in its entry": column.name != name,
        }.items()
        if is_missing
    ]
    return pl.DataFrame(gaps, schema=COLUMN_GAPS, orient="row")


def file_gaps(table: str, described: DescribedColumns, file: str, present: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Where the columns of a file (`present`) are not those of the registry (COLUMN_GAPS)."""
    expected = {name: column.dtype for name, column in described.columns.items()}
    gaps = [(table, name, "is not in the file", file) for name in expected if name not in present]
    gaps += [(table, name, "is not in the registry", file) for name in present if name not in expected]
    gaps += [
        (table, name, f"is {dtype} in the file, {expected[name]} in the registry", file)
        for name, dtype in present.items()
        if name in expected and dtype != expected[name]
    ]
    return pl.DataFrame(gaps, schema=COLUMN_GAPS, orient="row")
