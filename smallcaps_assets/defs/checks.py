"""Checks that people see: pure findings, reported."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata import table

MASTER_QUALITY: Final = "quality"
SHARDS_CURRENT: Final = "shards_current"
# checks of a capture, and the figure that each is about
KPI_CHECKS: Final[Mapping[str, str]] = {
    "success_rate": "success_pct",
    "retries": "retries_pct",
    "throttling": "throttled_pct",
    "session_mix": "session_drift_pp",
    "event_size": "p90_event_mb",
}


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


def evaluation(asset: dg.AssetKey, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The verdict of a check of `asset`, to be reported by what is no step of the asset."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check.check_name or "",
        passed=check.passed,
        severity=check.severity,
        metadata=check.metadata,
    )


def kpi_checks(kpis: pl.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """One verdict per figure of a capture (KPIS): it holds in every wave and in all."""
    for name, figure in KPI_CHECKS.items():
        rows = kpis.filter(pl.col("figure") == figure)
        yield dg.AssetCheckResult(
            check_name=name, passed=rows.height > 0 and bool(rows["holds"].all()), metadata={"figures": table(rows)}
        )
