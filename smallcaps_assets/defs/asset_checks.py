"""Checks that people see: pure findings, reported. Each reads what is published, so that it can be run again alone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.recording import table
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.findings import Finding
from smallcaps_assets.domain.universe import Composition, UniverseLimits
from smallcaps_assets.lake.publish import sha256
from smallcaps_assets.pipeline.checks import (
    Checks,
    checks_of_bars,
    checks_of_manifest,
    checks_of_master,
    judged,
)
from smallcaps_assets.settings.settings import PROFILES, Profile

SMALL_CAPS: Final = "small_caps"
MASTER_CHECKS: Final[Mapping[str, str]] = {
    "unique_events": "No event is there twice.",
    "complete_rows": "Nothing is missing, NaN or infinite in the columns that rankings and windows build on.",
    "session_clock": "Session, date and flags of every event agree with the New York clock and the exchange calendar, "
    "half days and daylight saving time included.",
    "type_shares": "No type of event makes up more of the table than checks.master.max_type_share_pct.",
    "events_per_session": "No symbol has implausibly many events on a day, and the mean per symbol and session is "
    "within bounds: a detector that fires all the time, or never, shows here.",
    "cooldown": "Events of one symbol and type keep the cooldown: near each other, only those come that score "
    "nearly as high as the best.",
    "shards_current": "All events were detected with the settings in force; symbols that were not are named. "
    "Materialize event_shards of them, then this table.",
}
MANIFEST_CHECKS: Final[Mapping[str, str]] = {
    "caps": "Not more events than the profile allows: in all, per symbol, per symbol and day, per group of events.",
    "buckets": "Every event is in the stretch of the day it belongs to, and each stretch got its guaranteed places.",
    "ranks": "Ranks count from 1 without gaps, and no better rank goes to a weaker event.",
    "windows": "Every window is positive and one of the profile's two; not more are extended than allowed.",
    "unchanged": "The file is, byte for byte, the one that was frozen.",
    "up_to_date": "It was chosen from the MASTER that is there now, with the settings in force. Otherwise materialize "
    "it again; what is captured stays, and is not fetched again.",
}
BAR_CHECKS: Final[Mapping[str, str]] = {
    "session_coverage": "Every symbol that is followed has the sessions that are due. Symbols that lack some are "
    "named: materialize them, only what is missing is fetched.",
    "empty_sessions": "No session lacks all bars of many symbols that have bars before and after it.",
    "missing_minutes": "In the last sessions, no minute of regular hours lacks the bars of most symbols that trade all "
    "the time.",
}
COVERAGE_CHECKS: Final[Mapping[str, str]] = {
    "missing_minutes": "No minute of regular hours of any session lacks the bars of most symbols that trade all the "
    "time.",
    "doubled_volumes": "No session's volumes are nearly all even, as they are where every share was counted twice.",
}
# checks of a capture: the figure that each is about, and what it asks
KPI_CHECKS: Final[Mapping[str, tuple[str, str]]] = {
    "success_rate": ("success_pct", "Enough of the manifest's windows have both trades and quotes."),
    "retries": ("retries_pct", "Few requests had to be repeated."),
    "throttling": ("throttled_pct", "Few requests were answered with 429, too many requests."),
    "session_mix": ("session_drift_pp", "The complete windows are spread over the sessions as the manifest is."),
    "event_size": ("p90_event_mb", "Nine in ten events take less disk than the target."),
}


def specs(asset: dg.AssetKey, checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """The checks of an asset, by name and with what they ask."""
    return [dg.AssetCheckSpec(name, asset=asset, description=words) for name, words in checks.items()]


def kpi_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of a capture."""
    return specs(asset, {name: words for name, (_, words) in KPI_CHECKS.items()})


def evaluation(asset: dg.AssetKey, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The verdict of a check of `asset`, to be reported by what is no step of the asset."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check.check_name or "",
        passed=check.passed,
        severity=check.severity,
        metadata=check.metadata,
    )


