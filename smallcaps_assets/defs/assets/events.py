"""Assets `event_shards` and `master_events`: events by symbol, and all events in one table."""

from collections.abc import Iterator

import dagster as dg

from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema
from smallcaps_assets.defs.metadata.events import master_metadata
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure, PartitionRecorder
from smallcaps_assets.defs.registry import facts_of
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.listings.presence import renamed
from smallcaps_assets.domain.tables import EVENTS, SHARD
from smallcaps_assets.lake.files.publish import DerivedTable
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.pipeline.events.checks import publishable_master
from smallcaps_assets.pipeline.events.lost_bars import log_lost_bars
from smallcaps_assets.pipeline.outcome import add_versions
from smallcaps_assets.pipeline.progress import with_progress
from smallcaps_assets.settings.settings import Settings


def build_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """The assets, with `settings.partitions_per_run` symbols per run of a backfill."""

    @dg.asset(
        name="event_shards",
        partitions_def=SYMBOLS,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.partitions_per_run),
        deps=["minute_bars"],
        metadata=column_schema(SHARD),
    )
    def event_shards(
        context: dg.AssetExecutionContext, config: ContinueOnFailure, settings: SettingsResource, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        """Intraday events of one symbol, found by seven detectors and thinned by a cooldown.

        Detects in sessions that are new, have changed, or were last detected with other settings. Beside each shard it
        publishes the table event_candidates (events/candidates): every edge before filters and cooldown.
        """
        loaded, symbols = settings.load(), context.partition_keys
        recorder = PartitionRecorder.of(context, {(symbol,): symbol for symbol in symbols})
        outcomes = add_versions(lake.detector(loaded).run(symbols, recorder.tick), lake.shards().version)
        outcomes = log_lost_bars(outcomes, lake.lake, context.log.warning)
        outcomes = with_progress(outcomes, len(symbols), "symbols detected", context.log.info)
        yield from recorder.run(outcomes, continue_on_failure=config.go_on)

    return [event_shards, master_events]


@dg.asset(deps=["event_shards"], io_manager_key="lake_tables", metadata=column_schema(EVENTS, below=True))
def master_events(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource
) -> Iterator[dg.MaterializeResult[object]]:
    """MASTER: the events of all symbols, one row per event; near events of one symbol share an event_group_id."""
    with reused_pictures(context.instance, context.asset_key):
        master, figures = make_master(settings, lake)
    yield dg.MaterializeResult(value=master, metadata=figures)


def make_master(settings: SettingsResource, lake: LakeResource) -> tuple[DerivedTable, Metadata]:
    """MASTER (EVENTS) of all shards, with what it was made from, and its metadata."""
    loaded = settings.load()
    detector = lake.detector(loaded)
    master = publishable_master(detector, loaded)
    tests = detector.test_symbols.among(detector.shards.symbols())
    version = facts_of(dg.AssetKey("master_events")).code_version(loaded)
    made_from = {**master.provenance, "code_version": version}
    listings = ListingStore(lake.lake).table()
    names = None if listings is None else renamed(listings, master.rows["symbol"].unique())
    return DerivedTable(master.rows, made_from), master_metadata(master.rows, tests, names)
