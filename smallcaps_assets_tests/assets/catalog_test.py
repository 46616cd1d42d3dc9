"""What the catalog says of every asset and check: nothing may be without words, owner, tags, schema, code or place."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import dagster as dg
import polars as pl
import pytest

import smallcaps_assets
from smallcaps_assets.definitions import build_defs
from smallcaps_assets.domain.tables import BARS, EVENTS, MANIFEST, SHARD, TRADES
from smallcaps_assets.domain.tape.kpis import LEDGER
from smallcaps_assets.settings.settings import load_settings

DEFINITIONS = build_defs(load_settings(overrides={"lake": {"path": "a-lake"}}))
GRAPH = DEFINITIONS.resolve_asset_graph()
NODES = {node.key.to_user_string(): node for node in sorted(GRAPH.asset_nodes, key=lambda node: node.key)}
PACKAGE = Path(smallcaps_assets.__file__).parent
STAGES = {"reference", "bars", "events", "selection", "tape", "proof", "review", "nightly"}
TABLES = [name for name, node in NODES.items() if "parquet" in node.kinds]
FOLDERS = ("manifest", "review_sheet")


@pytest.mark.parametrize("name", NODES)
def test_every_asset_says_what_it_is(name: str) -> None:
    node = NODES[name]
    assert node.description
    assert len(node.description.split()) >= 8
    assert node.owners == ["team:data"]
    assert node.kinds
    assert node.group_name
    assert node.tags["stage"] in STAGES
    assert node.tags["paid"] in {"yes", "no"}


@pytest.mark.parametrize("name", TABLES)
def test_no_column_is_without_a_description(name: str) -> None:
    columns = NODES[name].metadata["dagster/column_schema"].columns
    assert columns
    assert [column.name for column in columns if not column.description] == []


@pytest.mark.parametrize("name", NODES)
def test_every_asset_leads_to_its_code(name: str) -> None:
    (reference,) = NODES[name].metadata["dagster/code_references"].code_references
    file = Path(reference.file_path)
    assert file.is_relative_to(PACKAGE / "defs")
    lines = file.read_text(encoding="utf-8").splitlines()
    # a decorator, or the function below it
    assert lines[reference.line_number - 1].strip().startswith(("@dg.asset", "def "))


@pytest.mark.parametrize("name", NODES)
def test_every_asset_says_where_it_lies(name: str) -> None:
    place = Path(url2pathname(urlsplit(str(NODES[name].metadata["dagster/uri"])).path))
    assert place.is_absolute()
    assert "a-lake" in place.parts
    assert (place.suffix == ".parquet") == (NODES[name].partitions_def is None and not name.endswith(FOLDERS))


def test_what_talks_to_the_vendor_is_marked_as_paid() -> None:
    for name, node in NODES.items():
        pool = DEFINITIONS.resolve_assets_def(node.key).op.pool
        assert (node.tags["paid"] == "yes") == (pool == "vendor"), name


def test_every_check_says_what_it_asks() -> None:
    specs = [GRAPH.get_check_spec(key) for key in GRAPH.asset_check_keys]
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
    """Asset and column of all that each column is made of."""
    told = NODES[name].metadata["dagster/column_lineage"]
    assert isinstance(told, dg.TableColumnLineage)
    return {
        column: {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}
        for column, deps in told.deps_by_column.items()
    }


@pytest.mark.parametrize("name", ["event_shards", "master_events", "core/manifest", "core/capture_ledger"])
def test_lineage_joins_columns_that_exist(name: str) -> None:
    for column, origins in lineage(name).items():
        assert column in SCHEMAS[name]
        for asset, origin in origins:
            assert origin in SCHEMAS[asset], (column, asset, origin)


@pytest.mark.parametrize("name", ["event_shards", "master_events", "core/manifest"])
def test_no_column_of_an_event_comes_from_nowhere(name: str) -> None:
    assert set(lineage(name)) == set(SCHEMAS[name])


def test_lineage_tells_what_passes_and_what_is_made() -> None:
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


def test_a_column_of_another_name_needs_its_origin_told() -> None:
    from smallcaps_assets.domain.lineage import made_of  # noqa: PLC0415

    upstream = {"a": pl.String(), "b": pl.String()}
    assert made_of({"a": 1, "c": 1, "d": 1}, upstream, {"c": ("a", "b")}) == {"a": ["a"], "c": ["a", "b"]}
