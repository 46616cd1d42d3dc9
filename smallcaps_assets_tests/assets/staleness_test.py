"""What the web UI shows as stale: code versions from settings, data versions from content."""

from datetime import date

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from smallcaps_assets.defs.partitions import tape_key
from smallcaps_assets.domain.bars.quality import QUARANTINED_BARS
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets.lake.bars import BarsStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import PROFILES
from smallcaps_assets_tests.assets.conftest import ALL, HISTORY, IN_BOTH_LONG
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, by_path

FIRST, LAST = SYMBOLS_OF_MARKET[0], SYMBOLS_OF_MARKET[-1]
SYMBOL = "CRVO"
SHARD_OF_ALL = {f"event_shards {symbol}" for symbol in SYMBOLS_OF_MARKET}
NEW_CODE, NEW_DATA = "has a new code version", "has a new data version"


def stale(platform: Platform, profile: str = "core") -> dict[str, str]:
    """Why materialized assets and partitions are stale, as the web UI shows it after a reload of the code."""
    found = stale_of(platform.instance, platform.definitions)
    others = tuple(f"{one}/" for one in PROFILES if one != profile)
    return {name: causes for name, causes in found.items() if not name.startswith(others)}


def stale_of(instance: dg.DagsterInstance, definitions: dg.Definitions) -> dict[str, str]:
    """The same of all profiles."""
    graph = definitions.resolve_asset_graph()
    ask = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found = {}
    for node in graph.asset_nodes:
        partitions = instance.get_materialized_partitions(node.key) if node.is_partitioned else [None]
        for partition in partitions:
            if ask.get_status(node.key, partition).value == "STALE":
                causes = [
                    f"{cause.asset_key.to_user_string()} {cause.reason}"
                    for cause in ask.get_stale_root_causes(node.key, partition)
                ]
                found[" ".join(filter(None, (node.key.to_user_string(), partition)))] = "; ".join(causes)
    return found


@pytest.mark.long
def test_a_changed_threshold_makes_shards_and_master_stale_until_they_are_materialized_again(made: Platform) -> None:
    before = pl.read_parquet(made.lake.master)
    made.overrides["detectors"] = {"price_momentum": {"up_min_return": 0.005, "up_min_spike_x": 0.5}}
    causes = stale(made)
    assert causes.keys() == SHARD_OF_ALL | {"master_events"}
    assert causes[f"event_shards {SYMBOL}"] == f"event_shards {NEW_CODE}"
    assert causes["master_events"] == f"master_events {NEW_CODE}"
    made.run("event_shards", first=FIRST, last=FIRST)
    assert stale(made).keys() == (SHARD_OF_ALL - {f"event_shards {FIRST}"}) | {"master_events"}
    made.run("event_shards", **ALL)
    made.run("master_events")
    assert not pl.read_parquet(made.lake.master).equals(before), "without other events this shows nothing"
    assert stale(made) == {"core/manifest": f"master_events {NEW_DATA}"}
    made.run(["core", "manifest"])
    assert stale(made) == {}


def test_new_bars_of_a_symbol_make_its_shard_stale_and_equal_events_nothing_else(made: Platform) -> None:
    # a session without a single bar
    empty = date(2025, 11, 25)
    store = BarsStore(made.lake)
    store.add(SYMBOL, empty, [empty], BARS.to_frame(), QUARANTINED_BARS.to_frame())
    made.run("minute_bars", **ALL)
    assert stale(made) == {f"event_shards {SYMBOL}": f"minute_bars {NEW_DATA}"}
    made.run("event_shards", **ALL)
    assert stale(made) == {}
    # a session with bars of all symbols but one
    made.overrides["history"] = HISTORY | {"last_session": "2025-12-01"}
    assert stale(made) == {f"minute_bars {symbol}": f"minute_bars {NEW_CODE}" for symbol in SYMBOLS_OF_MARKET}
    by_path(made, f"ticker/{FIRST}")
    made.run("minute_bars", **ALL, fails=True)
    causes = stale(made)
    assert causes.pop(f"minute_bars {FIRST}") == f"minute_bars {NEW_CODE}"
    assert causes == dict.fromkeys(SHARD_OF_ALL - {f"event_shards {FIRST}"}, f"minute_bars {NEW_DATA}")
    events = pl.read_parquet(made.lake.shard(SYMBOL))
    made.run("event_shards", first=SYMBOL, last=SYMBOL)
    assert not pl.read_parquet(made.lake.shard(SYMBOL)).equals(events), "without new events this shows nothing"
    assert stale(made)["master_events"] == f"event_shards {NEW_DATA}"


