"""The asset checks: findings about published data. Each reads the lake, so that it can be run again by itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.metadata import table
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.tape.contradictions import count_contradicted, is_contradicted
from smallcaps_assets.domain.universe import Composition, UniverseLimits
from smallcaps_assets.lake.publish import sha256
from smallcaps_assets.pipeline.bars.checks import checks_of_bars
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.events.checks import checks_of_master
from smallcaps_assets.pipeline.events.staleness import Survey, checks_of_shards, newer_shards, shards_current
from smallcaps_assets.pipeline.manifests.checks import checks_of_manifest
from smallcaps_assets.pipeline.operations.lateness import Lateness, LatenessCheck, expected_session
from smallcaps_assets.settings.settings import PROFILES, Profile

SMALL_CAPS: Final = "small_caps"
UP_TO_DATE: Final = "up_to_date"
WATCHED: Final[Mapping[str, Callable[[LatenessCheck], Lateness]]] = {
    "minute_bars": LatenessCheck.check_bars,
    "master_events": LatenessCheck.check_master,
}
SHARD_CHECKS: Final[Mapping[str, str]] = {
    "current_settings": "The events of all symbols were detected with the settings in force. Otherwise launch the job "
    "redetect: it detects the stale symbols again, and then builds MASTER and the manifests.",
}
MASTER_CHECKS: Final[Mapping[str, str]] = {
    "unique_events": "No event occurs more than once.",
    "complete_rows": "No value is null, NaN or infinite in the columns that rankings and windows are computed from.",
    "session_clock": "Session, date and flags of every event agree with the New York clock and the exchange calendar, "
    "half days and daylight saving time included.",
    "type_shares": "No type of event makes up more of the table than checks.master.max_type_share_pct.",
    "events_per_session": "No symbol has implausibly many events on a day, and the mean per symbol and session is "
    "within bounds. A detector that always fires, or never, fails this check.",
    "cooldown": "Events of one symbol and type keep the cooldown: of events close to each other, only those are kept "
    "whose score is nearly as high as the best.",
    "shards_current": "All events were detected with the settings in force, and none since this table was built; the "
    "symbols of others are named. Otherwise launch the job redetect.",
}
MANIFEST_CHECKS: Final[Mapping[str, str]] = {
    "caps": "No more events than the profile allows: in total, per symbol, per symbol and day, per group of events.",
    "buckets": "Every event is in its time bucket, and each bucket has at least its guaranteed number of events.",
    "ranks": "Ranks count from 1 without gaps, and no better rank goes to a weaker event.",
    "windows": "Every window is positive and one of the profile's two; no more are extended than allowed.",
    "unchanged": "The file is, byte for byte, the one that was frozen.",
    "up_to_date": "It was selected from the current MASTER, and both with the settings in force. Otherwise launch the "
    "job redetect; captured tape stays, and is not fetched again.",
}
BAR_CHECKS: Final[Mapping[str, str]] = {
    "session_coverage": "Every followed symbol has all expected sessions. Symbols with missing sessions are named: "
    "materialize them; only missing sessions are fetched.",
    "empty_sessions": "No session is without any bar for many symbols that have bars before and after it.",
    "missing_minutes": "In the last sessions, no minute of regular hours is without a bar for most of the symbols that "
    "trade continuously.",
    "suspect_print": "In the last months, no high or low of a bar is far outside those of its neighbours and undone at "
    "once, as one wrong trade makes it. Such bars are listed with the events of the same day at or after them: the "
    "day's high and VWAP carry the price on. Detection uses the bars as they are.",
}
COVERAGE_CHECKS: Final[Mapping[str, str]] = {
    "missing_minutes": "In no session is a minute of regular hours without a bar for most of the symbols that trade "
    "continuously.",
    "suspect_print": "In no session is a high or low of a bar far outside those of its neighbours and undone at once; "
    "see the check of minute_bars.",
    "doubled_volumes": "In no session are nearly all volumes even, as they are when every share was counted twice.",
}
# checks of a capture: the figure that each checks, and its description
KPI_CHECKS: Final[Mapping[str, tuple[str, str]]] = {
    "success_rate": ("success_pct", "Enough of the manifest's windows have both trades and quotes."),
    "retries": ("retries_pct", "Few requests had to be retried."),
    "throttling": ("throttled_pct", "Few requests were answered with 429, too many requests."),
    "session_mix": (
        "session_drift_pp",
        "The complete windows are distributed over the sessions as the events of the manifest are.",
    ),
    "event_size": ("p90_event_mb", "Nine in ten events take less disk than the target."),
}
EMPTY_WINDOWS: Final = "empty_windows"
_EMPTY_WINDOWS: Final = (
    "No published window is without trades although bars of the same minutes have volume, or without quotes although "
    "bars or trades show trading. The run config `retry_empty: true` of tape_trades and tape_quotes asks again."
)


def check_specs(asset: dg.AssetKey, checks: Mapping[str, str]) -> list[dg.AssetCheckSpec]:
    """The specs of the checks of an asset, from their names and descriptions."""
    return [dg.AssetCheckSpec(name, asset=asset, description=description) for name, description in checks.items()]


def capture_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The specs of the checks of a capture."""
    of_figures = {name: description for name, (_, description) in KPI_CHECKS.items()}
    return check_specs(asset, {**of_figures, EMPTY_WINDOWS: _EMPTY_WINDOWS})


