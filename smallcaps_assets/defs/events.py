"""Assets `event_shards` and `master_events`: what happened, by symbol and in one table."""

from collections.abc import Iterator

import dagster as dg

from smallcaps_assets.defs.checks import MASTER_QUALITY, SHARDS_CURRENT, master_quality, shards_current
from smallcaps_assets.defs.metadata import OWNERS, Metadata, column_schema, counts, record, score_quantiles
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.pictures import event_pictures
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.events import build_master
from smallcaps_assets.domain.quality import master_problems
from smallcaps_assets.domain.tables import EVENTS, SHARD
from smallcaps_assets.errors import LakeError
from smallcaps_assets.pipeline.detection import CODE_VERSION
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
        code_version=CODE_VERSION,
        metadata=column_schema(SHARD),
    )
    def event_shards(
        context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
    ) -> dg.MaterializeResult[None]:
        """Intraday events of one symbol, found by seven detectors and thinned by a cooldown.

        Detects the sessions that are new, or changed, or were detected with other settings.
        """
        loaded, symbols = settings.load(), context.partition_keys
        outcomes = lake.detector(loaded).run(symbols)
        outcomes = with_progress(outcomes, len(symbols), "symbols detected", context.log.info)
        return record(context, outcomes, {(symbol,): symbol for symbol in symbols})

    return event_shards


@dg.asset(
    deps=["event_shards"],
    group_name="events",
    kinds={"polars", "parquet"},
    owners=OWNERS,
    io_manager_key="lake_tables",
    metadata=column_schema(EVENTS),
    check_specs=[
        dg.AssetCheckSpec(MASTER_QUALITY, asset="master_events", blocking=True),
        dg.AssetCheckSpec(SHARDS_CURRENT, asset="master_events"),
    ],
)
def master_events(
    settings: SettingsResource, lake: LakeResource
) -> Iterator[dg.MaterializeResult[object] | dg.AssetCheckResult]:
    """MASTER: the events of all symbols, one row per event, with groups of events that belong together."""
    events = build_master(lake.shards().scan().collect(), settings.load().cooldown)
    problems = master_problems(events)
    if problems:  # before anything is published: a later run would read it
        yield master_quality(problems)
        raise LakeError(
            f"{lake.lake.shards}: {'; '.join(problems)}. Remove the shards concerned and detect them again."
        )
    figures: Metadata = {"dagster/row_count": events.height, "symbols": events["symbol"].n_unique()}
    figures |= counts(events, "event_type", "session", "direction", "tier")
    yield dg.MaterializeResult(value=events, metadata=event_pictures(events) | figures | score_quantiles(events))
    yield master_quality(problems)
    yield shards_current(lake.detector(settings.load()).stale(lake.shards().symbols()))
