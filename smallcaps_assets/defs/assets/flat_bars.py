"""Asset `flat_minute_bars`: the vendor's flat files of minute bars, one per session, where they are switched on."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

import dagster as dg

from smallcaps_assets.defs.checks.asset_checks import check_evaluation, report_findings
from smallcaps_assets.defs.flat_files import FLAT_BARS_ASSET, session_partitions, takes_flat_files
from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure, PartitionRecorder
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.bars.flat_files import FLAT_BARS
from smallcaps_assets.pipeline.bars.checks import checks_of_flat_files
from smallcaps_assets.pipeline.bars.flat_days import FlatDays, describe_backlog
from smallcaps_assets.pipeline.checks import run_checks
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import Settings

# A year, which takes minutes: a run process takes seconds to start.
_SESSIONS_PER_RUN: Final = 250


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The asset; none where bars come over REST alone."""
    if not takes_flat_files(settings):
        return []

    @dg.asset(
        name=FLAT_BARS_ASSET,
        partitions_def=session_partitions(settings),
        backfill_policy=dg.BackfillPolicy.multi_run(_SESSIONS_PER_RUN),
        pool=VENDOR_POOL,
        metadata=column_schema(FLAT_BARS),
    )
    def flat_minute_bars(
        context: dg.AssetExecutionContext,
        config: ContinueOnFailure,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        """One-minute bars of the whole market, as traded; one file per session, sorted by symbol and time.

        Downloads the vendor's flat file of each session that is not in the lake, or that was replaced there. Bad rows
        go to quarantine, each with its reason. minute_bars takes the bars of its symbols from it.
        """
        days = [date.fromisoformat(key) for key in context.partition_keys]
        recorder = PartitionRecorder.of(context, {(f"{day}",): f"{day}" for day in days})
        work = FlatDays(market_data.flat_files(lake), lake.flat_bars(), context.log.info)
        listed = work.listed(min(days), max(days))
        missing = sorted(set(work.backlog(listed)).intersection(days))
        context.log.info("To download: %s", describe_backlog(listed, missing))
        outcomes, replaced = work.take(days, listed, recorder.tick, proves=True), list[Outcome]()
        try:
            yield from recorder.run(_note_replaced(outcomes, replaced), continue_on_failure=config.go_on)
        finally:
            if replaced:
                _report_stale(context.instance, lake)

    return [flat_minute_bars]


def _note_replaced(outcomes: Iterable[Outcome], replaced: list[Outcome]) -> Iterator[Outcome]:
    """Pass outcomes on, those of files that replace others also to `replaced`."""
    for outcome in outcomes:
        if outcome.figures.get("files_replaced"):
            replaced.append(outcome)
        yield outcome


def _report_stale(instance: dg.DagsterInstance, lake: LakeResource) -> None:
    """Report of minute_bars which symbols have sessions of files that were replaced."""
    checks = checks_of_flat_files(lake.bars(), list(lake.universe().followed()))
    (result,) = report_findings(None, run_checks(checks, ["flat_files_current"]))
    instance.report_runless_asset_event(check_evaluation(dg.AssetKey("minute_bars"), result))
