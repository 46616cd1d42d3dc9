"""Asset `universe`: the symbols to follow, and the partitions made of them."""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.asset_checks import SMALL_CAPS, small_caps_result
from smallcaps_assets.defs.metadata import Metadata, column_schema
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.universe import UNIVERSE, Composition, measure_composition
from smallcaps_assets.pipeline.calendar import sessions_due
from smallcaps_assets.pipeline.universe.universe import Universe, UniverseBuilder
from smallcaps_assets.settings.settings import Settings, universe_file

NAMED: Final = 50


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [universe]


@dg.asset(
    pool=VENDOR_POOL,
    metadata=column_schema(UNIVERSE),
    check_specs=[
        dg.AssetCheckSpec(
            SMALL_CAPS,
            asset="universe",
            blocking=True,
            description="Few of the symbols are large caps or of unknown type, not too many of unknown market cap "
            "(universe.limits). While it fails, whatever spends requests refuses to begin.",
        )
    ],
)
def universe(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource, market_data: MarketDataResource
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """The symbols to follow: those of a file or a list, or of the vendor's list what the filters leave.

    Each becomes a partition of the assets below. Who is excluded is kept with the reason. A symbol that leaves is
    marked inactive and comes back when it is listed again; its partition and its data stay. With float and short
    interest where the plan has them.
    """
    loaded = settings.load()
    due = sessions_due(loaded.history, loaded.sessions, settings.now())
    client = market_data.reference_client(lake, context.instance)
    before = client.totals().requests_sent
    builder = UniverseBuilder(
        store=lake.universe(),
        client=client,
        params=loaded.universe,
        source=loaded.source,
        file=universe_file(loaded),
        first_session=loaded.history.first_session,
        threads=loaded.fetch_threads,
        log=context.log.info,
    )
    made = builder.run(due[-1] if due else loaded.history.first_session)
    context.instance.add_dynamic_partitions(SYMBOLS.name or "", made.rows.filter("active")["symbol"].to_list())
    made_of = measure_composition(made.rows, loaded.universe.limits)
    figures = _figures(made, made_of) | {"requests": client.totals().requests_sent - before}
    yield dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(lake.universe().version()))
    yield small_caps_result(made_of, loaded.universe.limits)


def _figures(made: Universe, made_of: Composition) -> Metadata:
    active = made.rows.filter("active")
    excluded = made.rows.filter(~pl.col("active")).group_by("excluded_by").len().sort("excluded_by")
    return {
        "dagster/row_count": made.rows.height,
        "symbols_active": active.height,
        "symbols_inactive": made.rows.height - active.height,
        **{f"excluded/{by or 'unknown'}": rows for by, rows in excluded.iter_rows()},
        "symbols_delisted": active["delisted"].count(),
        "added": len(made.added),
        "left": len(made.left),
        "symbols_added": _named(made.added),
        "symbols_left": _named(made.left),
        "large_cap_share": made_of.large_cap_share,
        "unknown_type_share": made_of.unknown_type_share,
        "unknown_market_cap_share": made_of.unknown_market_cap_share,
        "market_cap_unknown": made_of.unknown_market_caps,
        "float_unknown": active["float_shares"].null_count(),
        "short_interest_unknown": active["short_interest_shares"].null_count(),
    }


def _named(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - NAMED:,} more" if len(symbols) > NAMED else ""
    return ", ".join(symbols[:NAMED]) + more or "none"
