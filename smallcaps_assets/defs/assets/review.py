"""Asset `<profile>/review_sheet`: the page on which a person judges a manifest, and what came of it."""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata import Metadata, table
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.pipeline.review.review import Review, ReviewResult
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

PRECISION_CHECK: Final = "precision"


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The review sheet of each profile."""
    return [_review_sheet(profile) for profile in PROFILES]


def _review_sheet(profile: Profile) -> dg.AssetsDefinition:
    @dg.asset(
        key=_key(profile),
        deps=[dg.AssetKey([profile, "manifest"]), "minute_bars"],
        check_specs=[
            dg.AssetCheckSpec(
                PRECISION_CHECK,
                asset=_key(profile),
                description="Every event of the sheet is marked, and so many of the manifest's events are good as "
                "review.min_precision_pct asks before going on to a wider profile.",
            )
        ],
        description=f"A page of events of the current manifest of {profile}, drawn by type, session and score, to be "
        "judged by a person: open it by a double click, mark events, export the marks, `smallcaps review FILE`. Asks "
        "the vendor for nothing.",
    )
    def review_sheet(
        settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        review = Review(lake.lake, profile, settings.load())
        made = review.make()
        reviewed = review.assess(made.sheet)
        without = made.charts.charts.filter(pl.col("trouble") == "no_bars").height
        figures: Metadata = {
            "dagster/row_count": made.sheet.events.height,
            "page": dg.MetadataValue.path(str(made.path)),
            "bytes": made.bytes,
            "sample_id": made.sheet.sample_id,
            "events_without_bars": without,
        }
        yield dg.MaterializeResult(metadata=figures | review_metadata(reviewed))
        yield dg.AssetCheckResult(**_verdict(reviewed))

    return review_sheet


def report_review(instance: dg.DagsterInstance, profile: Profile, reviewed: ReviewResult, *, current: bool) -> None:
    """Tell Dagster of marks that were taken in after the sheet was made: an observation, and the check's verdict.

    The check is about the `current` manifest only.
    """
    key = _key(profile)
    instance.report_runless_asset_event(dg.AssetObservation(key, metadata=review_metadata(reviewed)))
    if current:
        instance.report_runless_asset_event(dg.AssetCheckEvaluation(asset_key=key, **_verdict(reviewed)))


def review_metadata(reviewed: ReviewResult) -> Metadata:
    """What people see of a review: the precision with its interval, by type and session, and the rule."""
    (whole,) = reviewed.table.filter(pl.col("part") == "all").to_dicts() or [dict.fromkeys(reviewed.table.columns)]
    return {
        "manifest_id": reviewed.sheet.manifest_id,
        "review": reviewed.verdict.words,
        "marked": whole["marked"] or 0,
        "precision": table(reviewed.table),
        **{name: whole[name] for name in ("precision_pct", "low_pct", "high_pct") if whole[name] is not None},
    }


def _key(profile: Profile) -> dg.AssetKey:
    return dg.AssetKey([profile, "review_sheet"])


def _verdict(reviewed: ReviewResult) -> dict[str, Any]:
    return {
        "check_name": PRECISION_CHECK,
        "passed": reviewed.verdict.holds,
        "severity": dg.AssetCheckSeverity.WARN,
        "metadata": {
            "manifest_id": reviewed.sheet.manifest_id,
            "review": dg.MetadataValue.text(reviewed.verdict.words),
            "precision": table(reviewed.table),
        },
    }
