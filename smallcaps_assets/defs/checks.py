"""Checks that people see: pure findings, reported."""

from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.domain.tables import EVENT_TYPES

MASTER_QUALITY: Final = "quality"


def master_quality(events: pl.DataFrame) -> dg.AssetCheckResult:
    """No event twice, nothing missing or NaN where it must not be, no unknown type."""
    keys = ("symbol", "event_type", "timestamp", "direction", "session", "score", "close", "event_id")
    findings: dict[str, int] = {
        "repeated_event_ids": int(events["event_id"].is_duplicated().sum()),
        "missing_values": sum(events[name].null_count() for name in keys),
        "nan_values": sum(
            int(events[name].is_nan().sum()) for name, dtype in events.schema.items() if dtype.is_float()
        ),
        "unknown_types": events.filter(~pl.col("event_type").is_in(EVENT_TYPES)).height,
    }
    return dg.AssetCheckResult(check_name=MASTER_QUALITY, passed=not any(findings.values()), metadata=dict(findings))
