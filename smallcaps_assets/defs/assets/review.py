"""Asset `<profile>/review_sheet`: the page on which a person labels events of a manifest, and the precision found."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks.texts import WITH_ITS_ASSET
from smallcaps_assets.defs.metadata.entries import Metadata, in_words, megabytes, round_value, table
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.review.review import Review, ReviewResult
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

_PRECISION_CHECK: Final = "precision"


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The review sheet of each profile."""
    return [_review_sheet(profile) for profile in PROFILES]


def _review_sheet(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=_key(profile),
        deps=[dg.AssetKey([profile, "manifest"]), "minute_bars"],
        check_specs=[
            dg.AssetCheckSpec(
                _PRECISION_CHECK,
                asset=_key(profile),
                description="Every event of the sheet is labeled, and the share of good events in the manifest is at "
                f"least review.min_precision_pct, as a wider profile requires.{WITH_ITS_ASSET}",
            )
        ],
        description=f"A page of events of the current manifest of {profile}, drawn by type, session and score, to be "
        "labeled by a person: open it with a double click, label events, export the labels, run `smallcaps review "
        "FILE`. Shows the tape of events that are captured by then, and on request what came after. Sends no vendor "
        "requests.",
    )
    def review_sheet(
        settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        review = Review(lake.lake, profile, settings.load())
        made = review.make()
        reviewed = review.assess(made.sheet)
        without_bars = made.charts.charts.filter(pl.col("trouble") == "no_bars").height
        figures: Metadata = {
            # a longer path makes the metadata wider than the page, which shows the folder as storage
            "page": dg.MetadataValue.path(made.path.name),
            "page_mb": megabytes(made.bytes),
            "sample_id": made.sheet.sample_id,
            "events without bars": without_bars,
            "events with tape": made.tapes,
            "events with outcome": made.outcomes,
            "dagster/row_count": made.sheet.events.height,
        }
        yield dg.MaterializeResult(metadata=review_metadata(reviewed) | figures)
        yield dg.AssetCheckResult(**_check_result(reviewed))

    return review_sheet


def report_review(instance: dg.DagsterInstance, profile: Profile, reviewed: ReviewResult, *, current: bool) -> None:
    """Record labels that were imported after the sheet was made: an observation and, if `current`, the check's result.

    Args:
        instance: Dagster's state.
        profile: the profile.
        reviewed: the review, with all labels imported so far.
        current: whether it is of the current manifest, which the check is about.
    """
    key = _key(profile)
    instance.report_runless_asset_event(dg.AssetObservation(key, metadata=review_metadata(reviewed)))
    if current:
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(asset_key=key, **_check_result(reviewed)))


def review_metadata(reviewed: ReviewResult) -> Metadata:
    """Metadata of a review: the precision with its interval, in total and by type and session, and the verdict."""
    (whole,) = reviewed.table.filter(pl.col("part") == "all").to_dicts() or [dict.fromkeys(reviewed.table.columns)]
    return {
        "review": reviewed.verdict.words,
        "precision": table(_precision(reviewed.table)),
        "marked": whole["marked"] or 0,
        **{
            name: round_value(value)
            for name in ("precision_pct", "low_pct", "high_pct")
            if (value := whole[name]) is not None
        },
        "manifest_id": reviewed.sheet.manifest_id,
    }


def _precision(rows: pl.DataFrame) -> pl.DataFrame:
    """PRECISION, narrow: events, good ones of those labeled, precision in per cent with its interval."""
    precision, low, high = (pl.col(name).round(0).cast(pl.Int64) for name in ("precision_pct", "low_pct", "high_pct"))
    return rows.select(
        in_words("part"),
        "events",
        pl.format("{} of {}", "good", "marked").alias("good"),
        pl.format("{} ({} to {})", precision, low, high).fill_null("-").alias("% (95 % interval)"),
    )


def _key(profile: Profile) -> dg.AssetKey:
    return dg.AssetKey([profile, "review_sheet"])


def _sentence(words: str) -> str:
    """A verdict as the result of a check, which begins like those of other checks."""
    return words[:1].upper() + words[1:].replace("ot judged:", "ot judged yet:", 1)


def _check_result(reviewed: ReviewResult) -> dict[str, Any]:
    return {
        "check_name": _PRECISION_CHECK,
        "passed": reviewed.verdict.holds,
        "severity": dg.AssetCheckSeverity.WARN,
        "description": _sentence(reviewed.verdict.words),
        "metadata": {
            "manifest_id": reviewed.sheet.manifest_id,
            "review": dg.MetadataValue.text(reviewed.verdict.words),
            "precision": table(_precision(reviewed.table)),
        },
    }
