"""Asset `universe`: the symbols to follow, and the partitions made of them."""

import dagster as dg

from smallcaps_assets.defs.metadata import OWNERS, column_schema
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.pool import VENDOR_POOL
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.lake.universe import UNIVERSE
from smallcaps_assets.pipeline.history import sessions_due
from smallcaps_assets.pipeline.universe import UniverseBuilder


@dg.asset(
    group_name="reference",
    kinds={"parquet"},
    owners=OWNERS,
    pool=VENDOR_POOL,
    metadata=column_schema(UNIVERSE),
)
def universe(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource, market_data: MarketDataResource
) -> dg.MaterializeResult[None]:
    """The symbols to follow, with float and short interest where the plan has them.

    Each becomes a partition of the assets below. A symbol that leaves the list is marked inactive; its partition and
    its data stay.
    """
    loaded = settings.load()
    due = sessions_due(loaded.history, loaded.sessions, settings.now())
    builder = UniverseBuilder(
        lake.universe(), market_data.client(lake, context.instance), loaded.universe, loaded.source, context.log.info
    )
    symbols = builder.run(due[-1] if due else loaded.history.first_session)
    active = symbols.filter("active")
    context.instance.add_dynamic_partitions(SYMBOLS.name or "", active["symbol"].to_list())
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": symbols.height,
            "symbols_active": active.height,
            "symbols_inactive": symbols.height - active.height,
            "float_unknown": active["float_shares"].null_count(),
            "short_interest_unknown": active["short_interest_shares"].null_count(),
        }
    )
