"""KPIs of a capture: figures, targets, GO or NO-GO (specification, section 7)."""

from typing import Final

import polars as pl
from pydantic import Field

from smallcaps_assets.domain.params import Params
from smallcaps_assets.domain.tables import SESSIONS
from smallcaps_assets.domain.tape.contradictions import is_contradicted
from smallcaps_assets.domain.tape.tables import KPIS, RECONCILED_MINUTES
from smallcaps_assets.domain.words import count_clause

CAPTURE_STATES: Final = ("complete", "empty", "trades_only", "quotes_only", "failed", "denied", "missing")
# trades and quotes are published: the vendor has no more
PUBLISHED_STATES: Final = ("complete", "empty", "trades_only", "quotes_only")

# the share of minutes whose bar is the one that their trades make, in per cent
RECONCILED: Final = "reconciled_pct"
_UTC_NS: Final = pl.Datetime("ns", "UTC")
_KINDS: Final = ("trades", "quotes")


class KpiParams(Params):
    """Targets of a capture, in per cent, percentage points and megabytes (10^6 bytes)."""

    min_success_pct: float = Field(ge=0, le=100)
    max_retries_pct: float = Field(gt=0)
    max_throttled_pct: float = Field(gt=0)
    max_session_drift_pp: dict[str, float]
    max_p90_event_mb: float = Field(gt=0)
    min_reconciled_pct: float = Field(default=95.0, ge=0, le=100)


def state_counts(ledger: pl.DataFrame) -> pl.DataFrame:
    """Windows by wave: one column per state, `windows`, `contradicted` and `bytes`; the last row is `all`.

    `contradicted` are those of the states `empty`, `trades_only` and `quotes_only` whose emptiness is contradicted.
    """
    counts = [(pl.col("state") == state).sum().alias(state) for state in CAPTURE_STATES]
    contradicted = is_contradicted().sum().alias("contradicted")
    figures = [pl.len().alias("windows"), *counts, contradicted, pl.col("bytes").sum()]
    by_wave = ledger.group_by("wave").agg(figures)
    whole = ledger.select(pl.lit("all").alias("wave"), *figures)
    order = pl.Enum(["PM", "AH", "RTH", "all"])
    return pl.concat([by_wave, whole]).sort(pl.col("wave").cast(order))


def ledger_problems(ledger: pl.DataFrame, profile: str, manifest_id: str) -> list[str]:
    """Reasons why a ledger (LEDGER) does not belong to a profile and its current manifest; empty if it does."""
    problems = []
    for name, expected in (("profile", profile), ("manifest_id", manifest_id)):
        others = ledger.filter(pl.col(name).ne_missing(expected))[name].unique().sort().to_list()
        if others:
            problems.append(f"is of {name} {', '.join(map(str, others))}, not of {expected}")
    return problems


