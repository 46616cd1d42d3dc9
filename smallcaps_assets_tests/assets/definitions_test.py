"""The graph, the groups and the catalog of the assets, as Dagster shows them without a lake."""

from functools import cache

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.metadata.entries import COLUMNS_ABOVE, COLUMNS_BELOW
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.domain.bars.coverage import COVERAGE
from smallcaps_assets.domain.listings.tables import LISTINGS
from smallcaps_assets.domain.research.bars.market_state import SPLITS
from smallcaps_assets.domain.research.tape.pinned_conditions import CONDITION_TABLE
from smallcaps_assets.domain.tables import (
    BARS,
    EVENTS,
    MANIFEST,
    QUOTES,
    QUOTES_ALL,
    SHARD,
    TRADES,
    TRADES_ALL,
)
from smallcaps_assets.domain.tape.tables import KPIS, LEDGER
from smallcaps_assets.lake.universe import UNIVERSE
from smallcaps_assets.pipeline.operations.nightly import BEHIND
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets_tests.assets.platform import TAPES

RESEARCH_OF_SYMBOLS = ("event_bar_features", "halts", "event_waves", "event_labels", "market_state_day")
RESEARCH_OF_PROFILES = (
    "research_table",
    "event_costs",
    "research_labels",
    "cohorts",
    "control_manifest",
    "control_features",
)
RESEARCH_OF_PROFILES = (
    "research_table",
    "event_costs",
    "research_labels",
    "cohorts",
    "control_manifest",
    "control_features",
)


@cache
def graph() -> AssetGraph:
    return build_defs(load_settings(overrides={})).resolve_asset_graph()


def columns_of(asset: str) -> list[dg.TableColumn]:
    """The columns that the page of an asset describes, above its metadata or in a dialog below."""
    metadata = graph().get(dg.AssetKey.from_user_string(asset)).metadata
    (schema,) = (metadata[name] for name in (COLUMNS_ABOVE, COLUMNS_BELOW) if name in metadata)
    assert isinstance(schema, dg.TableSchema)
    return list(schema.columns)


def all_keys() -> set[dg.AssetKey]:
    return {node.key for node in graph().asset_nodes}


@pytest.mark.parametrize(
    ("asset", "upstream"),
    [
        ("listings", set()),
        ("universe", set()),
        ("trade_conditions", set()),
        ("splits", set()),
        ("minute_bars", {"universe"}),
        ("event_shards", {"minute_bars"}),
        ("master_events", {"event_shards"}),
        ("event_listings", {"master_events", "listings"}),
        ("coverage", {"minute_bars"}),
        *((table, {"minute_bars", "event_shards", "splits"}) for table in RESEARCH_OF_SYMBOLS),
        ("event_scores", {"master_events", "event_shards", "event_bar_features"}),
        (
            "events_with_waves_enriched",
            {"master_events", "event_shards", "event_waves", "event_scores"}
            | {f"{profile}/{table}" for profile in PROFILES for table in ("bar_reconciliation", "event_tape_state")},
        ),
        ("core/event_costs", {"event_labels", "event_bar_features", "core/micro_features"}),
        (
            "core/cohorts",
            # of no tape of another profile, whose manifest may depend on these cohorts
            {"core/event_costs", "event_labels", "event_bar_features", "event_waves", "event_shards", "master_events"},
        ),
        ("core/research_labels", {"event_labels", "core/manifest", "core/micro_features", "core/event_costs"}),
        ("nightly_report", {f"{profile}/manifest" for profile in PROFILES}),
        *((f"{profile}/manifest", {"master_events", "event_listings"}) for profile in PROFILES),
        *((f"{profile}/tape_trades", {f"{profile}/manifest"}) for profile in PROFILES),
        *((f"{profile}/tape_quotes", {f"{profile}/manifest"}) for profile in PROFILES),
        *((f"{profile}/capture_ledger", {f"{profile}/tape_trades", f"{profile}/tape_quotes"}) for profile in PROFILES),
        *((f"{profile}/capture_report", {f"{profile}/capture_ledger"}) for profile in PROFILES),
        *((f"{profile}/review_sheet", {f"{profile}/manifest", "minute_bars"}) for profile in PROFILES),
    ],
)
def test_the_upstream_assets(asset: str, upstream: set[str]) -> None:
    node = graph().get(dg.AssetKey.from_user_string(asset))
    assert {key.to_user_string() for key in node.parent_keys} == upstream