def published_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of everything that is published: bars, MASTER and the manifests; one step for each table."""
    return [_bars(), _master(), *(_manifest(profile) for profile in PROFILES)]


def _bars() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("minute_bars")

    @dg.multi_asset_check(name="minute_bars_checks", specs=specs(asset, BAR_CHECKS), can_subset=True)
    def minute_bars_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        checks = checks_of_bars(lake.bars(), lake.universe(), settings.load(), settings.now())
        yield from reported(asset, _wanted(context, checks))

    return minute_bars_checks


def _master() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("master_events")

    @dg.multi_asset_check(name="master_events_checks", specs=specs(asset, MASTER_CHECKS), can_subset=True)
    def master_events_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        loaded = settings.load()
        yield from reported(asset, _wanted(context, checks_of_master(lake.detector(loaded), loaded)))

    return master_events_checks


def _manifest(profile: Profile) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey([profile, "manifest"])

    @dg.multi_asset_check(name=f"{profile}__manifest_checks", specs=specs(asset, MANIFEST_CHECKS), can_subset=True)
    def manifest_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        master = lake.lake.master
        hashed = sha256(master) if master.is_file() else None
        checks = checks_of_manifest(lake.manifests(profile), profile, settings.load(), hashed)
        yield from reported(asset, _wanted(context, checks))

    return manifest_checks


def _wanted(context: dg.AssetCheckExecutionContext, checks: Checks) -> Iterator[Finding]:
    """The findings of the checks that were asked for, one after the other."""
    return judged(checks, {key.name for key in context.selected_asset_check_keys})


def reported(asset: dg.AssetKey, findings: Iterable[Finding]) -> Iterator[dg.AssetCheckResult]:
    """What checks of `asset` found, as the web UI shows it."""
    for found in findings:
        metadata: dict[str, dg.MetadataValue | str | int | float | bool | None] = {**found.figures}
        if not found.examples.is_empty():
            metadata["examples"] = table(found.examples)
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=found.name,
            passed=found.holds,
            severity=dg.AssetCheckSeverity.ERROR if found.severe else dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )


def kpi_checks(kpis: pl.DataFrame, missing: int) -> Iterator[dg.AssetCheckResult]:
    """One verdict per figure of a capture (KPIS): it holds in every wave and in all.

    While windows are still `missing`, as after a trial or in the middle of a capture, a miss is only a warning.
    """
    severity = dg.AssetCheckSeverity.WARN if missing else dg.AssetCheckSeverity.ERROR
    for name, (figure, _) in KPI_CHECKS.items():
        rows = kpis.filter(pl.col("figure") == figure)
        yield dg.AssetCheckResult(
            check_name=name,
            passed=rows.height > 0 and bool(rows["holds"].all()),
            severity=severity,
            metadata={"figures": table(rows), "windows_missing": missing},
        )


def small_caps(made_of: Composition, limits: UniverseLimits) -> dg.AssetCheckResult:
    """The symbols that are followed are small caps of known type; whatever pays refuses to begin where they are not."""
    problems = made_of.problems(limits)
    return dg.AssetCheckResult(
        check_name=SMALL_CAPS,
        passed=not problems,
        metadata={
            "problems": "; ".join(problems) or "none",
            "symbols": made_of.symbols,
            "judged": made_of.symbols >= limits.from_symbols,
            "large_cap_share": made_of.large_cap_share,
            "max_large_cap_share": limits.max_large_cap_share,
            "large_caps": ", ".join(made_of.largest) or "none",
            "unknown_type_share": made_of.unknown_type_share,
            "max_unknown_type_share": limits.max_unknown_type_share,
            "unknown_types": ", ".join(made_of.untyped) or "none",
            "unknown_market_cap_share": made_of.unknown_market_cap_share,
            "max_unknown_market_cap_share": limits.max_unknown_market_cap_share,
            "unknown_market_caps": ", ".join(made_of.unvalued) or "none",
        },
    )
