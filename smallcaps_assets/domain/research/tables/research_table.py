"""The research table of a profile: all that was known of each event when its minute was over, in one row."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.research.columns import Availability, ResearchColumn
from smallcaps_assets.domain.research.micro.segments import SEGMENTS
from smallcaps_assets.domain.research.micro.tables import MICRO_COLUMNS
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURE_COLUMNS, EVENT_SCORE_COLUMNS, schema_of
from smallcaps_assets.domain.research.tables.cohort_tables import WAS_WINNING, WAS_WINNING_COLUMNS
from smallcaps_assets.domain.research.tape.tape_halts import EVENT_TAPE_STATE
from smallcaps_assets.domain.tables import MANIFEST

# Segments that end when the event is known: their columns are `pre`, and have these names as suffixes.
TABLE_SEGMENTS: Final = tuple(name for name, known in SEGMENTS.items() if known == "pre")
TABLE_KEYS: Final = ("event_id", "symbol", "event_type", "timestamp", "direction", "session")
# columns of a segment that its event has once, or that its name says
_OF_EVENT: Final = ("event_id", "segment", "available_at", "session")
_STATE: Final = ("in_halt_aftermath", "ssr_condition")


def _columns() -> Iterator[ResearchColumn]:
    for name in TABLE_KEYS:
        yield ResearchColumn(name, MANIFEST[name], "", "key")
    for column in (*BAR_FEATURE_COLUMNS.values(), *EVENT_SCORE_COLUMNS.values()):
        if column.availability == "pre":
            yield column
    for segment in TABLE_SEGMENTS:
        for column in MICRO_COLUMNS:
            if column.name not in _OF_EVENT:
                known: Availability = "key" if column.availability == "key" else "pre"
                yield column._replace(name=f"{column.name}_{segment}", availability=known)
    for name in _STATE:
        yield ResearchColumn(name, EVENT_TAPE_STATE[name], "", "pre", "trades")
    # as they are of an earlier date, outcomes may be a feature in this one form
    yield WAS_WINNING_COLUMNS["cohort_was_winning"]


RESEARCH_TABLE_COLUMNS: Final = {column.name: column for column in _columns()}
RESEARCH_TABLE: Final = schema_of(RESEARCH_TABLE_COLUMNS)


class ResearchParts(NamedTuple):
    """What is joined; rows of other events are ignored, and an event without a row has nulls.

    Attributes:
        features: BAR_FEATURES.
        scores: EVENT_SCORES.
        micro: MICRO_FEATURES.
        state: EVENT_TAPE_STATE.
        winning: WAS_WINNING; without rows where there are no cohorts.
    """

    features: pl.DataFrame
    scores: pl.DataFrame
    micro: pl.DataFrame
    state: pl.DataFrame
    winning: pl.DataFrame = WAS_WINNING.to_frame()


def research_table(manifest: pl.DataFrame, parts: ResearchParts) -> pl.DataFrame:
    """One row (RESEARCH_TABLE) per event of a manifest (MANIFEST), in the order of MASTER.

    No column is hindsight: the columns are those of the registries that are `key` or `pre`.
    """
    rows = manifest.select(*TABLE_KEYS).sort("symbol", "timestamp", "event_type", maintain_order=True)
    tables = [
        parts.features.drop("symbol", "event_type", "timestamp"),
        parts.scores,
        *(_of_segment(parts.micro, segment) for segment in TABLE_SEGMENTS),
        parts.state,
        parts.winning,
    ]
    for table in tables:
        rows = rows.join(table, on="event_id", how="left", maintain_order="left", validate="m:1")
    return rows.select(*RESEARCH_TABLE).match_to_schema(RESEARCH_TABLE)


def _of_segment(micro: pl.DataFrame, segment: str) -> pl.DataFrame:
    names = {column.name: f"{column.name}_{segment}" for column in MICRO_COLUMNS if column.name not in _OF_EVENT}
    return micro.filter(segment=segment).select("event_id", **{new: pl.col(old) for old, new in names.items()})
