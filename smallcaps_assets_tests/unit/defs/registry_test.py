"""What the web UI shows of assets and checks: description, owner, tags, schema, code, path, version, lineage."""

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.assets.graph.asset_graph import AssetNode

import smallcaps_assets
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.metadata.entries import COLUMNS_ABOVE, COLUMNS_BELOW
from smallcaps_assets.defs.registry import REGISTRY, facts_of, with_facts
from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, SHARD, TRADES
from smallcaps_assets.domain.tape.tables import LEDGER
from smallcaps_assets.settings.settings import Settings, load_settings

PACKAGE = Path(smallcaps_assets.__file__).parent
STAGES = {"reference", "bars", "events", "selection", "tape", "proof", "review", "research", "nightly"}
FOLDERS = ("/manifest", "review_sheet")


@cache
def settings() -> Settings:
    # with flat files, so that every row has its asset
    return load_settings(overrides={"lake": {"path": "a-lake"}, "source": {"bars": "both"}})


@cache
def definitions() -> dg.Definitions:
    return build_defs(settings())


@cache
def nodes() -> dict[str, AssetNode]:
    """The assets as the web UI knows them, by their keys in words."""
    return {node.key.to_user_string(): node for node in definitions().resolve_asset_graph().asset_nodes}


def built_assets() -> list[dg.AssetsDefinition]:
    """The assets of the definitions."""
    return [definitions().resolve_assets_def(node.key) for node in nodes().values()]


@pytest.mark.parametrize("name", REGISTRY)
def test_every_asset_is_described(name: str) -> None:
    node = nodes()[name]
    assert node.description
    assert len(node.description.split()) >= 8
    assert node.owners == ["team:data"]
    assert node.kinds
    assert node.group_name
    assert node.tags["stage"] in STAGES
    assert node.tags["paid"] in {"yes", "no"}


def test_the_registry_has_one_row_per_asset() -> None:
    assert set(REGISTRY) == set(nodes())


def test_flat_files_are_no_asset_where_bars_come_over_rest() -> None:
    overrides = {"lake": {"path": "a-lake"}}
    graph = build_defs(load_settings(overrides=overrides)).resolve_asset_graph()
    assert set(REGISTRY) - {node.key.to_user_string() for node in graph.asset_nodes} == {"flat_minute_bars"}


def test_an_asset_without_a_row_is_an_error() -> None:
    @dg.asset(key=["core", "flow"])
    def flow() -> None: ...

    with pytest.raises(dg.DagsterInvalidDefinitionError) as error:
        with_facts([*built_assets(), flow], settings())
    assert str(error.value) == (
        "assets without a row in the registry: core/flow. Add a row for each to REGISTRY in "
        "smallcaps_assets.defs.registry, with its path, stage, paid, group, kinds, version, decided_by, lineage, "
        "lineage_by_settings, schema, added, is_defined."
    )
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=r"without a row in the registry: core/flow\."):
        facts_of(flow.key)


def test_a_row_without_an_asset_is_an_error() -> None:
    without = {dg.AssetKey("coverage"), dg.AssetKey(["core", "manifest"])}
    others = [asset for asset in built_assets() if asset.keys.isdisjoint(without)]
    with pytest.raises(dg.DagsterInvalidDefinitionError) as error:
        with_facts(others, settings())
    assert str(error.value) == (
        "the registry has rows without an asset: core/manifest, coverage. Remove them from REGISTRY in "
        "smallcaps_assets.defs.registry, or add the asset to the package smallcaps_assets.defs.assets."
    )


@pytest.mark.parametrize("name", [name for name, facts in REGISTRY.items() if "parquet" in facts.kinds])
def test_every_column_is_described(name: str) -> None:
    metadata = nodes()[name].metadata
    # the metadata of a single table begins with a verdict or a picture: its columns must not be shown in full above it
    below = nodes()[name].partitions_def is None
    assert (COLUMNS_BELOW in metadata, COLUMNS_ABOVE in metadata) == (below, not below)
    columns = metadata[COLUMNS_BELOW if below else COLUMNS_ABOVE].columns
    assert columns
    assert [column.name for column in columns if not column.description] == []