def capture_kpis(
    ledger: pl.DataFrame, effort: pl.DataFrame, params: KpiParams, minutes: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Figures of a capture with their targets (KPIS), per wave and in total.

    A figure with a target but without data is null and fails; without requests, the share of retries is 0. The share of
    minutes that agree is null, and not judged, where `minutes` lacks a wave that has trades. Requests per window,
    windows per hour (over the last hour in which windows were published) and hours left have no target.

    Args:
        ledger: LEDGER.
        effort: EFFORT.
        params: targets.
        minutes: RECONCILED_MINUTES of waves in which bars were compared with all published trades.
    """
    complete = pl.col("state") == "complete"
    figures = [
        (100 * complete.mean()).alias("success_pct"),
        (pl.col("bytes").filter(complete).quantile(0.9, "linear") / 1e6).alias("p90_event_mb"),
        complete.sum().alias("complete"),
        *speed_figures(),
    ]
    sums = [pl.col(name).sum() for name in ("requests", "retries", "throttled")]
    windows = pl.concat([ledger.group_by("wave").agg(figures), ledger.select(pl.lit("all").alias("wave"), *figures)])
    requests = pl.concat([effort.group_by("wave").agg(sums), effort.select(pl.lit("all").alias("wave"), *sums)])
    asked = pl.col("requests").clip(1)
    wide = (
        windows.join(requests, on="wave", how="left")
        .join(_agreeing_minutes(ledger, minutes), on="wave", how="left")
        .with_columns(pl.col("requests", "retries", "throttled").fill_null(0))
        .select(
            "wave",
            "success_pct",
            "p90_event_mb",
            RECONCILED,
            "windows_per_hour",
            retries_pct=100 * pl.col("retries") / asked,
            throttled_pct=100 * pl.col("throttled") / asked,
            requests_per_window=pl.when(pl.col("complete") > 0).then(pl.col("requests") / pl.col("complete")),
            hours_left=pl.when(pl.col("left") == 0)
            .then(0.0)
            .when(pl.col("windows_per_hour") > 0)
            .then(pl.col("left") / pl.col("windows_per_hour")),
        )
    )
    least, most = (
        {"success_pct": params.min_success_pct, RECONCILED: params.min_reconciled_pct},
        {
            "retries_pct": params.max_retries_pct,
            "throttled_pct": params.max_throttled_pct,
            "p90_event_mb": params.max_p90_event_mb,
        },
    )
    targets = {name: f">= {target:g}" for name, target in least.items()} | {
        name: f"< {target:g}" for name, target in most.items()
    }
    figure, value = pl.col("figure"), pl.col("value")
    long = wide.unpivot(index="wave", variable_name="figure", value_name="value").with_columns(
        target=figure.replace_strict(targets, default=None, return_dtype=pl.String),
        holds=pl.when(figure.is_in(list(least)))
        .then(value >= figure.replace_strict(least, default=None, return_dtype=pl.Float64))
        .when(figure.is_in(list(most)))
        .then(value < figure.replace_strict(most, default=None, return_dtype=pl.Float64)),
    )
    order = pl.Enum(["PM", "AH", "RTH", "all"])
    return (
        pl.concat([long.select(*KPIS), _session_drift(ledger, params)])
        .with_columns(pl.col("holds").fill_null(pl.col("target").is_null() | (figure == RECONCILED)))
        .match_to_schema(KPIS)
        .sort(pl.col("wave").cast(order), "figure")
    )


def _agreeing_minutes(ledger: pl.DataFrame, minutes: pl.DataFrame | None) -> pl.DataFrame:
    """`wave` and the share of minutes whose bar is the one that their trades make, in per cent, see `capture_kpis`."""
    known = RECONCILED_MINUTES.to_frame() if minutes is None else minutes
    with_trades = ledger.filter(pl.col("trades_rows").is_not_null())["wave"].unique()
    total = known.sum().with_columns(wave=pl.lit("all"))
    rows = pl.concat([known, total]) if set(with_trades) <= set(known["wave"]) else known
    return rows.filter(pl.col("compared") > 0).select(
        "wave", (100 * pl.col("exact") / pl.col("compared")).alias(RECONCILED)
    )


def speed_figures() -> list[pl.Expr]:
    """`windows_per_hour` over the last hour in which windows were published, and `left`, the missing windows."""
    done = pl.max_horizontal("trades_fetched_at", "quotes_fetched_at").filter(pl.col("state").is_in(PUBLISHED_STATES))
    recent = done.filter(done > done.max() - pl.duration(hours=1))
    seconds = (recent.max() - recent.min()).dt.total_microseconds() / 1e6
    return [
        pl.when(seconds > 0).then(3600 * (recent.len() - 1) / seconds).alias("windows_per_hour"),
        (~pl.col("state").is_in(PUBLISHED_STATES)).sum().alias("left"),
    ]


def _session_drift(ledger: pl.DataFrame, params: KpiParams) -> pl.DataFrame:
    """Share of each session in the complete events minus its share in the manifest, in percentage points."""
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


def verdict(kpis: pl.DataFrame, ledger: pl.DataFrame) -> tuple[bool, list[str]]:
    """GO if every figure meets its target, and otherwise the reasons, one line per figure that misses it.

    If the sessions are out of balance, the last line names the wave to capture or to repeat. A capture that has not
    begun has this as its only reason: its figures say nothing yet.
    """
    broken = kpis.filter(~pl.col("holds"))
    if ledger.height and not has_begun(ledger):
        return False, [f"the capture has not begun: {none_requested(ledger.height)}"]
    reasons = [
        f"{row['wave']}: {row['figure']} is {_in_words(row['value'])}, target {row['target']}"
        for row in broken.to_dicts()
    ]
    if "session_drift_pp" in broken["figure"]:
        reasons.append(_wave_to_capture(ledger))
    return broken.is_empty(), reasons


def describe_verdict(kpis: pl.DataFrame, ledger: pl.DataFrame) -> list[str]:
    """The verdict in words: GO or NO-GO, then one line per figure that misses its target, with all waves that miss it.

    The windows that are missing are named beside NO-GO, since figures may still reach their targets with them.
    """
    go, reasons = verdict(kpis, ledger)
    if go:
        return ["GO: every figure meets its target"]
    if ledger.height and not has_begun(ledger):
        return [f"NO-GO: {reasons[0]}"]
    broken = kpis.filter(~pl.col("holds"))
    lines = [_missed_line(str(figure), rows) for (figure,), rows in broken.group_by("figure", maintain_order=True)]
    are_judged = pl.col("target").is_not_null() & (pl.col("value").is_not_null() | ~pl.col("holds"))
    missed, judged = broken["figure"].n_unique(), kpis.filter(are_judged)["figure"].n_unique()
    missing = ledger.filter(state="missing").height
    of_missing = (
        f"; {missing:,} of {count_clause(ledger.height, 'window is', 'windows are')} missing" if missing else ""
    )
    targets = count_clause(judged, "figure misses its target", "figures miss their targets")
    head = f"NO-GO: {missed} of {targets}{of_missing}"
    return [head, *lines, *reasons[broken.height :]]


def none_requested(windows: int) -> str:
    """That no window of a manifest, or of a wave, was requested: `none of its 20 windows has been requested`."""
    return (
        "its 1 window has not been requested" if windows == 1 else f"none of its {windows:,} windows has been requested"
    )


def has_begun(ledger: pl.DataFrame) -> bool:
    """Whether any window has trades or quotes, or was requested without success."""
    touched = (pl.col("state") != "missing") | pl.col("trades_rows").is_not_null() | pl.col("quotes_rows").is_not_null()
    return bool(ledger.select(touched.any()).item())


def _missed_line(figure: str, rows: pl.DataFrame) -> str:
    values = ", ".join(f"{wave} {_in_words(value)}" for wave, value in rows.select("wave", "value").iter_rows())
    return f"{figure}: {values}; target {', '.join(rows['target'].unique(maintain_order=True))}"


def _in_words(value: float | None) -> str:
    return "unknown" if value is None else format(value, ".4g")


def _wave_to_capture(ledger: pl.DataFrame) -> str:
    """The wave with the largest share of missing windows."""
    missing = ~pl.col("state").is_in(PUBLISHED_STATES)
    waves = ledger.group_by("wave").agg(windows=pl.len(), missing=missing.sum()).filter(pl.col("missing") > 0)
    if waves.is_empty():
        return "no wave to repeat: the vendor has no more data for the windows that are not complete"
    worst = waves.sort(pl.col("missing") / pl.col("windows"), "wave", descending=[True, False]).row(0, named=True)
    if not has_begun(ledger.filter(wave=worst["wave"])):
        return f"capture wave {worst['wave']}: {none_requested(worst['windows'])}"
    return (
        f"repeat wave {worst['wave']}: {worst['missing']:,} of its "
        f"{count_clause(worst['windows'], 'window is', 'windows are')} missing"
    )