def test_every_symbol_and_wave_depends_on_the_whole_manifest() -> None:
    for key in TAPES:
        mapping = graph().get(key).partition_mappings[dg.AssetKey([key.path[0], "manifest"])]
        assert isinstance(mapping, dg.AllPartitionMapping)


def test_groups_owners_and_kinds() -> None:
    groups = {key.to_user_string(): graph().get(key).group_name for key in all_keys()}
    assert groups["universe"] == groups["trade_conditions"] == groups["splits"] == "reference"
    assert groups["listings"] == groups["event_listings"] == "listings"
    assert groups["minute_bars"] == groups["coverage"] == "bars"
    assert groups["event_shards"] == groups["master_events"] == "events"
    assert groups["nightly_report"] == "nightly"
    after = {"event_waves", "event_labels", "events_with_waves_enriched"}
    assert {groups[name] for name in after} == {"outcomes"}
    assert {groups[name] for name in {*RESEARCH_OF_SYMBOLS, "event_scores"} - after} == {"research"}
    for name, group in groups.items():
        profile, _, table = name.rpartition("/")
        if table.startswith("control_"):
            assert group == f"controls_{profile}"
        elif profile:
            assert group == (f"research_{profile}" if table in {*RESEARCH_OF_PROFILES, *ASSET_TABLES} else profile)
    for key in all_keys():
        node = graph().get(key)
        assert node.owners == ["team:data"], key
        assert {"html" if key.path[-1] == "review_sheet" else "parquet"} <= set(node.kinds), key
        assert node.description, key


def test_partitions_and_backfill_policies() -> None:
    for key in all_keys():
        node, name = graph().get(key), key.path[-1]
        if name in ("minute_bars", "event_shards", *RESEARCH_OF_SYMBOLS):
            assert node.partitions_def == SYMBOLS
            assert node.backfill_policy == dg.BackfillPolicy.multi_run(200)
        elif name in ("tape_trades", "tape_quotes", *ASSET_TABLES):
            assert isinstance(node.partitions_def, dg.MultiPartitionsDefinition)
            assert node.partitions_def.partition_dimension_names == ["symbol", "wave"]
            assert node.backfill_policy == dg.BackfillPolicy.multi_run(200)
        else:
            assert node.partitions_def is None, key
    cut = build_defs(load_settings(overrides={"partitions_per_run": 7})).resolve_asset_graph()
    assert cut.get(dg.AssetKey("minute_bars")).backfill_policy == dg.BackfillPolicy.multi_run(7)


def test_paid_steps_are_in_the_vendor_pool() -> None:
    definitions = build_defs(load_settings(overrides={}))
    of_reference = ("listings", "universe", "trade_conditions", "splits", "event_listings")
    for key in all_keys():
        talks = key.path[-1] in (*of_reference, "minute_bars", "tape_trades", "tape_quotes")
        op = definitions.resolve_assets_def(key).op
        assert op.pool == ("vendor" if talks else None), key


@pytest.mark.parametrize(
    ("asset", "schema"),
    [
        ("universe", UNIVERSE),
        ("listings", LISTINGS),
        ("minute_bars", BARS),
        ("event_shards", SHARD),
        ("master_events", EVENTS),
        ("core/manifest", MANIFEST),
        ("core/tape_trades", TRADES),
        ("core/tape_quotes", QUOTES),
        ("premium/tape_trades", TRADES_ALL),
        ("premium/tape_quotes", QUOTES_ALL),
        ("plus/capture_ledger", LEDGER),
        ("plus/capture_report", KPIS),
        ("nightly_report", BEHIND),
        ("coverage", COVERAGE),
        ("trade_conditions", CONDITION_TABLE),
        ("splits", SPLITS),
    ],
)
def test_the_catalog_describes_every_column(asset: str, schema: pl.Schema) -> None:
    columns = columns_of(asset)
    # the page never wraps a type: a long one squeezes the descriptions
    short = {str(pl.Datetime(unit, "UTC")): f"Datetime[{unit}, UTC]" for unit in ("us", "ns")}
    types = [short.get(str(dtype), str(dtype)) for dtype in schema.values()]
    assert [(column.name, column.type) for column in columns] == [*zip(schema, types, strict=True)]
    assert [column.name for column in columns if not column.description] == []


def test_the_catalog_labels_hindsight_columns() -> None:
    columns = columns_of("master_events")
    text_by_column = {column.name: (column.description or "").lower() for column in columns}
    assert {name for name, text in text_by_column.items() if "hindsight" in text} == {"dollar_volume_day", "rvol_day"}