def check_evaluation(asset: dg.AssetKey, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The result of a check as an event, to be reported from outside a step of `asset`."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check.check_name or "",
        passed=check.passed,
        severity=check.severity,
        metadata=check.metadata,
    )


def published_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of bars, events, MASTER and the manifests, one step per table, and the checks `up_to_date`."""
    manifests = (_manifest(profile) for profile in PROFILES)
    return [_bars(), _shards(), _master(), *manifests, *(_up_to_date(asset) for asset in WATCHED)]


def _bars() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("minute_bars")

    @dg.multi_asset_check(name="minute_bars_checks", specs=check_specs(asset, BAR_CHECKS), can_subset=True)
    def minute_bars_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        checks = checks_of_bars(lake.bars(), lake.universe(), settings.load(), settings.now())
        yield from report_findings(asset, _selected(context, checks))

    return minute_bars_checks


def _shards() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("event_shards")

    @dg.multi_asset_check(name="event_shards_checks", specs=check_specs(asset, SHARD_CHECKS))
    def event_shards_checks(settings: SettingsResource, lake: LakeResource) -> Iterator[dg.AssetCheckResult]:
        checks = checks_of_shards(lake.detector(settings.load()).survey)
        yield from report_findings(asset, run_checks(checks, checks.keys()))

    return event_shards_checks


def _master() -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("master_events")

    @dg.multi_asset_check(name="master_events_checks", specs=check_specs(asset, MASTER_CHECKS), can_subset=True)
    def master_events_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        loaded = settings.load()
        yield from report_findings(asset, _selected(context, checks_of_master(lake.detector(loaded), loaded)))

    return master_events_checks


def _manifest(profile: Profile) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey([profile, "manifest"])

    @dg.multi_asset_check(
        name=f"{profile}__manifest_checks", specs=check_specs(asset, MANIFEST_CHECKS), can_subset=True
    )
    def manifest_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        yield from report_findings(asset, _selected(context, manifest_checks_of(profile, settings, lake)))

    return manifest_checks


def manifest_checks_of(
    profile: Profile, settings: SettingsResource, lake: LakeResource, survey: Survey | None = None
) -> Checks:
    """The checks of the manifest of a profile; `survey` replaces `Detector.survey`, for callers that use it again."""
    loaded, master = settings.load(), lake.lake.master
    surveyed = survey or lake.detector(loaded).survey

    def stale_symbols() -> int:
        return shards_current(surveyed(), newer_shards(lake.shards())).breaking

    hashed = sha256(master) if master.is_file() else None
    return checks_of_manifest(lake.manifests(profile), profile, loaded, hashed, stale_symbols)


def _selected(context: dg.AssetCheckExecutionContext, checks: Checks) -> Iterator[Finding]:
    """The findings of the selected checks, computed one after the other."""
    return run_checks(checks, {key.name for key in context.selected_asset_check_keys})


def report_findings(asset: dg.AssetKey | None, findings: Iterable[Finding]) -> Iterator[dg.AssetCheckResult]:
    """Findings about `asset`, by default the asset of the step, as results of its checks."""
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


def capture_checks(kpis: pl.DataFrame, ledger: pl.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """One result per figure of a capture (KPIS), and one about the empty windows of its ledger (LEDGER).

    A figure passes if its target is met in every wave and in total. While windows are still missing, as after a trial
    or in the middle of a capture, a failure is only a warning; that of empty windows always is.
    """
    missing = ledger.filter(state="missing").height
    severity = dg.AssetCheckSeverity.WARN if missing else dg.AssetCheckSeverity.ERROR
    for name, (figure, _) in KPI_CHECKS.items():
        rows = kpis.filter(pl.col("figure") == figure)
        yield dg.AssetCheckResult(
            check_name=name,
            passed=rows.height > 0 and bool(rows["holds"].all()),
            severity=severity,
            metadata={"figures": table(rows), "windows_missing": missing},
        )
    contradicted = ledger.filter(is_contradicted()).select("event_id", "wave", "state", "cause", "start", "end")
    figures = {f"empty_{kind}": count for kind, count in count_contradicted(ledger).items()}
    yield from report_findings(None, [finding(EMPTY_WINDOWS, contradicted, figures, severe=False)])


def small_caps_result(composition: Composition, limits: UniverseLimits) -> dg.AssetCheckResult:
    """The result of the check that the followed symbols are small caps of known type; paid work requires it."""
    problems = composition.problems(limits)
    return dg.AssetCheckResult(
        check_name=SMALL_CAPS,
        passed=not problems,
        metadata={
            "problems": "; ".join(problems) or "none",
            "symbols": composition.symbols,
            "judged": composition.symbols >= limits.from_symbols,
            "large_cap_share": composition.large_cap_share,
            "max_large_cap_share": limits.max_large_cap_share,
            "large_caps": ", ".join(composition.largest) or "none",
            "unknown_type_share": composition.unknown_type_share,
            "max_unknown_type_share": limits.max_unknown_type_share,
            "unknown_types": ", ".join(composition.untyped) or "none",
            "unknown_market_cap_share": composition.unknown_market_cap_share,
            "max_unknown_market_cap_share": limits.max_unknown_market_cap_share,
            "unknown_market_caps": ", ".join(composition.unvalued) or "none",
        },
    )


def lateness_check(settings: SettingsResource, lake: LakeResource) -> LatenessCheck:
    """The session that is expected by now, and the symbols that should have it."""
    loaded = settings.load()
    session = expected_session(settings.now(), loaded.history, loaded.sessions, loaded.nightly.due)
    followed = lake.universe().followed().items()
    symbols = [symbol for symbol, last in followed if session is None or session <= last]
    return LatenessCheck(lake.bars(), lake.shards(), symbols, session)


def _up_to_date(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=UP_TO_DATE,
        asset=asset,
        description="The last session whose deadline (nightly.due, New York time) has passed is published. On weekends "
        "and holidays nothing new is expected.",
    )
    def up_to_date(settings: SettingsResource, lake: LakeResource) -> dg.AssetCheckResult:
        return up_to_date_result(WATCHED[asset](lateness_check(settings, lake)))

    return up_to_date


def up_to_date_result(found: Lateness) -> dg.AssetCheckResult:
    """The result of the check `up_to_date`: an error where nothing of the session is published, else a warning."""
    severity = dg.AssetCheckSeverity.ERROR if found.is_wholly_late else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=UP_TO_DATE,
        passed=not found.is_late,
        severity=severity,
        metadata={
            "verdict": found.sentence(),
            "session": f"{found.session}",
            "symbols_late": len(found.symbols),
            "symbols": found.followed,
        },
    )