def test_materializing_again_without_a_change_makes_nothing_stale(made: Platform) -> None:
    before = versions(made, "event_shards")
    assert before.keys() == set(SYMBOLS_OF_MARKET)
    assert len(set(before.values())) > 1
    # a file without row count in its footer, as earlier versions wrote it
    path = made.lake.shard(SYMBOL)
    footer = pl.read_parquet_metadata(path)["smallcaps"].replace('"content"', '"of_another_version"')
    pl.read_parquet(path).write_parquet(path, metadata={"smallcaps": footer})
    for asset in ("minute_bars", "event_shards"):
        made.run(asset, **ALL)
        assert stale(made) == {}
    assert versions(made, "event_shards") == before
    made.run("universe")
    made.run("master_events")
    made.run(["core", "manifest"])
    assert stale(made) == {}
    # the followed symbols are not part of this
    made.overrides["universe"] = {"symbols": SYMBOLS_OF_MARKET[:3]}
    assert stale(made) == {"universe": f"universe {NEW_CODE}"}
    made.run("universe")
    assert stale(made) == {f"minute_bars {symbol}": f"universe {NEW_DATA}" for symbol in SYMBOLS_OF_MARKET}


def versions(platform: Platform, asset: str) -> dict[str | None, str]:
    """The data version of each partition."""
    records = platform.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    found = [record.asset_materialization for record in reversed(records) if record.asset_materialization]
    return {one.partition: (one.tags or {})["dagster/data_version"] for one in found}


@pytest.mark.long
def test_tape_and_ledger_are_stale_after_changes_that_decide_them(made: Platform) -> None:
    made.run(["premium", "manifest"])
    whole = {"first": tape_key(FIRST, "RTH"), "last": tape_key(LAST, "RTH")}
    made.run(["premium", "tape_trades"], ["premium", "tape_quotes"], **whole)
    made.run(["premium", "capture_ledger"], ["premium", "capture_report"])
    assert stale(made, "premium") == {}
    made.overrides["capture"] = {"quotes_without_trades": True}
    assert {key.partition(" ")[0] for key in stale(made, "premium")} == {"premium/tape_quotes"}
    made.overrides["capture"] = {}
    # selected again by other rules, with the same rows: the tape is unchanged
    made.overrides["profiles"] = {"premium": {"max_events": 49_999}}
    assert stale(made, "premium") == {"premium/manifest": f"premium/manifest {NEW_CODE}"}
    store = ManifestStore.in_lake(made.lake, "premium")
    before = store.sidecar()
    made.run(["premium", "manifest"])
    assert store.sidecar()["manifest_id"] != before["manifest_id"]
    assert stale(made, "premium") == {}
    made.overrides["profiles"] = {"premium": {"max_events": 1}}
    made.run(["premium", "manifest"])
    causes = stale(made, "premium")
    assert {key.partition(" ")[0] for key in causes} == {"premium/tape_trades", "premium/tape_quotes"}
    assert set(causes.values()) == {f"premium/manifest {NEW_DATA}"}


@pytest.mark.long
@IN_BOTH_LONG
def test_a_capture_by_the_waves_job_is_recorded_as_well(made: Platform) -> None:
    definitions = made.definitions
    assert definitions.resolve_job_def("core_waves").execute_in_process(instance=made.instance).success
    assert stale(made) == {}
    made.overrides["kpis"] = {"min_success_pct": 90.0}
    assert stale(made) == {"core/capture_report": f"core/capture_report {NEW_CODE}"}
    made.overrides["capture"] = {"quotes_without_trades": True}
    assert {key.partition(" ")[0] for key in stale(made)} == {"core/tape_quotes", "core/capture_report"}
    made.overrides["profiles"] = {"core": {"max_events": 1}}
    made.run(["core", "manifest"])
    assert set(stale(made).values()) >= {f"core/manifest {NEW_DATA}"}
    # the captured spans are complete under the new manifest too, which the footers then record
    definitions = made.definitions
    assert definitions.resolve_job_def("core_waves").execute_in_process(instance=made.instance).success
    assert stale(made) == {}
