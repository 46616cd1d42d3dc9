"""Asset `minute_bars`: every session of every symbol."""

from collections.abc import Iterator, Sequence

import dagster as dg

from smallcaps_assets.defs.assets.universe import universe
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording import OWNERS, GoOn, column_schema, record
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.bars.ingest import ingest_bars
from smallcaps_assets.pipeline.calendar import sessions_due
from smallcaps_assets.pipeline.outcome import Outcome


def minute_bars_asset(partitions_per_run: int) -> dg.AssetsDefinition:
    """The asset, with as many symbols per run of a backfill as settings say."""

    @dg.asset(
        name="minute_bars",
        partitions_def=SYMBOLS,
        backfill_policy=dg.BackfillPolicy.multi_run(partitions_per_run),
        deps=[universe],
        group_name="bars",
        kinds={"polars", "parquet"},
        owners=OWNERS,
        pool=VENDOR_POOL,
        metadata=column_schema(BARS),
    )
    def minute_bars(
        context: dg.AssetExecutionContext,
        config: GoOn,
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> Iterator[dg.MaterializeResult[None]]:
        """One-minute bars, as traded, pre-market to after-hours; one file per symbol and month.

        Fetches the sessions that are missing, sets bad rows aside with the reason, and leaves the rest alone.
        """
        symbols = context.partition_keys
        outcomes = _ingested(symbols, context.op_execution_context, settings, lake, market_data)
        yield from record(context, outcomes, {(symbol,): symbol for symbol in symbols}, go_on=config.go_on)

    return minute_bars


def _ingested(
    symbols: Sequence[str],
    step: dg.OpExecutionContext,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
) -> Iterator[Outcome]:
    """Bring `symbols` up to the sessions that are due."""
    loaded = settings.load()
    due = sessions_due(loaded.history, loaded.sessions, settings.now())
    followed = lake.universe().followed()
    client = market_data.client(lake, step.instance)
    threads, log = loaded.fetch_threads, step.log.info
    yield from ingest_bars(symbols, due, client, lake.bars(), threads, followed=followed, log=log)
