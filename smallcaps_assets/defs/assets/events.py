"""Assets `event_shards` and `master_events`: what happened, by symbol and in one table."""

from collections.abc import Iterator

import dagster as dg

from smallcaps_assets.defs.charts import event_pictures
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording import (
    OWNERS,
    GoOn,
    Metadata,
    column_schema,
    counts,
    crossed_counts,
    record,
    score_quantiles,
)
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.tables import EVENTS, SHARD
from smallcaps_assets.pipeline.checks import publishable_master
from smallcaps_assets.pipeline.outcome import versioned
from smallcaps_assets.pipeline.progress import with_progress


def event_shards_asset(partitions_per_run: int) -> dg.AssetsDefinition:
    """The asset, with as many symbols per run of a backfill as settings say."""

    @dg.asset(
        name="event_shards",
        partitions_def=SYMBOLS,
        backfill_policy=dg.BackfillPolicy.multi_run(partitions_per_run),
        deps=["minute_bars"],
        group_name="events",
        kinds={"polars", "parquet"},
        owners=OWNERS,
        metadata=column_schema(SHARD),
    )
    def event_shards(
        context: dg.AssetExecutionContext, config: GoOn, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Intraday events of one symbol, found by seven detectors and thinned by a cooldown.

        Detects the sessions that are new, or changed, or were detected with other settings.
        """
        loaded, symbols = settings.load(), context.partition_keys
        outcomes = versioned(lake.detector(loaded).run(symbols), lake.shards().version)
        outcomes = with_progress(outcomes, len(symbols), "symbols detected", context.log.info)
        yield from record(context, outcomes, {(symbol,): symbol for symbol in symbols}, go_on=config.go_on)

    return event_shards


@dg.asset(
    deps=["event_shards"],
    group_name="events",
    kinds={"polars", "parquet"},
    owners=OWNERS,
    io_manager_key="lake_tables",
    metadata=column_schema(EVENTS),
)
def master_events(settings: SettingsResource, lake: LakeResource) -> Iterator[dg.MaterializeResult[object]]:
    """MASTER: the events of all symbols, one row per event, with groups of events that belong together."""
    loaded = settings.load()
    events = publishable_master(lake.detector(loaded), loaded)
    figures: Metadata = {"dagster/row_count": events.height, "symbols": events["symbol"].n_unique()}
    figures |= counts(events, "event_type", "session", "direction", "tier")
    figures |= crossed_counts(events, "session", "event_type") | score_quantiles(events)
    yield dg.MaterializeResult(value=events, metadata=event_pictures(events) | figures)
