"""Column lineage. Columns passed on unchanged are matched by name; the sources of the others are listed here."""

from collections.abc import Mapping
from typing import Final

Columns = Mapping[str, tuple[str, ...]]

_PRICES = ("open", "high", "low", "close")
_VWAP = ("timestamp", "high", "low", "close", "volume")
_SCORE = ("timestamp", *_PRICES, "volume")
_WINDOW = ("transactions", "high", "low", "vwap_at_event", "spike_x", "score", "event_type")

# columns of a shard, from bars
OF_SHARD: Final[Columns] = {
    "event_type": ("timestamp", *_PRICES, "volume", "transactions"),
    "direction": ("timestamp", *_PRICES, "volume"),
    "session": ("timestamp",),
    "spike_x": ("volume",),
    "dollar_volume": ("close", "volume"),
    "score": _SCORE,
    "date": ("timestamp",),
    "event_bias": ("timestamp", *_PRICES, "volume"),
    "close_vs_open": ("open", "close"),
    "tier": _SCORE,
    "event_id": ("symbol", "timestamp"),
    "known_at": ("timestamp",),
    "vwap_at_event": _VWAP,
    "flatness_score": ("timestamp", *_PRICES),
    "rvol_day": ("timestamp", "close", "volume"),
    "dollar_volume_day": ("timestamp", "close", "volume"),
    "dollar_volume_to_event": ("timestamp", "close", "volume"),
    "is_premarket": ("timestamp",),
    "is_afterhours": ("timestamp",),
}
# columns of MASTER, from shards
OF_MASTER: Final[Columns] = {"event_group_id": ("symbol", "date", "timestamp")}
# columns of a manifest, from MASTER
OF_MANIFEST: Final[Columns] = {
    "rank": ("score", "event_type", "rvol_day", "dollar_volume", "event_id"),
    "time_bucket": ("session", "timestamp"),
    "window_before_min": _WINDOW,
    "window_after_min": _WINDOW,
    "extended": _WINDOW,
}
# columns of a ledger, from its manifest
OF_LEDGER: Final[Columns] = {
    "wave": ("session",),
    "start": ("timestamp", "window_before_min"),
    "end": ("timestamp", "window_after_min"),
    "events_merged": ("event_id", "symbol", "timestamp", "window_before_min", "window_after_min"),
}
# columns of a ledger named after trades or quotes (`trades_rows`), from these
OF_LEDGER_FROM_TAPE: Final[Columns] = {"rows": ("timestamp",), "first": ("timestamp",), "last": ("timestamp",)}


def trace_columns(
    schema: Mapping[str, object], upstream: Mapping[str, object], derived: Columns
) -> dict[str, list[str]]:
    """The columns of `upstream` that each column of `schema` derives from; omits columns that derive from none."""
    sources = {name: list(derived.get(name, (name,) if name in upstream else ())) for name in schema}
    return {name: columns for name, columns in sources.items() if columns}
