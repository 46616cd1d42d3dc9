"""Schemas of the market's tables (bars, events, manifests, tape) and the check of a frame against a schema.

Frames are checked where they enter: from a file, from the vendor, from another asset. Column names and meanings are
those of docs/specification.md; `domain.descriptions` describes the columns for the catalog. Tables about the tape are
in `domain.tape.tables`.
"""

from collections.abc import Collection, Mapping
from typing import Final

import polars as pl

from smallcaps_assets.errors import InputError

UTC_US: Final = pl.Datetime("us", "UTC")
UTC_NS: Final = pl.Datetime("ns", "UTC")

BARS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": UTC_US,
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "vwap": pl.Float64(),
        "transactions": pl.Int64(),
    }
)

EVENTS: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "event_type": pl.String(),
        "timestamp": UTC_US,
        "direction": pl.String(),
        "session": pl.String(),
        "spike_x": pl.Float64(),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Float64(),
        "dollar_volume": pl.Float64(),
        "score": pl.Float64(),
        "date": pl.String(),
        "event_bias": pl.String(),
        "close_vs_open": pl.String(),
        "tier": pl.Int64(),
        "event_id": pl.String(),
        "event_group_id": pl.String(),
        "known_at": UTC_US,
        "vwap_at_event": pl.Float64(),
        "flatness_score": pl.Float64(),
        "rvol_day": pl.Float64(),
        "dollar_volume_day": pl.Float64(),
        "dollar_volume_to_event": pl.Float64(),
        "transactions": pl.Int64(),
        "is_premarket": pl.Boolean(),
        "is_afterhours": pl.Boolean(),
    }
)

# A shard is one symbol's events before the tables of all symbols are joined: groups belong to MASTER.
SHARD: Final = pl.Schema({name: dtype for name, dtype in EVENTS.items() if name != "event_group_id"})

# Every edge of the detectors, before filters and cooldown: those of a shard are the ones kept by the cooldown.
CANDIDATES: Final = pl.Schema({**SHARD, "passes_filters": pl.Boolean(), "kept_by_cooldown": pl.Boolean()})

# A bar at which the conditions of an edge hold: the edge itself, or a later one that continues it. With it are the
# figures that thresholds are compared with and scores are made of, so that stricter settings are judged without bars.
CONDITION_BAR: Final = pl.Struct(
    {
        "timestamp": UTC_US,
        "session": pl.String(),
        # number of the bar within its day
        "bar": pl.Int32(),
        **dict.fromkeys(("spike_x", "open", "high", "low", "close", "volume", "dollar_volume"), pl.Float64()),
        **dict.fromkeys(("vwap_session", "flatness", "dollar_volume_to_event"), pl.Float64()),
        "transactions": pl.Int64(),
        **dict.fromkeys(("day_high", "return_5"), pl.Float64()),
        **dict.fromkeys(("green_run", "red_run", "run_above", "run_below"), pl.Int32()),
        **dict.fromkeys(("earlier_return", "transactions_baseline", "base_high", "base_low"), pl.Float64()),
        "range_bars": pl.Int32(),
        **dict.fromkeys(("range_high", "range_low"), pl.Float64()),
    }
)
# Candidates as the lake keeps them. `condition_bars` are empty on days too small for any event.
KEPT_CANDIDATES: Final = pl.Schema({**CANDIDATES, "condition_bars": pl.List(CONDITION_BAR)})
# The condition bars of candidates, one row each, with what they have of their candidate: read in a fifth of the time.
# `timestamp` is that of the bar.
CONDITION_BARS: Final = pl.Schema(
    {
        **{name: KEPT_CANDIDATES[name] for name in ("symbol", "event_type", "direction", "date")},
        **{name: KEPT_CANDIDATES[name] for name in ("rvol_day", "dollar_volume_day")},
        **{field.name: field.dtype for field in CONDITION_BAR.fields},
    }
)

MANIFEST: Final = pl.Schema(
    {
        **EVENTS,
        "rank": pl.Int64(),
        "time_bucket": pl.String(),
        "window_before_min": pl.Int64(),
        "window_after_min": pl.Int64(),
        "extended": pl.Boolean(),
    }
)

# What cohorts that select the events of a manifest add to its rows.
ADMISSION: Final = pl.Schema(
    {
        "selected_by_cohort": pl.Boolean(),
        "cohort_id": pl.String(),
        "as_of": pl.Date(),
        "in_selection_sample": pl.Boolean(),
    }
)
# A manifest whose events were selected by cohorts.
FOLLOW_UP_MANIFEST: Final = pl.Schema({**MANIFEST, **ADMISSION})

TRADES: Final = pl.Schema(
    {
        "timestamp": UTC_NS,
        "price": pl.Float64(),
        "size": pl.Float64(),
        "exchange": pl.Int64(),
        "conditions": pl.List(pl.Int64()),
        "sequence_number": pl.Int64(),
        "trade_id": pl.String(),
        "participant_timestamp": UTC_NS,
        "correction": pl.Int64(),
    }
)
TRADES_ALL: Final = pl.Schema(
    {
        **{name: dtype for name, dtype in TRADES.items() if name != "correction"},
        "trf_timestamp": UTC_NS,
        "trf_id": pl.Int64(),
        "correction": pl.Int64(),
        "tape": pl.Int64(),
    }
)
QUOTES: Final = pl.Schema(
    {
        "timestamp": UTC_NS,
        "bid_price": pl.Float64(),
        "bid_size": pl.Float64(),
        "ask_price": pl.Float64(),
        "ask_size": pl.Float64(),
        "bid_exchange": pl.Int64(),
        "ask_exchange": pl.Int64(),
        "indicators": pl.List(pl.Int64()),
        "conditions": pl.List(pl.Int64()),
        "sequence_number": pl.Int64(),
        "participant_timestamp": UTC_NS,
    }
)
QUOTES_ALL: Final = pl.Schema({**QUOTES, "tape": pl.Int64()})


# The vendor's reference data of a symbol; null where it does not know.
REFERENCE: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "float_shares": pl.Float64(),
        "short_interest_shares": pl.Float64(),
        "days_to_cover": pl.Float64(),
    }
)

SESSIONS: Final = ("PM", "RTH", "AH")
WAVES: Final = ("PM", "AH", "RTH")
DIRECTIONS: Final = ("up", "down")


def match_columns(
    frame: pl.LazyFrame, schema: Mapping[str, pl.DataType], what: str, added: Collection[str] = ()
) -> pl.LazyFrame:
    """`frame` with exactly the columns of `schema`, in its order; extra columns are left out.

    Args:
        frame: what was read.
        schema: what it must be.
        what: what was read, for messages.
        added: columns that earlier releases did not write; null where they are missing.

    Raises:
        InputError: a column is missing or of another type; names all of them, and `what`.
    """
    found = frame.collect_schema()
    absent = {name: pl.lit(None, schema[name]) for name in added if name not in found}
    missing = [name for name in schema if name not in found and name not in absent]
    wrong = [
        f"{name} is {found[name]}, not {dtype}" for name, dtype in schema.items() if found.get(name, dtype) != dtype
    ]
    if missing or wrong:
        parts = ([f"no column {', '.join(missing)}"] if missing else []) + wrong
        raise InputError(f"{what}: {'; '.join(parts)}. Expected columns: {', '.join(schema)}.")
    return frame.with_columns(**absent).select(*schema)
