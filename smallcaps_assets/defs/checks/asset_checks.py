"""The asset checks: findings about published data. Each reads the lake, so that it can be run again by itself."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks.texts import (
    BAR_CHECKS,
    COHORTS_KEPT,
    EMPTY_WINDOWS,
    EMPTY_WINDOWS_TEXT,
    FLAT_CHECKS,
    FOLLOW_UP_CHECKS,
    KPI_CHECKS,
    MANIFEST_CHECKS,
    MASTER_CHECKS,
    SHARD_CHECKS,
    WITH_ITS_ASSET,
)
from smallcaps_assets.defs.metadata.capture import kpi_table
from smallcaps_assets.defs.metadata.entries import round_value, show_figures, table
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.listings.as_of import LISTED_EVENT
from smallcaps_assets.domain.research.controls.tables import CONTROLS
from smallcaps_assets.domain.tape.contradictions import count_contradicted, is_contradicted
from smallcaps_assets.domain.tape.kpis import has_begun, none_requested
from smallcaps_assets.domain.universe import Composition, UniverseLimits
from smallcaps_assets.domain.words import count_clause
from smallcaps_assets.lake.events.master import load_master, symbols_to_rebuild
from smallcaps_assets.lake.files.publish import sha256
from smallcaps_assets.pipeline.bars.checks import checks_of_bars
from smallcaps_assets.pipeline.checks import Checks, run_checks
from smallcaps_assets.pipeline.events.checks import checks_of_master
from smallcaps_assets.pipeline.events.staleness import Survey, checks_of_shards, shards_current
from smallcaps_assets.pipeline.manifests.checks import checks_of_manifest
from smallcaps_assets.pipeline.manifests.selecting import changes_of_kept
from smallcaps_assets.pipeline.operations.lateness import Lateness, LatenessCheck, expected_session
from smallcaps_assets.pipeline.universe.as_of import EventJudge, describe_universe
from smallcaps_assets.settings.settings import PROFILES, Profile, Settings

SMALL_CAPS: Final = "small_caps"
LATENESS_CHECK: Final = "up_to_date"
WATCHED: Final[Mapping[str, Callable[[LatenessCheck], Lateness]]] = {
    "minute_bars": LatenessCheck.check_bars,
    "master_events": LatenessCheck.check_master,
}


def check_specs(asset: dg.AssetKey, checks: Mapping[str, str], *, independent: bool = True) -> list[dg.AssetCheckSpec]:
    """The specs of the checks of an asset; `independent` if they run without the asset."""
    more = "" if independent else WITH_ITS_ASSET
    return [dg.AssetCheckSpec(name, asset=asset, description=f"{text}{more}") for name, text in checks.items()]


def capture_specs(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The specs of the checks of a capture."""
    of_figures = {name: description for name, (_, description) in KPI_CHECKS.items()}
    return check_specs(asset, {**of_figures, EMPTY_WINDOWS: EMPTY_WINDOWS_TEXT}, independent=False)


