"""Asset `event_listings`: the listing of each event, and whether it was in the universe on its date."""

import dagster as dg

from smallcaps_assets.defs.metadata.drawn import reused_pictures
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema
from smallcaps_assets.defs.metadata.event_listings import event_listings_metadata
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.group_recorder import tolerated
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.listings.as_of import EVENT_LISTING_COLUMNS, EVENT_LISTINGS, LISTED_EVENT
from smallcaps_assets.domain.listings.survivorship import todays_list
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.lake.event_listings import EventListingStore
from smallcaps_assets.lake.events.master import load_master
from smallcaps_assets.lake.files.proven_files import prove_once
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.pipeline.reference import ReferenceUpdate
from smallcaps_assets.pipeline.source import source_identity
from smallcaps_assets.pipeline.universe.as_of import NO_LISTINGS, EventJudge
from smallcaps_assets.pipeline.universe.shares import SharesUpdate
from smallcaps_assets.settings.settings import Settings

_NO_TABLE = "no listings"


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [event_listings]


@dg.asset(
    pool=VENDOR_POOL,
    deps=["master_events", "listings"],
    metadata=column_schema(EVENT_LISTINGS, EVENT_LISTING_COLUMNS, below=True),
)
def event_listings(
    context: dg.AssetExecutionContext,
    config: ContinueOnFailure,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
) -> dg.MaterializeResult[None]:
    """The listing of each event of MASTER, its market cap, and whether its symbol was in the universe on that date.

    Without `listings` there is no table, and nothing is requested. Where the market cap has a limit, shares outstanding
    are requested once for both ends of a symbol's quarters with events, and for the dates of events between them on
    which a new number would decide; splits once a day.
    """
    with tolerated(context, continue_on_failure=config.go_on):
        version, figures = _make(context, settings, lake, market_data)
        return dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(version))
    return dg.MaterializeResult(metadata=RECORDED)


def _make(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource, market_data: MarketDataResource
) -> tuple[str, Metadata]:
    """Publish the table; returns its data version and its metadata."""
    loaded, store = settings.load(), EventListingStore(lake.lake)
    judge = EventJudge.in_lake(lake.lake, loaded.universe)
    if judge is None:
        context.log.info(NO_LISTINGS)
        return _NO_TABLE, {"known": False, "verdict": NO_LISTINGS}
    events = load_master(lake.lake, LISTED_EVENT)
    client = market_data.reference_client(lake, context.instance)
    before = client.totals().requests_sent
    source = source_identity(loaded.source)
    # shares outstanding that were given before a split are those of another company's worth
    reference = ReferenceUpdate(ReferenceTables(lake.lake), client, source, context.log.info)
    reference.splits(loaded.history.first_session, settings.now().date())
    update = SharesUpdate(store, client, source, loaded.fetch_threads, context.log.info, judge.known.listings)
    unanswered = update.run(judge.days_of_shares(events))
    judge = judge.renewed(lake.lake)
    unanswered += update.run(judge.undecided_days(events))
    rows = judge.renewed(lake.lake).judge(events)
    store.publish(rows, {"master": prove_once(lake.lake.master), **judge.inputs()})
    today = todays_list(lake.universe().read(), loaded.universe, loaded.history.first_session)
    with reused_pictures(context.instance, context.asset_key):
        figures = event_listings_metadata(rows, today, loaded.universe)
    figures |= {
        "shares_unanswered": unanswered,
        "shares_of_another_security": len(update.of_others),
        "requests": client.totals().requests_sent - before,
    }
    denied: Metadata = {"not in the plan": update.denied[0]} if update.denied else {}
    return rows_digest(rows), denied | figures
