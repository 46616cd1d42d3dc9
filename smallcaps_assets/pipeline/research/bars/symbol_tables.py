"""The research tables that one step makes for each symbol, and their rows by symbol and by month."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

import polars as pl

from smallcaps_assets.domain.research.bars.halts import HALTS
from smallcaps_assets.domain.research.bars.market_state import MARKET_STATE
from smallcaps_assets.domain.research.tables.bar_tables import BAR_FEATURES
from smallcaps_assets.domain.research.tables.label_tables import EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES
from smallcaps_assets.domain.sessions import midnight
from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.lake.files.remedies import asset_of_table
from smallcaps_assets.pipeline.research.bars.from_bars import BarTables
from smallcaps_assets.pipeline.research.bars.renewals import Renewal

MARKET_STATE_DAY: Final = "market_state_day"
# The tables by name, in the order in which their files are published; the last records what all were computed from.
SYMBOL_TABLES: Final[Mapping[str, pl.Schema]] = {
    "event_bar_features": BAR_FEATURES,
    "halts": HALTS,
    "event_waves": EVENT_WAVES,
    "event_outcomes": EVENT_OUTCOMES,
    "event_labels": EVENT_LABELS,
    MARKET_STATE_DAY: MARKET_STATE,
}
# Those that are no assets, and the asset that each lies beside.
BESIDE: Final[Mapping[str, str]] = {
    table: asset_of_table(table) for table in SYMBOL_TABLES if asset_of_table(table) != table
}
SYMBOL_ASSETS: Final = tuple(name for name in SYMBOL_TABLES if name not in BESIDE)
# Key of a footer: the digest of the rows of its file.
ROWS_DIGEST: Final = "rows"
# columns of UTC times whose day is that of the row; rows of other tables have a date
_TIMES: Final = {"event_bar_features": "timestamp", "event_waves": "start_at", "event_outcomes": "timestamp"}
# whose files are sorted by event_id; within an event the order of the computation stays
_BY_EVENT: Final = ("event_waves", "event_labels")

# Rows by table and symbol.
RowsBySymbol = Mapping[str, Mapping[str, pl.DataFrame]]


def rows_by_symbol(works: Sequence[Renewal], made: BarTables) -> RowsBySymbol:
    """The rows of the computed months, of all tables."""
    symbols = made.events.select("event_id", "symbol")
    since = pl.DataFrame([(work.symbol, f"{work.since}") for work in works], ["symbol", "since"], orient="row")
    dated = {
        table: rows.join(since, on="symbol", how="left", maintain_order="left")
        .filter(pl.col("date") >= pl.col("since"))
        .drop("since")
        for table, rows in (("halts", made.halts), (MARKET_STATE_DAY, made.days))
    }
    rows = {
        "event_bar_features": made.features,
        "event_outcomes": made.outcomes,
        **dated,
        **{
            table: of_events.join(symbols, on="event_id", how="left", maintain_order="left")
            for table, of_events in (("event_waves", made.waves), ("event_labels", made.labels))
        },
    }
    return {
        table: {
            f"{key[0]}": part.select(*SYMBOL_TABLES[table])
            for key, part in found.partition_by("symbol", as_dict=True, maintain_order=True).items()
        }
        for table, found in rows.items()
    }


def rows_since(works: Sequence[Renewal], rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of `symbol` and `timestamp` in the computed months."""
    starts = {work.symbol: midnight(work.since) for work in works if work.keeps}
    if not starts:
        return rows
    start = pl.col("symbol").replace_strict(starts, default=None, return_dtype=UTC_US)
    return rows.filter((pl.col("timestamp") >= start).fill_null(value=True))


def in_file_order(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of one symbol, computed at several times, in the order of their file (research specification, section 9)."""
    return rows.sort("event_id", maintain_order=True) if table in _BY_EVENT else rows


def is_before(table: str, since: date) -> pl.Expr:
    """Whether a row of a table is of a New York day before `since`."""
    time = _TIMES.get(table)
    return pl.col("date") < f"{since}" if time is None else pl.col(time) < midnight(since)
