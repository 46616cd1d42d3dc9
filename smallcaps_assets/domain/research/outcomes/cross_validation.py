"""From when to when a row uses information, for splits without leaks (research specification, section 4.7)."""

from typing import Final

import polars as pl

from smallcaps_assets.domain.sessions import NEW_YORK
from smallcaps_assets.domain.tables import UTC_US

# The start of the captured window (W0) of each event that has tape.
WINDOW_STARTS: Final = pl.Schema({"event_id": pl.String(), "window_start": UTC_US})


def with_feature_from(labels: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """`labels` (EVENT_LABELS) with `feature_from` (UTC), in the order given.

    It is the start of the event's window, or, without tape, of its New York date. A training row is purged where its
    [feature_from, t1) meets that of a test row of the same date, of any symbol; the split itself is the user's.

    Args:
        labels: with `event_id` and `date`.
        windows: WINDOW_STARTS, one row per event at most; other events are ignored.
    """
    midnight = pl.col("date").str.to_date().cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK)
    rows = labels.join(windows.select(*WINDOW_STARTS), on="event_id", how="left", maintain_order="left", validate="m:1")
    return rows.with_columns(feature_from=pl.coalesce("window_start", midnight.dt.convert_time_zone("UTC"))).drop(
        "window_start"
    )
