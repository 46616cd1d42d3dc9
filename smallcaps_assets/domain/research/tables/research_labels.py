"""Labels of the events of a manifest, with costs and for cross-validation (research specification, 4.7 and 9)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.research.outcomes.barriers import LABEL_SPECS
from smallcaps_assets.domain.research.prices import BPS
from smallcaps_assets.domain.research.tables.bar_tables import schema_of
from smallcaps_assets.domain.research.tables.label_tables import COST_COLUMNS, COST_TEXTS, LABEL_COLUMNS, LABEL_TEXTS
from smallcaps_assets.domain.research.tables.research_table import TABLE_KEYS
from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import EVENTS, UTC_US

# the earliest time whose data the features of an event may use; t1 ends what its label uses
_FEATURE_FROM: Final = "feature_from"
RESEARCH_LABEL_COLUMNS: Final = {
    **{name: ResearchColumn(name, EVENTS[name], "", "key") for name in TABLE_KEYS},
    "label_spec": LABEL_COLUMNS["label_spec"],
    _FEATURE_FROM: ResearchColumn(_FEATURE_FROM, UTC_US, "", "key"),
    **{name: column for name, column in LABEL_COLUMNS.items() if name not in {"event_id", "label_spec"}},
    **{name: column for name, column in COST_COLUMNS.items() if name not in {"event_id", "label_spec"}},
}
RESEARCH_LABELS: Final = schema_of(RESEARCH_LABEL_COLUMNS)
RESEARCH_LABEL_TEXTS: Final[Mapping[str, str]] = {
    **{name: COLUMNS[name] for name in TABLE_KEYS},
    _FEATURE_FROM: "UTC. Start of the event's window where its tape is complete, else of its date in New York. For "
    "purging: what uses [feature_from, t1) of a date meets what uses another such span of that date, of any symbol.",
    **LABEL_TEXTS,
    **COST_TEXTS,
}
# What `label_figures` says: labels, those with a net return, and of these the rest; shares in percent.
LABEL_FIGURES: Final = ("labels", "net", "win_pct", "mean_net_bps", "tie_pct", "no_entry_pct")
# the states of both halves of a tape that is complete
_CAPTURED: Final = ("complete", "empty")
COMPLETE_TAPE: Final = [f"{trades}/{quotes}" for trades in _CAPTURED for quotes in _CAPTURED]


class LabelParts(NamedTuple):
    """What is joined; rows of other events are ignored.

    Attributes:
        labels: EVENT_LABELS.
        costs: EVENT_COSTS; null figures where it has no row.
        states: `event_id` and `capture_state` of events with tape (MICRO_FEATURES, one segment).
    """

    labels: pl.DataFrame
    costs: pl.DataFrame
    states: pl.DataFrame


def research_labels(manifest: pl.DataFrame, parts: LabelParts) -> pl.DataFrame:
    """A row (RESEARCH_LABELS) per event of a manifest (MANIFEST) that has labels and label spec.

    Sorted by symbol, timestamp and event_type, as MASTER, and by the order of LABEL_SPECS.
    """
    midnight = pl.col("date").str.to_datetime("%Y-%m-%d", time_unit="us").dt.replace_time_zone(NEW_YORK)
    start = pl.col("timestamp") - pl.duration(minutes=pl.col("window_before_min"))
    has_tape = pl.col("capture_state").is_in(COMPLETE_TAPE).fill_null(value=False)
    events = (
        manifest.select(*TABLE_KEYS, "date", "window_before_min")
        .join(parts.states, on="event_id", how="left", validate="1:1")
        .with_columns(
            pl.when(has_tape).then(start).otherwise(midnight.dt.convert_time_zone("UTC")).alias(_FEATURE_FROM)
        )
        .select(*TABLE_KEYS, _FEATURE_FROM)
    )
    rows = (
        parts.labels.join(parts.costs, on=["event_id", "label_spec"], how="left", validate="1:1")
        .join(events, on="event_id", validate="m:1")
        .sort("symbol", "timestamp", "event_type", by_spec())
    )
    return rows.select(*RESEARCH_LABELS).match_to_schema(RESEARCH_LABELS)


def by_spec() -> pl.Expr:
    """`label_spec` in the order of LABEL_SPECS."""
    return pl.col("label_spec").cast(pl.Enum([spec.name for spec in LABEL_SPECS]))


def label_figures(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Figures of labels of one spec (LABEL_FIGURES), in one row.

    Args:
        rows: `state`, `tie` (EVENT_LABELS), `net_return` and `win` (EVENT_COSTS).
    """
    return rows.select(
        labels=(pl.col("state") == "ok").sum().cast(pl.Int64),
        net=pl.col("net_return").count().cast(pl.Int64),
        win_pct=100 * pl.col("win").mean(),
        mean_net_bps=BPS * pl.col("net_return").mean(),
        tie_pct=100 * pl.col("tie").mean(),
        no_entry_pct=100 * (pl.col("state") == "no_entry").mean(),
    )