@pytest.mark.parametrize("name", REGISTRY)
def test_every_asset_refers_to_its_code(name: str) -> None:
    (reference,) = nodes()[name].metadata["dagster/code_references"].code_references
    file = Path(reference.file_path)
    assert file.is_relative_to(PACKAGE / "defs")
    lines = file.read_text(encoding="utf-8").splitlines()
    # a decorator, or the function below it
    assert lines[reference.line_number - 1].strip().startswith(("@dg.asset", "@dg.multi_asset", "def "))


@pytest.mark.parametrize("name", REGISTRY)
def test_every_asset_shows_its_path(name: str) -> None:
    path = Path(url2pathname(urlsplit(str(nodes()[name].metadata["dagster/uri"])).path))
    assert path.is_absolute()
    assert "a-lake" in path.parts
    assert (path.suffix == ".parquet") == (nodes()[name].partitions_def is None and not name.endswith(FOLDERS))


def test_paid_assets_are_those_in_the_vendor_pool() -> None:
    for name, node in nodes().items():
        pool = definitions().resolve_assets_def(node.key).op.pool
        assert (node.tags["paid"] == "yes") == (pool == "vendor"), name


def test_every_check_is_described() -> None:
    graph = definitions().resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert {spec.asset_key.path[-1] for spec in specs} >= {"minute_bars", "master_events", "manifest", "capture_report"}
    for spec in specs:
        assert spec.description, spec.name
        assert len(spec.description.split()) >= 5


SCHEMAS = {
    "minute_bars": BARS,
    "event_shards": SHARD,
    "master_events": EVENTS,
    "core/manifest": MANIFEST,
    "core/tape_trades": TRADES,
    "core/tape_quotes": TRADES,
    "core/capture_ledger": LEDGER,
}


def lineage(name: str) -> dict[str, set[tuple[str, str]]]:
    """Asset and column of everything that each column is derived from."""
    shown = nodes()[name].metadata["dagster/column_lineage"]
    assert isinstance(shown, dg.TableColumnLineage)
    return {
        column: {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}
        for column, deps in shown.deps_by_column.items()
    }


@pytest.mark.parametrize("name", ["event_shards", "master_events", "core/manifest", "core/capture_ledger"])
def test_lineage_joins_columns_that_exist(name: str) -> None:
    for column, origins in lineage(name).items():
        assert column in SCHEMAS[name]
        for asset, origin in origins:
            assert origin in SCHEMAS[asset], (column, asset, origin)


@pytest.mark.parametrize("name", ["event_shards", "master_events", "core/manifest"])
def test_every_column_of_an_event_has_an_origin(name: str) -> None:
    assert set(lineage(name)) == set(SCHEMAS[name])


def test_lineage_has_columns_that_pass_unchanged_and_derived_ones() -> None:
    assert lineage("event_shards")["close"] == {("minute_bars", "close")}
    assert lineage("event_shards")["dollar_volume"] == {("minute_bars", "close"), ("minute_bars", "volume")}
    assert "vwap" not in {origin for origins in lineage("event_shards").values() for _, origin in origins}
    assert lineage("master_events")["event_id"] == {("event_shards", "event_id")}
    assert lineage("core/manifest")["score"] == {("master_events", "score")}
    assert ("master_events", "score") in lineage("core/manifest")["rank"]
    assert lineage("core/capture_ledger")["event_id"] == {("core/manifest", "event_id")}
    assert lineage("core/capture_ledger")["wave"] == {("core/manifest", "session")}
    assert lineage("core/capture_ledger")["trades_rows"] == {("core/tape_trades", "timestamp")}
    assert "bytes" not in lineage("core/capture_ledger")


def test_a_column_of_another_name_needs_an_explicit_origin() -> None:
    from smallcaps_assets.domain.lineage import trace_columns  # noqa: PLC0415

    upstream = {"a": pl.String(), "b": pl.String()}
    assert trace_columns({"a": 1, "c": 1, "d": 1}, upstream, {"c": ("a", "b")}) == {"a": ["a"], "c": ["a", "b"]}
