"""Asset `universe`: the followed symbols, which are the partitions of the assets below it."""

from collections.abc import Iterator, Sequence
from typing import Final

import dagster as dg
import polars as pl

from smallcaps_assets.defs.checks.asset_checks import SMALL_CAPS, small_caps_result
from smallcaps_assets.defs.checks.texts import WITH_ITS_ASSET
from smallcaps_assets.defs.metadata.entries import Metadata, column_schema, round_value, table
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.resources import LakeResource, MarketDataResource, SettingsResource
from smallcaps_assets.defs.runs.pool import VENDOR_POOL
from smallcaps_assets.domain.listings.past_symbols import count_not_followed
from smallcaps_assets.domain.universe import UNIVERSE, Composition, measure_composition
from smallcaps_assets.pipeline.calendar import completed_sessions
from smallcaps_assets.pipeline.universe.universe import Universe, UniverseBuilder
from smallcaps_assets.settings.settings import Settings, universe_file

_MAX_NAMED: Final = 50
_MAX_BAD_ROWS: Final = 10


def build_assets(_: Settings) -> list[dg.AssetsDefinition]:
    """The asset."""
    return [universe]


@dg.asset(
    pool=VENDOR_POOL,
    metadata=column_schema(UNIVERSE, below=True),
    check_specs=[
        dg.AssetCheckSpec(
            SMALL_CAPS,
            asset="universe",
            blocking=True,
            description="Few of the symbols are large caps or of unknown type, not too many of unknown market cap "
            f"(universe.limits). While it fails, no paid asset can be materialized.{WITH_ITS_ASSET}",
        )
    ],
)
def universe(
    context: dg.AssetExecutionContext, settings: SettingsResource, lake: LakeResource, market_data: MarketDataResource
) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
    """The followed symbols: those of a file or a list, or those of the vendor's list that pass the filters.

    Each becomes a partition of the assets below. Excluded symbols are kept, with the reason. A symbol that leaves is
    marked inactive and becomes active when it is listed again; its partition and its data stay. With float and short
    interest where the plan includes them. Where the lake has `listings`, which is optional and therefore no upstream
    asset, symbols that were in the universe once are followed as well.
    """
    loaded = settings.load()
    expected = completed_sessions(loaded.history, loaded.sessions, settings.now())
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
    built = builder.run(expected[-1] if expected else loaded.history.first_session)
    context.instance.add_dynamic_partitions(SYMBOLS.name or "", built.rows.filter("active")["symbol"].to_list())
    composition = measure_composition(built.rows, loaded.universe.limits)
    figures = _figures(built, composition) | {"requests": client.totals().requests_sent - before}
    yield dg.MaterializeResult(metadata=figures, data_version=dg.DataVersion(lake.universe().version()))
    yield small_caps_result(composition, loaded.universe.limits)


def _figures(built: Universe, composition: Composition) -> Metadata:
    active = built.rows.filter("active")
    throughout, unknown = count_not_followed(built.rows)
    others = built.rows.filter(~pl.col("active")).with_columns(pl.col("excluded_by").fill_null("unknown"))
    excluded = others.group_by(by="excluded_by").agg(symbols=pl.len().cast(pl.Int64)).sort("by")
    return {
        "dagster/row_count": built.rows.height,
        "symbols_active": active.height,
        "symbols_inactive": built.rows.height - active.height,
        **({} if excluded.is_empty() else {"excluded": table(excluded)}),
        "symbols_delisted": active["delisted"].count(),
        **({"followed for earlier events": earlier} if (earlier := active["excluded_by"].count()) else {}),
        **({"large on the first day of each year": throughout} if throughout else {}),
        **({"large today, earlier market cap unknown": unknown} if unknown else {}),
        "added": len(built.added),
        "left": len(built.left),
        "symbols_added": _list_symbols(built.added),
        "symbols_left": _list_symbols(built.left),
        **_bad_rows(built.bad_rows),
        "large_cap_pct": round_value(100 * composition.large_cap_share),
        "unknown": table(_unknown(active, composition)),
    }


def _bad_rows(rows: Sequence[str]) -> Metadata:
    """How many bad rows of the vendor were left out, and the first of them; nothing where there are none."""
    if not rows:
        return {}
    more = f"; and {len(rows) - _MAX_BAD_ROWS:,} more" if len(rows) > _MAX_BAD_ROWS else ""
    return {"bad rows of the vendor": len(rows), "such as": "; ".join(rows[:_MAX_BAD_ROWS]) + more}


def _unknown(active: pl.DataFrame, composition: Composition) -> pl.DataFrame:
    """How many of the followed symbols lack a figure."""
    counts = {
        "type": composition.unknown_types,
        "market cap": composition.unknown_market_caps,
        "float": active["float_shares"].null_count(),
        "short interest": active["short_interest_shares"].null_count(),
    }
    rows = pl.DataFrame({"figure": list(counts), "symbols": list(counts.values())})
    return rows.with_columns(pct=100 * pl.col("symbols") / max(composition.symbols, 1))


def _list_symbols(symbols: Sequence[str]) -> str:
    more = f" and {len(symbols) - _MAX_NAMED:,} more" if len(symbols) > _MAX_NAMED else ""
    return ", ".join(symbols[:_MAX_NAMED]) + more or "none"