def check_evaluation(asset: dg.AssetKey, check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The result of a check as an event, to be reported from outside a step of `asset`."""
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check.check_name or "",
        passed=check.passed,
        severity=check.severity,
        description=check.description,
        metadata=check.metadata,
    )


def published_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of bars, events, MASTER and the manifests, one step per table, and the checks `up_to_date`."""
    manifests = (_manifest(profile, settings) for profile in PROFILES)
    return [_bars(settings), _shards(), _master(), *manifests, *(_up_to_date(asset) for asset in WATCHED)]


def _bars(settings: Settings) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey("minute_bars")
    texts = BAR_CHECKS if settings.source.bars == "rest" else {**BAR_CHECKS, **FLAT_CHECKS}

    @dg.multi_asset_check(name="minute_bars_checks", specs=check_specs(asset, texts), can_subset=True)
    def minute_bars_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        checks = checks_of_bars(lake.bars(), lake.universe(), settings.load(), settings.now())
        yield from report_findings(asset, selected_findings(context, checks))

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
        yield from report_findings(asset, selected_findings(context, checks_of_master(lake.detector(loaded), loaded)))

    return master_events_checks


def _manifest(profile: Profile, settings: Settings) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey([profile, "manifest"])
    texts = MANIFEST_CHECKS if settings.profiles[profile].cohorts is None else {**MANIFEST_CHECKS, **FOLLOW_UP_CHECKS}

    @dg.multi_asset_check(name=f"{profile}__manifest_checks", specs=check_specs(asset, texts), can_subset=True)
    def manifest_checks(
        context: dg.AssetCheckExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.AssetCheckResult]:
        yield from report_findings(asset, selected_findings(context, manifest_checks_of(profile, settings, lake)))

    return manifest_checks


def manifest_checks_of(
    profile: Profile, settings: SettingsResource, lake: LakeResource, survey: Survey | None = None
) -> Checks:
    """The checks of the manifest of a profile; `survey` replaces `Detector.survey`, for callers that use it again."""
    loaded, master = settings.load(), lake.lake.master
    surveyed = survey or lake.detector(loaded).survey

    def stale_symbols() -> int:
        return shards_current(surveyed(), symbols_to_rebuild(lake.shards())).breaking

    hashed = sha256(master) if master.is_file() else None

    def universe() -> str | None:
        judge = EventJudge.in_force(lake.lake, loaded.universe) if hashed else None
        if judge is None:
            return None
        return str(describe_universe(judge.judge(load_master(lake.lake, LISTED_EVENT)), loaded.universe)["sha256"])

    checks = checks_of_manifest(
        lake.manifests(profile), profile, loaded, hashed, stale_symbols=stale_symbols, universe=universe
    )
    if loaded.profiles[profile].cohorts is None:
        return checks
    return {**checks, COHORTS_KEPT: lambda: _cohorts_kept(profile, lake)}


def _cohorts_kept(profile: Profile, lake: LakeResource) -> Finding:
    """Whether the cohorts that selected the manifest are what they were."""
    sidecar = lake.manifests(profile).sidecar()
    notice = changes_of_kept(lake.lake, profile, sidecar)
    figures = {"manifest_id": str(sidecar["manifest_id"])}
    if notice:
        rows = pl.DataFrame({"manifest_id": [sidecar["manifest_id"]], "as_of": [sidecar["cohorts"]["as_of"]]})
        return finding(COHORTS_KEPT, rows, figures | {"verdict": notice}, severe=False)
    found = finding(COHORTS_KEPT, pl.DataFrame(), figures, severe=False)
    return found.unjudged_if("cohorts" not in sidecar, "no cohorts selected the current manifest")


def selected_findings(context: dg.AssetCheckExecutionContext, checks: Checks) -> Iterator[Finding]:
    """The findings of the selected checks, computed one after the other."""
    return run_checks(checks, {key.name for key in context.selected_asset_check_keys})


def report_findings(asset: dg.AssetKey | None, findings: Iterable[Finding]) -> Iterator[dg.AssetCheckResult]:
    """Findings about `asset`, by default the asset of the step, as results of its checks."""
    for found in findings:
        metadata = show_figures(found.figures)
        if not found.examples.is_empty():
            metadata["examples"] = table(found.examples)
        yield dg.AssetCheckResult(
            asset_key=asset,
            check_name=found.name,
            passed=found.holds and not found.unjudged,
            severity=dg.AssetCheckSeverity.ERROR if found.severe and not found.unjudged else dg.AssetCheckSeverity.WARN,
            description=found.sentence(),
            metadata=metadata,
        )


def capture_checks(kpis: pl.DataFrame, ledger: pl.DataFrame) -> Iterator[dg.AssetCheckResult]:
    """One result per figure of a capture (KPIS), and one about the empty windows of its ledger (LEDGER).

    A figure passes if its target is met in every wave and in total. While windows are still missing, as after a trial
    or in the middle of a capture, a failure is only a warning, and the figure is not judged yet; that of empty windows
    always is. Before the capture has begun, nothing is judged.
    """
    kpis = kpis.filter(pl.col("wave") != CONTROLS)
    missing, begun = ledger.filter(state="missing").height, has_begun(ledger)
    severity = dg.AssetCheckSeverity.WARN if missing else dg.AssetCheckSeverity.ERROR
    for name, (figure, _) in KPI_CHECKS.items():
        rows = kpis.filter(pl.col("figure") == figure)
        passed = begun and rows.height > 0 and bool(rows["holds"].all())
        yield dg.AssetCheckResult(
            check_name=name,
            passed=passed,
            severity=severity,
            description=_describe_figure(rows, ledger, passed=passed),
            metadata={"figures": table(kpi_table(rows)), "windows_missing": missing},
        )
    contradicted = ledger.filter(is_contradicted()).select("event_id", "wave", "state", "cause", "start", "end")
    figures = {f"empty_{kind}": count for kind, count in count_contradicted(ledger).items()}
    found = finding(EMPTY_WINDOWS, contradicted, figures, severe=False)
    yield from report_findings(None, [found.unjudged_if(not begun, "the capture has not begun")])


def _describe_figure(rows: pl.DataFrame, ledger: pl.DataFrame, *, passed: bool) -> str:
    """The result for one figure of KPIS, in one sentence."""
    missing = ledger.filter(state="missing").height
    if not has_begun(ledger):
        return f"Not judged yet: the capture has not begun, {none_requested(ledger.height)}."
    if missing and not passed:
        return (
            f"Not judged yet: {missing:,} of {count_clause(ledger.height, 'window is', 'windows are')} "
            f"missing. So far the target is missed."
        )
    if missing:
        return (
            f"The target is met so far; {missing:,} of "
            f"{count_clause(ledger.height, 'window is', 'windows are')} missing."
        )
    if passed and rows["value"].null_count() == rows.height:
        return "Not judged: there is no value yet."
    waves = ", ".join(rows.filter(~pl.col("holds"))["wave"])
    return "The target is met in every wave and in total." if passed else f"The target is missed in: {waves}."


def small_caps_result(composition: Composition, limits: UniverseLimits) -> dg.AssetCheckResult:
    """The result of the check that the followed symbols are small caps of known type; paid work requires it."""
    problems = composition.problems(limits)
    return dg.AssetCheckResult(
        check_name=SMALL_CAPS,
        passed=not problems and composition.symbols > 0,
        # without symbols there is nothing to judge, and nothing to block
        severity=dg.AssetCheckSeverity.ERROR if problems else dg.AssetCheckSeverity.WARN,
        description=_describe_composition(composition, limits, problems),
        metadata={
            "problems": "; ".join(problems) or "none",
            "symbols": composition.symbols,
            "judged": composition.symbols >= limits.from_symbols,
            "large_cap_pct": round_value(100 * composition.large_cap_share),
            "max_large_cap_pct": round_value(100 * limits.max_large_cap_share),
            "large_caps": ", ".join(composition.largest) or "none",
            "unknown_type_pct": round_value(100 * composition.unknown_type_share),
            "max_unknown_type_pct": round_value(100 * limits.max_unknown_type_share),
            "unknown_types": ", ".join(composition.untyped) or "none",
            "unknown_market_cap_pct": round_value(100 * composition.unknown_market_cap_share),
            "max_unknown_market_cap_pct": round_value(100 * limits.max_unknown_market_cap_share),
            "unknown_market_caps": ", ".join(composition.unvalued) or "none",
        },
    )


def _describe_composition(composition: Composition, limits: UniverseLimits, problems: Sequence[str]) -> str:
    if not composition.symbols:
        return "Not judged yet: no symbol is followed."
    if composition.symbols < limits.from_symbols:
        least = f"shares are judged from {limits.from_symbols:,} on (universe.limits.from_symbols)"
        return (
            f"Passed without a look at shares: "
            f"{count_clause(composition.symbols, 'symbol is', 'symbols are')} too few, {least}."
        )
    return "; ".join(problems) or "Passed."


def lateness_check(settings: SettingsResource, lake: LakeResource) -> LatenessCheck:
    """The session that is expected by now, and the symbols that should have it."""
    loaded = settings.load()
    session = expected_session(settings.now(), loaded.history, loaded.sessions, loaded.nightly.due)
    followed = lake.universe().followed().items()
    symbols = [symbol for symbol, last in followed if session is None or session <= last]
    return LatenessCheck(lake.bars(), lake.shards(), symbols, session)


def _up_to_date(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        name=LATENESS_CHECK,
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
    judged = found.session is not None and found.followed > 0
    return dg.AssetCheckResult(
        check_name=LATENESS_CHECK,
        passed=judged and not found.is_late,
        severity=severity,
        description=found.sentence() if judged or found.is_late else f"Not judged yet. {found.sentence()}",
        metadata={
            "verdict": found.sentence(),
            "session": f"{found.session}",
            "symbols_late": len(found.symbols),
            "symbols": found.followed,
        },
    )
