"""Is a capture good enough to go on: figures, targets, GO or NO-GO (specification, section 7)."""

from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import SESSIONS, UTC_US

STATES: Final = ("complete", "empty", "trades_only", "quotes_only", "failed", "denied", "missing")

LEDGER: Final = pl.Schema(
    {
        "event_id": pl.String(),
        "symbol": pl.String(),
        "wave": pl.String(),
        "start": UTC_US,
        "end": UTC_US,
        "state": pl.String(),
        "trades_rows": pl.Int64(),
        "quotes_rows": pl.Int64(),
        "trades_first": pl.Datetime("ns", "UTC"),
        "trades_last": pl.Datetime("ns", "UTC"),
        "quotes_first": pl.Datetime("ns", "UTC"),
        "quotes_last": pl.Datetime("ns", "UTC"),
        "bytes": pl.Float64(),
        "trades_files": pl.List(pl.String()),
        "quotes_files": pl.List(pl.String()),
        "trades_sha256": pl.List(pl.String()),
        "quotes_sha256": pl.List(pl.String()),
        "cause": pl.String(),
    }
)

# What the published artefacts say of the requests that made them.
EFFORT: Final = pl.Schema({"wave": pl.String(), "requests": pl.Int64(), "retries": pl.Int64(), "throttled": pl.Int64()})

KPIS: Final = pl.Schema(
    {
        "wave": pl.String(),
        "figure": pl.String(),
        "value": pl.Float64(),
        "target": pl.String(),
        "holds": pl.Boolean(),
    }
)


class KpiParams(Params):
    """Targets of a capture. Per cent, percentage points, megabytes (10^6 bytes)."""

    min_success_pct: float = Field(ge=0, le=100)
    max_retries_pct: float = Field(gt=0)
    max_throttled_pct: float = Field(gt=0)
    max_session_drift_pp: dict[str, float]
    max_p90_event_mb: float = Field(gt=0)


def state_counts(ledger: pl.DataFrame) -> pl.DataFrame:
    """Windows by wave and state, one column per state, with `windows` and `bytes`; a row `all` comes last."""
    counts = [(pl.col("state") == state).sum().alias(state) for state in STATES]
    figures = [pl.len().alias("windows"), *counts, pl.col("bytes").sum()]
    by_wave = ledger.group_by("wave").agg(figures)
    whole = ledger.select(pl.lit("all").alias("wave"), *figures)
    order = pl.Enum(["PM", "AH", "RTH", "all"])
    return pl.concat([by_wave, whole]).sort(pl.col("wave").cast(order))


def capture_kpis(ledger: pl.DataFrame, effort: pl.DataFrame, params: KpiParams) -> pl.DataFrame:
    """Each figure of a capture with its target (KPIS), per wave and in all. A figure without data is null and fails."""
    complete = pl.col("state") == "complete"
    figures = [
        (100 * complete.mean()).alias("success_pct"),
        (pl.col("bytes").filter(complete).quantile(0.9, "linear") / 1e6).alias("p90_event_mb"),
    ]
    sums = [pl.col(name).sum() for name in ("requests", "retries", "throttled")]
    windows = pl.concat([ledger.group_by("wave").agg(figures), ledger.select(pl.lit("all").alias("wave"), *figures)])
    requests = pl.concat([effort.group_by("wave").agg(sums), effort.select(pl.lit("all").alias("wave"), *sums)])
    share = pl.when(pl.col("requests") > 0)
    wide = windows.join(requests, on="wave", how="left").select(
        "wave",
        "success_pct",
        "p90_event_mb",
        retries_pct=share.then(100 * pl.col("retries") / pl.col("requests")),
        throttled_pct=share.then(100 * pl.col("throttled") / pl.col("requests")),
    )
    least, most = (
        {"success_pct": params.min_success_pct},
        {
            "retries_pct": params.max_retries_pct,
            "throttled_pct": params.max_throttled_pct,
            "p90_event_mb": params.max_p90_event_mb,
        },
    )
    long = wide.unpivot(index="wave", variable_name="figure", value_name="value").with_columns(
        target=pl.col("figure").replace_strict(
            {name: f">= {target:g}" for name, target in least.items()}
            | {name: f"< {target:g}" for name, target in most.items()}
        ),
        holds=pl.when(pl.col("figure").is_in(list(least)))
        .then(pl.col("value") >= pl.col("figure").replace_strict(least, default=None, return_dtype=pl.Float64))
        .otherwise(pl.col("value") < pl.col("figure").replace_strict(most, default=None, return_dtype=pl.Float64)),
    )
    order = pl.Enum(["PM", "AH", "RTH", "all"])
    return (
        pl.concat([long.select(*KPIS), _session_drift(ledger, params)])
        .with_columns(pl.col("holds").fill_null(value=False))
        .match_to_schema(KPIS)
        .sort(pl.col("wave").cast(order), "figure")
    )


def _session_drift(ledger: pl.DataFrame, params: KpiParams) -> pl.DataFrame:
    """Percentage points by which each session's share of the complete events differs from its share of the manifest."""
    complete = ledger.filter(pl.col("state") == "complete")
    rows = [
        {
            "wave": session,
            "figure": "session_drift_pp",
            "value": _share_pct(complete, session) - _share_pct(ledger, session) if complete.height else None,
            "target": f"within ±{params.max_session_drift_pp[session]:g}",
        }
        for session in SESSIONS
    ]
    limit = pl.col("wave").replace_strict(params.max_session_drift_pp, return_dtype=pl.Float64)
    schema = {name: dtype for name, dtype in KPIS.items() if name != "holds"}
    return pl.DataFrame(rows, schema=schema).with_columns(holds=pl.col("value").abs() <= limit)


def _share_pct(ledger: pl.DataFrame, session: str) -> float:
    return 100 * ledger.filter(pl.col("wave") == session).height / ledger.height


def verdict(kpis: pl.DataFrame) -> tuple[bool, list[str]]:
    """GO when every figure holds; otherwise the reasons, one line per figure that does not."""
    broken = kpis.filter(~pl.col("holds"))
    return broken.is_empty(), [
        f"{row['wave']}: {row['figure']} is {'unknown' if row['value'] is None else format(row['value'], '.4g')}, "
        f"target {row['target']}"
        for row in broken.to_dicts()
    ]
