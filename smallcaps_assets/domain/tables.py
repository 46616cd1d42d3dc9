"""The schema of every table, and the one way to hold a frame against it.

A frame is matched to its schema where it crosses a border: a file, an answer of the vendor, an asset. Column names and
meanings are those of the specification; descriptions are what catalog and documentation show.
"""

import re
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

TRADES: Final = pl.Schema(
    {
        "timestamp": UTC_NS,
        "price": pl.Float64(),
        "size": pl.Float64(),
        "exchange": pl.Int64(),
        "conditions": pl.List(pl.Int64()),
        "sequence_number": pl.Int64(),
        "trade_id": pl.String(),
    }
)
TRADES_ALL: Final = pl.Schema(
    {
        **TRADES,
        "participant_timestamp": UTC_NS,
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
    }
)
QUOTES_ALL: Final = pl.Schema({**QUOTES, "participant_timestamp": UTC_NS, "tape": pl.Int64()})

# What the footer of a tape file records of its origin. `skipped`: why the vendor was not asked; `taken_from`: files of
# other profiles that the rows were cut out of instead; `adopted_from`: files that a user had already. `budget_events`
# had their later quotes thinned to `budget_hz` because their tape was too large; `over_budget` are too large even so.
CERTIFICATE: Final = pl.Schema(
    {
        "events_merged": pl.List(pl.String()),
        "pages": pl.Int64(),
        "requests": pl.Int64(),
        "retries": pl.Int64(),
        "throttled": pl.Int64(),
        "received": pl.Int64(),
        "rows": pl.Int64(),
        "request_ids": pl.List(pl.String()),
        "fetched_at": UTC_US,
        "skipped": pl.String(),
        "taken_from": pl.List(pl.String()),
        "adopted_from": pl.List(pl.String()),
        "thinning": pl.Struct({"by_change_only": pl.Boolean(), "max_hz": pl.Int64()}),
        "budget_mb": pl.Float64(),
        "budget_events": pl.List(pl.String()),
        "budget_hz": pl.List(pl.Float64()),
        "over_budget": pl.List(pl.String()),
        "config_hash": pl.String(),
        "package_version": pl.String(),
    }
)
# One row per published span. `bytes` is the size of its file; `missing_columns` are those that the profile requires and
# the file lacks: a span with any is stale.
PUBLISHED: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "path": pl.String(),
        "bytes": pl.Int64(),
        "missing_columns": pl.List(pl.String()),
        **CERTIFICATE,
    }
)
# Rows of each event in each of its tape files.
PIECE_COUNTS: Final = pl.Schema(
    {"event_id": pl.String(), "path": pl.String(), "rows": pl.Int64(), "first": UTC_NS, "last": UTC_NS}
)

# The vendor's reference data of a symbol; null where it does not know.
REFERENCE: Final = pl.Schema(
    {
        "symbol": pl.String(),
        "float_shares": pl.Float64(),
        "short_interest_shares": pl.Float64(),
        "days_to_cover": pl.Float64(),
    }
)

EVENT_TYPES: Final = (
    "volume_spike",
    "vwap_break",
    "price_momentum",
    "consolidation_break",
    "opening_range_break",
    "tape_speed",
    "flush",
)
SESSIONS: Final = ("PM", "RTH", "AH")
WAVES: Final = ("PM", "AH", "RTH")
DIRECTIONS: Final = ("up", "down")

# Letters may be of either case: the vendor writes preferred shares as `KIMpL`.
SYMBOL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,23}$"
_WINDOWS_DEVICES: Final = r"(?i)^(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?$"


def symbol_is_safe(symbol: pl.Expr) -> pl.Expr:
    """Whether a symbol can name a folder on every system (Boolean, never null)."""
    return (
        symbol.str.contains(SYMBOL_PATTERN) & ~symbol.str.contains(_WINDOWS_DEVICES) & ~symbol.str.ends_with(".")
    ).fill_null(False)


def as_listed(symbol: pl.Expr) -> pl.Expr:
    """A symbol that has no capital letter in capitals: no symbol of the vendor's is written so."""
    small = symbol.str.contains("[a-z]") & ~symbol.str.contains("[A-Z]")
    return pl.when(small).then(symbol.str.to_uppercase()).otherwise(symbol)


def as_listed_name(symbol: str) -> str:
    """The same of one symbol."""
    return symbol if re.search("[A-Z]", symbol) else symbol.upper()


def check_symbol(symbol: str) -> str:
    """Return `symbol` if it can name a folder on every system.

    Raises:
        InputError: path separators, `|`, a Windows device name, a trailing dot, more than 24 characters.
    """
    if not re.fullmatch(SYMBOL_PATTERN[1:-1], symbol) or re.match(_WINDOWS_DEVICES, symbol) or symbol.endswith("."):
        raise InputError(
            f"symbol {symbol!r} is not usable: 1 to 24 letters, digits, '.', '_', '+' or '-', beginning with a letter "
            "or digit, and no name that Windows reserves (CON, PRN, AUX, NUL, COM1, LPT1). Correct it or leave it out."
        )
    return symbol


def matched(
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
