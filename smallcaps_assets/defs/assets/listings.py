"""Asset `listings`: which security was listed under which ticker on which days."""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg
import polars as pl
from pydantic import Field

from smallcaps_assets.defs.checks.asset_checks import check_specs, report_findings
from smallcaps_assets.defs.checks.texts import LISTING_CHECKS
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema, limit_lines, table
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.group_recorder import tolerated
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.findings import Finding, finding
from smallcaps_assets.domain.listings.tables import LISTING_COLUMNS, LISTINGS
from smallcaps_assets.domain.symbols import MOST_NAMED
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.domain.words import count_noun
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.listings.delisted_tickers import DelistedFound
from smallcaps_assets.pipeline.listings.ticker_changes import RenamesFound
from smallcaps_assets.pipeline.listings.update import ListingsMade, listings_update
from smallcaps_assets.settings.settings import Settings

_SHOWN: Final = 50
_NOT_BEGUN: Final = (
    "not made: the lake has no listings yet, and the first ones cost many requests. Materialize `listings` to make "
    "them; it logs the number of requests before it sends them"
)
_NO_SESSION: Final = "not made: no session of the history is complete"


class ListingsConfig(ContinueOnFailure):
    """When listings are made for the first time."""

    begin: bool = Field(
        default=True,
        description="Make listings although the lake has none yet. A night does not: the lists of all months cost "
        "about 12 requests each, and the sessions of changes some 200 for each month.",
    )


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [listings]


@dg.asset(
    pool=VENDOR_POOL,
    # a night follows the symbols that the lists of the day have
    op_tags={"dagster/priority": "10"},
    metadata=column_schema(LISTINGS, LISTING_COLUMNS, below=True),
    check_specs=check_specs(dg.AssetKey("listings"), LISTING_CHECKS, independent=False),
)
def listings(
    context: dg.AssetExecutionContext,
    config: ListingsConfig,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """Which security was listed under which ticker from when to when; a ticker that was reused has several rows.

    From the vendor's lists of tickers as of the first session of each month and of the last session, and, between two
    that differ, from answers of other sessions, so that each border is known to the session (unless
    universe.listing_borders is monthly). The list of delisted tickers names listings that began and ended between two
    lists. Only what is missing is asked for, and the number of requests is logged before they are sent: about 12 for a
    list, some 25 a month for that of delisted tickers, some 200 for the changes of a month, and one for the ticker
    events of a security whose change of ticker no share class FIGI proves. Type and exchange through time are in
    reference/listing_facts.parquet beside it.
    """
    loaded, store = settings.load(), ListingStore(lake.lake)
    sessions = completed_sessions(loaded.history, loaded.sessions, settings.now())
    if (not config.begin and store.covers() is None) or not sessions:
        context.log.info(
            _NOT_BEGUN if sessions else "no session of the history is complete: there is nothing to ask for"
        )
        yield dg.MaterializeResult(metadata=RECORDED)
        yield from report_findings(context.asset_key, [_borders(None)])
        return
    with tolerated(context, continue_on_failure=config.go_on):
        client = market_data.reference_client(lake, context.instance)
        before = client.totals().requests_sent
        made = listings_update(lake.lake, client, loaded, context.log.info).run(sessions)
        version = "unknown" if made is None else rows_digest(made.tables.listings.drop("source_date"))
        figures = _figures(made, store) | {"requests": client.totals().requests_sent - before}
        yield dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(version))
        yield from report_findings(context.asset_key, [_borders(made)])
        return
    yield dg.MaterializeResult(metadata=RECORDED)
    yield from report_findings(context.asset_key, [_borders(None)])


def _borders(made: ListingsMade | None) -> Finding:
    """Whether each border is known to the session, except of listings that began before the first list."""
    rows = LISTINGS.to_frame() if made is None else made.tables.listings
    inexact = rows.filter(
        ~pl.col("to_is_exact") | (~pl.col("from_is_exact") & (pl.col("active_from") > pl.col("active_from").min()))
    )
    shown = inexact.select("symbol", "listing_id", "active_from", "active_to", "from_is_exact", "to_is_exact")
    found = finding("borders", shown, {"listings": rows.height}, severe=False)
    return found.unjudged_if(rows.is_empty(), "there are no listings")


def _figures(made: ListingsMade | None, store: ListingStore) -> Metadata:
    covered = store.covers()
    if made is None or covered is None:
        return {"known": False}
    rows = made.tables.listings
    reused = rows.group_by("symbol").agg(listings=pl.len().cast(pl.Int64)).filter(pl.col("listings") > 1)
    renamed = rows.filter(pl.col("former_symbol").is_not_null()).sort("active_from", "symbol", descending=[True, False])
    return {
        "dagster/row_count": rows.height,
        "known": True,
        "from": f"{covered[0]}",
        "to": f"{covered[1]}",
        **({} if made.unserved is None else {"not in the plan": f"lists of {made.unserved} and before"}),
        "lists asked for": made.lists,
        "listed": rows["active_to"].null_count(),
        "ended": rows["active_to"].count(),
        "renamed": renamed.height,
        **_of_ticker_events(made.renames),
        **_of_delisted(made.delisted),
        "tickers with several listings": reused.height,
        "without a FIGI": rows.filter(pl.col("share_class_figi").is_null() & pl.col("composite_figi").is_null()).height,
        "changes known to a month": made.open,
        "latest renames": table(renamed.select("former_symbol", "symbol", "active_from", "name").head(_SHOWN)),
        **_left_out(made),
    }


def _of_ticker_events(found: RenamesFound) -> Metadata:
    """What ticker events say of the renames in doubt."""
    if not found.doubtful:
        return {}
    return {
        "possible renames without a share class FIGI": found.doubtful,
        "of these confirmed by ticker events": found.confirmed,
        "of these contradicted by ticker events": found.denied,
        **({} if found.state is None else {"ticker_events": found.state}),
    }


def _of_delisted(found: DelistedFound) -> Metadata:
    """What the vendor's list of delisted tickers says of the ends of listings."""
    parts: Metadata = {} if found.state is None else {"list of delisted tickers": found.state}
    if found.known:
        parts |= {"delisted by the vendor's list": found.known, "of these the listing ends then": found.confirmed}
    if found.unconfirmed:
        parts["delisted though the lists do not show it"] = limit_lines(found.unconfirmed)
    return parts


def _left_out(made: ListingsMade) -> Metadata:
    """Tickers without listings, with the reason."""
    parts: Metadata = {}
    if made.tests:
        parts["test symbols left out"] = _some(made.tests, "universe.test_symbols")
    if made.unusable:
        parts["not usable as names"] = _some(made.unusable, "see the characters of symbols")
    if made.unclear:
        parts["unclear rows"] = limit_lines(made.unclear)
    return parts


def _some(symbols: Sequence[str], reason: str) -> str:
    more = f" and {len(symbols) - MOST_NAMED:,} more" if len(symbols) > MOST_NAMED else ""
    return f"{count_noun(len(symbols), 'ticker')} ({reason}): {', '.join(symbols[:MOST_NAMED])}{more}"
