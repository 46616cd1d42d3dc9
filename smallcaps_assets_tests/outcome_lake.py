"""A lake with the tables that cohorts and summaries of labels are made from, written row by row by a test."""

from pathlib import Path
from typing import Any, Final

import polars as pl

from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.enriched_table import ENRICHED
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES
from smallcaps_assets.domain.tables import CANDIDATES, EVENTS
from smallcaps_assets.lake.files.publish import publish_frame
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.joined_outcomes import JoinedOutcomes
from smallcaps_assets_tests.scenarios import default_settings

PROFILE: Final = "core"
_MINUTE: Final = pl.duration(minutes=1)


def outcomes_of_lake(lake: Lake, **changed: Any) -> JoinedOutcomes:
    """What makes the tables of outcomes of a lake, with the shipped settings but for some of `research:`."""
    settings = default_settings()
    params = settings.research.params.model_copy(update=changed)
    return JoinedOutcomes(lake, params, settings.sessions, settings.ranking)


def fill_outcomes(root: Path, events: pl.DataFrame, *, without: tuple[str, ...] = ()) -> Lake:
    """Write labels, features, outcomes, costs and enriched events, and MASTER, of COHORT_EVENTS, and return the lake.

    The minute of an event is the one before its entry. Costs are of the source `nbbo`, or `none` where they are null.

    Args:
        root: the folder of the lake.
        events: COHORT_EVENTS; `time_bucket` is not written, it follows from the minute.
        without: tables that are not written.
    """
    lake, store = Lake(root), ResearchStore(Lake(root))
    lake.root.mkdir(exist_ok=True)
    noon = pl.col("date").str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC") + pl.duration(hours=15)
    rows = events.with_columns(
        timestamp=pl.coalesce(pl.col("entry_at") - _MINUTE, noon),
        session=pl.lit("RTH"),
        gross_return=pl.col("net_return") + pl.col("cost_bps") / 10_000,
        win=pl.col("net_return") > 0,
        cost_source=pl.when(pl.col("cost_bps").is_not_null()).then(pl.lit("nbbo")).otherwise(pl.lit("none")),
    )
    by_event = rows.unique("event_id", keep="first", maintain_order=True)
    for table, schema, source in (
        ("event_labels", EVENT_LABELS, rows),
        ("event_bar_features", BAR_FEATURES, by_event),
        ("event_outcomes", EVENT_OUTCOMES, by_event),
    ):
        for (symbol,), own in source.group_by("symbol") if table not in without else ():
            store.publish(lake.research_symbol(table, str(symbol)), _as(own, schema), {})
    if "event_costs" not in without:
        costs = _as(rows.sort("event_id", "label_spec"), EVENT_COSTS)
        store.publish(lake.research_table("event_costs", PROFILE), costs, {})
    if "events_with_waves_enriched" not in without:
        _publish_enriched(lake, by_event)
    if "master" not in without:
        publish_frame(lake.master, _as(by_event.filter("in_master"), EVENTS), below=lake.root)
    for (symbol,), own in by_event.filter(~pl.col("in_master")).group_by("symbol"):
        publish_frame(lake.candidates_of(str(symbol)), _as(own, CANDIDATES), below=lake.root)
    return lake


def forget_outcomes(lake: Lake, *event_ids: str) -> None:
    """Take the rows of some events out of `event_outcomes`, as where their symbol is behind."""
    store = ResearchStore(lake)
    for path in store.parts(lake.research / "event_outcomes"):
        rows = pl.read_parquet(path, glob=False)
        store.publish(path, rows.filter(~pl.col("event_id").is_in(event_ids)), {})


def _publish_enriched(lake: Lake, events: pl.DataFrame) -> None:
    """Write ENRICHED of some events, with the columns that they have."""
    ResearchStore(lake).publish(lake.research_table("events_with_waves_enriched"), _as(events, ENRICHED), {})


def _as(rows: pl.DataFrame, schema: pl.Schema | dict[str, pl.DataType]) -> pl.DataFrame:
    """The columns of a table; null where the rows do not have them."""
    known = rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items() if name in rows.columns)
    return known.match_to_schema(pl.Schema(schema), missing_columns="insert")
