"""Assets `trade_conditions` and `splits`: reference tables of the vendor that the research assets read."""

from typing import Final

import dagster as dg

from smallcaps_assets.defs.metadata.entries import column_schema
from smallcaps_assets.defs.recording.events import RECORDED
from smallcaps_assets.defs.recording.group_recorder import tolerated
from smallcaps_assets.defs.recording.partition_recorder import ContinueOnFailure
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.descriptions import COLUMNS
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.pinned_conditions import CONDITION_TABLE
from smallcaps_assets.domain.versions import rows_digest
from smallcaps_assets.lake.reference_tables import ReferenceTables
from smallcaps_assets.pipeline.reference import ReferenceUpdate
from smallcaps_assets.pipeline.source import source_identity
from smallcaps_assets.settings.settings import Settings

_CONDITIONS: Final = {
    "id": "Condition id, as in `conditions` of trades.",
    "name": "The vendor's name of the condition.",
    "updates_high_low": "Whether a trade with it may set high and low of a bar; null counts as true.",
    "updates_open_close": "Whether a trade with it may set open and close of a bar; null counts as true.",
    "updates_volume": "Whether a trade with it counts for the volume of a bar; null counts as true.",
    "source_date": "Day on which the vendor served the table.",
    "sha256": "SHA-256 of ids, names and rules of the table.",
}
_SPLITS: Final = {
    "symbol": COLUMNS["symbol"],
    "execution_date": "First day on which shares trade after the split, from pre-market on.",
    "split_from": "Old shares that are replaced.",
    "split_to": "New shares that replace them.",
}


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The assets."""
    return [trade_conditions, splits]


@dg.asset(pool=VENDOR_POOL, metadata=column_schema(CONDITION_TABLE, _CONDITIONS, below=True))
def trade_conditions(
    context: dg.AssetExecutionContext,
    config: ContinueOnFailure,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
) -> dg.MaterializeResult[None]:
    """What trades count for by their condition ids, as the vendor lists it; asked for at most every 28 days.

    Where the plan does not include it, the copy that comes with the package is used, which has its own date.
    """
    with tolerated(context, continue_on_failure=config.go_on):
        update = _update(context, settings, lake, market_data)
        before = update.client.totals().requests_sent
        table = update.trade_conditions(settings.now().date())
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": table.height,
                "source_date": f"{table['source_date'][0]}",
                "sha256": table["sha256"][0],
                "pinned_copy": update.tables.conditions_fetched_on() is None,
                "requests": update.client.totals().requests_sent - before,
            },
            data_version=dg.DataVersion(table["sha256"][0]),
        )
    return dg.MaterializeResult(metadata=RECORDED)


@dg.asset(pool=VENDOR_POOL, metadata=column_schema(SPLITS, _SPLITS, below=True))
def splits(
    context: dg.AssetExecutionContext,
    config: ContinueOnFailure,
    settings: SettingsResource,
    lake: LakeResource,
    market_data: MarketDataResource,
) -> dg.MaterializeResult[None]:
    """Splits of all symbols since 120 days before history.first_session; asked for at most once a day.

    Where the plan does not include them there is no table: splits are then unknown, which is not the same as none.
    """
    with tolerated(context, continue_on_failure=config.go_on):
        update = _update(context, settings, lake, market_data)
        before = update.client.totals().requests_sent
        table = update.splits(settings.load().history.first_session, settings.now().date())
        return dg.MaterializeResult(
            metadata={
                **({} if table is None else {"dagster/row_count": table.height}),
                "known": table is not None,
                "requests": update.client.totals().requests_sent - before,
            },
            data_version=dg.DataVersion("unknown" if table is None else rows_digest(table)),
        )
    return dg.MaterializeResult(metadata=RECORDED)


def _update(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource, market_data: MarketDataResource
) -> ReferenceUpdate:
    client = market_data.reference_client(lake, context.instance)
    return ReferenceUpdate(
        ReferenceTables(lake.lake), client, source_identity(settings.load().source), context.log.info
    )
