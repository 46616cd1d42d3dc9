"""Asset `minute_bars`: every session of every symbol."""

import dagster as dg

from smallcaps_assets.defs.metadata import OWNERS, column_schema, record
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.pool import VENDOR_POOL
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource, now
from smallcaps_assets.defs.universe import universe
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.pipeline.history import sessions_due
from smallcaps_assets.pipeline.ingest import ingest_bars


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
        settings: SettingsResource,
        lake: LakeResource,
        market_data: MarketDataResource,
    ) -> dg.MaterializeResult[None]:
        """One-minute bars, as traded, pre-market to after-hours; one file per symbol and month.

        Fetches the sessions that are missing, sets bad rows aside with the reason, and leaves the rest alone.
        """
        loaded, symbols = settings.load(), context.partition_keys
        due = sessions_due(loaded.history, loaded.sessions, now())
        client = market_data.client(lake, context.instance)
        threads, log = loaded.fetch_threads, context.log.info
        followed = lake.universe().followed()
        outcomes = ingest_bars(symbols, due, client, lake.bars(), threads, followed=followed, log=log)
        return record(context, outcomes, {(symbol,): symbol for symbol in symbols})

    return minute_bars
