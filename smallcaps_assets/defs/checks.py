"""Checks that people see: pure findings, reported."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

MASTER_QUALITY: Final = "quality"
SHARDS_CURRENT: Final = "shards_current"


def master_quality(problems: Sequence[str]) -> dg.AssetCheckResult:
    """No event twice, nothing missing, NaN or unknown where it must not be; see `domain.quality.master_problems`."""
    metadata = {"problems": "; ".join(problems) or "none"}
    return dg.AssetCheckResult(check_name=MASTER_QUALITY, passed=not problems, metadata=metadata)


def shards_current(stale: Sequence[str]) -> dg.AssetCheckResult:
    """Every shard was detected with the settings in force; those that were not are named."""
    return dg.AssetCheckResult(
        check_name=SHARDS_CURRENT,
        passed=not stale,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"stale": len(stale), "symbols": ", ".join(stale[:50]) or "none"},
    )
