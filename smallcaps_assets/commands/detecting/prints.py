"""Suspect prints as a table of a command."""

import polars as pl

from smallcaps_assets.commands.console import TextTable
from smallcaps_assets.domain.bars.suspect_prints import shown_prints
from smallcaps_assets.domain.sessions import NEW_YORK


def prints_table(listed: pl.DataFrame) -> TextTable:
    """LISTED_PRINTS as a table, times in New York."""
    shown = shown_prints(listed).with_columns(pl.col("timestamp").dt.convert_time_zone(NEW_YORK))
    rows = [
        (
            row["symbol"],
            f"{row['timestamp']:%Y-%m-%d %H:%M}",
            f"{row['side']} {row['value']:g}",
            f"{row['bound']:g}",
            row["event_ids"] or "none",
        )
        for row in shown.to_dicts()
    ]
    return TextTable(("symbol", "New York", "print", "neighbours", "events at or after it"), rows, left=5)
