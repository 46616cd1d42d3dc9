"""Share of good events in a manifest with its confidence interval, estimated from labels on a stratified sample."""

from statistics import NormalDist
from typing import Final, NamedTuple

import polars as pl

from smallcaps_assets.domain.review.sample import STRATUM
from smallcaps_assets.domain.words import count_clause, count_noun

CONFIDENCE_PCT: Final = 95.0
_Z: Final = NormalDist().inv_cdf(0.5 + CONFIDENCE_PCT / 200)

# One row for all events, and one for each type and session. `marked` counts the labels, and `of_marks_pct` is the share
# of good ones; `precision_pct` weights each label by the events that it represents, and has a Wilson interval. The
# shares are null where no event is labeled.
PRECISION: Final = pl.Schema(
    {
        "part": pl.String(),
        "events": pl.Int64(),
        "marked": pl.Int64(),
        "good": pl.Int64(),
        "of_marks_pct": pl.Float64(),
        "precision_pct": pl.Float64(),
        "low_pct": pl.Float64(),
        "high_pct": pl.Float64(),
    }
)


class PrecisionVerdict(NamedTuple):
    """Whether the precision is sufficient, and a sentence that says so."""

    holds: bool
    words: str


def wilson(share: pl.Expr, number: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """Lower and upper bound of the 95 % Wilson score interval of a share of `number` trials, each in [0, 1]."""
    middle = share + _Z**2 / (2 * number)
    spread = _Z * (share * (1 - share) / number + _Z**2 / (4 * number**2)).sqrt()
    whole = 1 + _Z**2 / number
    return ((middle - spread) / whole).clip(0, 1), ((middle + spread) / whole).clip(0, 1)


def estimate_precision(sample: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Precision of all events, and of each type and session (PRECISION).

    A label represents the events of its stratum in the manifest divided by the number of labels in the stratum: small
    strata are sampled more often than their share, and must not count more. The Wilson interval uses Kish's effective
    sample size, which equals the number of labels where all weights are equal.

    Args:
        sample: the sampled events, with `event_id`, the columns of STRATUM and `stratum_events`.
        labels: `event_id` and `good` (Boolean), one row per labeled event.
    """
    labeled = pl.col("good").is_not_null()
    weight = pl.col("stratum_events") / labeled.sum().over(STRATUM)
    rows = sample.join(labels, on="event_id", how="left", maintain_order="left").with_columns(
        weight=pl.when(labeled).then(weight)
    )
    parts = [rows.with_columns(part=pl.lit("all"))]
    parts += [rows.with_columns(part=pl.col(name)).sort("part") for name in ("event_type", "session")]
    share = (pl.col("weight") * pl.col("good")).sum() / pl.col("weight").sum()
    effective = pl.col("weight").sum() ** 2 / (pl.col("weight") ** 2).sum()
    counted = (
        pl.concat(parts)
        .group_by("part", maintain_order=True)
        .agg(
            events=pl.len(),
            marked=labeled.sum(),
            good=pl.col("good").sum(),
            share=pl.when(labeled.any()).then(share),
            effective=effective,
        )
    )
    low, high = wilson(pl.col("share"), pl.col("effective"))
    return counted.select(
        "part",
        pl.col("events", "marked", "good").cast(pl.Int64),
        of_marks_pct=pl.when(pl.col("marked") > 0).then(100 * pl.col("good") / pl.col("marked")),
        precision_pct=100 * pl.col("share"),
        low_pct=100 * low,
        high_pct=100 * high,
    ).match_to_schema(PRECISION)


def judge_precision(table: pl.DataFrame, min_precision_pct: float) -> PrecisionVerdict:
    """The acceptance rule: every event of the sheet is labeled, and the estimated precision reaches the minimum.

    The estimate is compared, not the lower bound of its interval, which for 100 labels would require 79 % where the
    rule requires 70 %. The interval shows the influence of chance.
    """
    whole = table.filter(pl.col("part") == "all").to_dicts()
    if not whole:
        return PrecisionVerdict(holds=False, words="not judged: the manifest has no events")
    (row,) = whole
    required = f"Required: at least {min_precision_pct:g} %."
    missing = row["events"] - row["marked"]
    if not row["marked"]:
        return PrecisionVerdict(
            holds=False, words=f"not judged: none of {count_noun(row['events'], 'event')} is labeled yet. {required}"
        )
    found = f"precision {row['precision_pct']:.1f} % (95 % interval {row['low_pct']:.1f} to {row['high_pct']:.1f})"
    if missing:
        return PrecisionVerdict(
            holds=False,
            words=f"not judged: {missing:,} of {count_clause(row['events'], 'label is', 'labels are')} "
            f"missing; {found} so far. {required}",
        )
    holds = row["precision_pct"] >= min_precision_pct
    return PrecisionVerdict(holds=holds, words=f"{found}. {required} {'Met.' if holds else 'Not met.'}")
