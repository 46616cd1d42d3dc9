"""The control manifest: its columns, and its rows as what is captured and computed (research specification, section 7).

A control is a minute of the same symbol at the same New York time as its event, on an earlier trading day, without an
event near it. Its rows never lie among those of events: they have the type `control`.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.columns import ResearchColumn
from smallcaps_assets.domain.tables import MANIFEST, UTC_US
from smallcaps_assets.domain.tape.tables import LEDGER

# the `event_type` of controls; no detector has this name
CONTROL: Final = "control"
# in place of a wave, in tables about the capture of events
CONTROLS: Final = "controls"
# What the tape of a window needs to be captured; the columns are those of MANIFEST.
CAPTURED: Final = pl.Schema(
    {
        name: MANIFEST[name]
        for name in (
            "event_id",
            "symbol",
            "event_type",
            "timestamp",
            "session",
            "direction",
            "window_before_min",
            "window_after_min",
            "extended",
        )
    }
)
_TEXT, _COUNT, _FLAG = pl.String(), pl.Int64(), pl.Boolean()
CONTROL_COLUMNS: Final = {
    column.name: column
    for column in (
        ResearchColumn("control_id", _TEXT, "", "key"),
        ResearchColumn("event_type", _TEXT, "", "key"),
        ResearchColumn("symbol", _TEXT, "", "key"),
        ResearchColumn("timestamp", UTC_US, "", "key"),
        ResearchColumn("session", _TEXT, "", "key"),
        ResearchColumn("date", _TEXT, "", "key"),
        ResearchColumn("direction", _TEXT, "", "key"),
        ResearchColumn("window_before_min", _COUNT, "min", "key"),
        ResearchColumn("window_after_min", _COUNT, "min", "key"),
        ResearchColumn("extended", _FLAG, "", "key"),
        ResearchColumn("control_of", _TEXT, "", "key"),
        ResearchColumn("rank", _COUNT, "", "key"),
    )
}
# One row per event with a control, in the order of `rank`, the event's rank in its manifest.
CONTROL_MANIFEST: Final = pl.Schema({name: column.dtype for name, column in CONTROL_COLUMNS.items()})
CONTROL_TEXTS: Final = {
    "control_id": "Identifies the control's minute, as event_id does an event's; events of one symbol may share it.",
    "event_type": "control",
    "symbol": "Symbol of the event and of its control.",
    "timestamp": "Start of the control's minute: the New York time of the event, on an earlier trading day.",
    "session": "Session of the control's minute, the same as the event's.",
    "date": "New York date of the control.",
    "direction": "Direction of the event: labels and costs of the control use it.",
    "window_before_min": "Minutes of the event's window before the minute.",
    "window_after_min": "Minutes of the event's window from the start of the minute on.",
    "extended": "Whether the event's window is an extended one.",
    "control_of": "event_id of the event.",
    "rank": "Rank of the event in its manifest.",
}
# One row per window of the controls, as the ledger of events; `event_id` is the control_id.
CONTROL_LEDGER: Final = pl.Schema({**LEDGER, "event_type": pl.String()})

# what `control_id` looks like; no event has such an identifier
_CONTROL_ID: Final = rf"_{CONTROL}_\d{{8}}_\d{{6}}_[0-9a-f]{{8}}$"


def is_control_id(identifier: pl.Expr) -> pl.Expr:
    """Whether an identifier is that of a control."""
    return identifier.str.contains(_CONTROL_ID)


def are_controls(identifiers: Sequence[str]) -> bool:
    """Whether all of some identifiers are those of controls."""
    return all(re.search(_CONTROL_ID, identifier) for identifier in identifiers)


def serves_controls_only() -> pl.Expr:
    """Whether all that a span (SPANS) was fetched for are controls."""
    merged = pl.col("events_merged")
    only = (merged.list.len() > 0) & merged.list.eval(is_control_id(pl.element())).list.all()
    return only.fill_null(value=False)


def control_windows(controls: pl.DataFrame, events: pl.Series | None = None) -> pl.DataFrame:
    """What is captured of controls (CAPTURED): one row per control_id, the widest window of its rows.

    Args:
        controls: CONTROL_MANIFEST.
        events: only the controls of these events; their windows stay the widest of all rows.
    """
    rows = controls
    if events is not None:
        wanted = controls.filter(pl.col("control_of").is_in(events.implode()))["control_id"]
        rows = controls.filter(pl.col("control_id").is_in(wanted.implode()))
    return (
        rows.group_by("control_id", maintain_order=True)
        .agg(
            pl.col("symbol", "event_type", "timestamp", "session", "direction").first(),
            pl.col("window_before_min", "window_after_min").max(),
            pl.col("extended").any(),
        )
        .rename({"control_id": "event_id"})
        .select(*CAPTURED)
        .match_to_schema(CAPTURED)
    )


def with_controls(manifest: pl.DataFrame, controls: pl.DataFrame) -> pl.DataFrame:
    """What is captured (CAPTURED): the rows of a manifest (MANIFEST), in their order, and the windows of its controls.

    Args:
        manifest: all events, or those of a trial: only their controls are added.
        controls: CONTROL_MANIFEST.
    """
    return pl.concat([manifest.select(*CAPTURED), control_windows(controls, manifest["event_id"])])
