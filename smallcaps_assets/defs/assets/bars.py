"""Asset `minute_bars`: the one-minute bars of every symbol."""

from collections.abc import Callable, Iterator, Sequence

import dagster as dg
from pydantic import Field

from smallcaps_assets.defs.flat_files import FLAT_BARS_ASSET, flat_road, takes_flat_files
from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure, PartitionRecorder
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.unlisted_sessions import unlisted_sessions
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.outcome import Outcome
from smallcaps_assets.settings.settings import Settings


class BarsConfig(ContinueOnFailure):
    """What a step does with damaged files, and when some of its partitions fail."""

    refetch_damaged: bool = Field(
        default=False,
        description="Set damaged month files aside in the quarantine, and fetch their sessions again. It reads "
        "all files of the symbols and spends about one request for each such file.",
    )
    take_flat_files: bool = Field(
        default=False,
        description="Where flat files are a source of bars: first download those of the history that are not in the "
        "lake, or were replaced, as flat_minute_bars does. The nightly run does so.",
    )


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The asset, with `settings.partitions_per_run` symbols per run of a backfill."""

    @dg.asset(
        name="minute_bars",
        partitions_def=SYMBOLS,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
        deps=["universe", *_flat_deps(settings)],
        pool=VENDOR_POOL,
        metadata=column_schema(BARS),
    )
    def minute_bars(
        context: dg.AssetExecutionContext,
        config: BarsConfig,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        """One-minute bars, as traded, pre-market to after-hours; one file per symbol and month.

        Fetches missing sessions only. Bad rows go to quarantine, each with its reason. Where flat files are a source of
        bars, sessions that have one come from flat_minute_bars, the others over REST. Sessions on which `listings` says
        for certain that no security was listed under the symbol are left out: `sessions_not_listed`.
        """
        symbols = context.partition_keys
        recorder = PartitionRecorder.of(context, {(symbol,): symbol for symbol in symbols})
        step = context.op_execution_context
        outcomes = _ingest(symbols, step, settings, lake, market_data, recorder.tick, config)
        yield from recorder.run(outcomes, continue_on_failure=config.go_on)

    return [minute_bars]


def _flat_deps(settings: Settings) -> list[dg.AssetDep]:
    """The flat files, where they are a source of bars."""
    deps = [dg.AssetDep(FLAT_BARS_ASSET, partition_mapping=dg.AllPartitionMapping())]
    return deps if takes_flat_files(settings) else []


def _ingest(  # noqa: PLR0913, PLR0917 -- resources are arguments
    symbols: Sequence[str],
    step: dg.OpExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
    tick: Callable[[], None],
    config: BarsConfig,
) -> Iterator[Outcome]:
    """Fetch the sessions that are expected of `symbols` and missing; `tick` is called at least once a second."""
    loaded = settings.load()
    expected = completed_sessions(loaded.history, loaded.sessions, settings.now())
    followed = lake.universe().followed()
    client = market_data.client(lake, step.instance)
    threads, log = loaded.fetch_threads, step.log.info
    road = flat_road(step, loaded, lake, market_data, expected, client, tick, takes_files=config.take_flat_files)
    yield from ingest_bars(
        symbols,
        expected,
        client,
        lake.bars(),
        threads,
        followed=followed,
        unlisted=unlisted_sessions(lake.lake, symbols, expected),
        refetch_damaged=config.refetch_damaged,
        flat=road,
        log=log,
        tick=tick,
    )
