"""Backfills of a wave: how Dagster splits them into runs, failed windows, and repetition."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.automation_tick_evaluation_context import build_run_requests_with_backfill_policies
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.partitions import SYMBOLS, TAPE_PARTITIONS, tape_key
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import IN_BOTH_LONG
from smallcaps_assets_tests.assets.platform import CORE_TAPES, SYMBOLS_OF_MARKET, Platform, Sites, by_path
from smallcaps_assets_tests.conftest import event, manifest_of

MANY = [f"S{number:04d}" for number in range(2_000)]
# three runs of four symbols; all symbols with events are in the first
FOLLOWED = [*SYMBOLS_OF_MARKET, *MANY[:8]]
WAVE = [tape_key(symbol, "PM") for symbol in FOLLOWED]


@pytest.fixture(scope="module")
def many() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(SYMBOLS.name or "", MANY)
        yield instance


@pytest.fixture
def planned(storage: dict[str, Any], tmp_path: Path, sites: Sites) -> Iterator[Platform]:
    """Twelve symbols, four of which have one event each in wave PM; no tape yet."""
    for platform in sites.opened(tmp_path / "state" if storage else None, storage):
        platform.overrides |= {"partitions_per_run": 4}
        platform.instance.add_dynamic_partitions(SYMBOLS.name or "", FOLLOWED)
        rows = [event("2025-11-25 08:00", symbol=symbol, session="PM") for symbol in SYMBOLS_OF_MARKET]
        platform.lake.root.mkdir()
        store = ManifestStore.in_lake(platform.lake, "core")
        selection = Selection(manifest_of(*rows), [], {})
        store.freeze(selection, config_hash="x", master_sha256="none", now=datetime(2025, 12, 2, tzinfo=UTC))
        yield platform


def cut(
    instance: dg.DagsterInstance, keys: Iterable[str], overrides: dict[str, object], assets: Iterable[dg.AssetKey]
) -> list[dg.RunRequest]:
    """The runs into which Dagster splits a backfill of `keys` of `assets`."""
    graph = build_defs(load_settings(overrides=overrides)).resolve_asset_graph()
    asked_for = {AssetKeyPartitionKey(asset, key) for asset in assets for key in keys}
    with partition_loading_context(dynamic_partitions_store=instance):
        return list(build_run_requests_with_backfill_policies(asked_for, graph, instance))


def keys_of(request: dg.RunRequest, instance: dg.DagsterInstance) -> list[str]:
    """What a run covers: Dagster resolves the range of its tags when it begins."""
    first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    return TAPE_PARTITIONS.get_partition_keys_in_range(
        dg.PartitionKeyRange(first, last), dynamic_partitions_store=instance
    )


def backfill(platform: Platform, keys: Iterable[str], assets: Iterable[dg.AssetKey] = CORE_TAPES) -> list[bool]:
    """Run all runs of a backfill; whether each succeeded."""
    assets = list(assets)
    job = platform.definitions.resolve_implicit_global_asset_job_def()
    return [
        job.execute_in_process(
            instance=platform.instance,
            asset_selection=request.asset_selection,
            tags=dict(request.tags),
            partition_key=request.partition_key,
            raise_on_error=False,
        ).success
        for request in cut(platform.instance, keys, platform.overrides, assets)
    ]


def states(platform: Platform, asset: dg.AssetKey) -> dict[str, AssetPartitionStatus | None]:
    found = platform.instance.get_status_by_partition(asset, WAVE, TAPE_PARTITIONS)
    assert found is not None
    return dict(found)


def requested(platform: Platform) -> list[tuple[str, str]]:
    """(kind, symbol) of every request since the list was cleared."""
    return sorted((path.split("/")[2], path.split("/")[3]) for path, _ in platform.gate.requests)


# ------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("wave", ["PM", "AH", "RTH"])
def test_a_wave_over_2000_symbols_is_ten_runs_of_trades_and_quotes(many: dg.DagsterInstance, wave: str) -> None:
    keys = [tape_key(symbol, wave) for symbol in MANY]
    requests = cut(many, keys, {}, CORE_TAPES)
    assert len(requests) == 10
    assert all(set(request.asset_selection or []) == set(CORE_TAPES) for request in requests)
    covered = [key for request in requests for key in keys_of(request, many)]
    assert covered == keys


def test_the_settings_limit_the_partitions_of_a_run(many: dg.DagsterInstance) -> None:
    keys = [tape_key(symbol, "PM") for symbol in MANY]
    assert len(cut(many, keys, {"partitions_per_run": 600}, CORE_TAPES)) == 4
    assert len(cut(many, MANY, {"partitions_per_run": 600}, [dg.AssetKey("minute_bars")])) == 4


def test_scattered_partitions_are_one_run_per_contiguous_range(many: dg.DagsterInstance) -> None:
    scattered = [tape_key(MANY[number], "PM") for number in (3, 4, 5, 700, 1_999)]
    assert len(cut(many, scattered, {}, CORE_TAPES[:1])) == 3


# ------------------------------------------------------------------------------------------------- failures, repeats


@IN_BOTH_LONG
def test_only_a_failed_window_is_shown_as_failed_and_only_it_is_requested_again(planned: Platform) -> None:
    by_path(planned, "/BNRX")
    assert backfill(planned, WAVE) == [False, True, True]
    victim = tape_key("BNRX", "PM")
    for tape in CORE_TAPES:
        found = states(planned, tape)
        assert {key for key, state in found.items() if state == AssetPartitionStatus.FAILED} == {victim}
        assert {key for key, state in found.items() if state == AssetPartitionStatus.MATERIALIZED} == {*WAVE} - {victim}
    planned.gate.rule = lambda path, query: None  # noqa: ARG005
    planned.gate.requests.clear()
    assert backfill(planned, [victim]) == [True]  # "only failed and missing"
    assert requested(planned) == [("quotes", "BNRX"), ("trades", "BNRX")]
    assert_whole(planned)


@pytest.mark.long
def test_a_repeated_wave_requests_what_is_missing_and_then_nothing(planned: Platform) -> None:
    by_path(planned, "/BNRX")
    backfill(planned, WAVE)
    planned.gate.rule = lambda path, query: None  # noqa: ARG005
    planned.gate.requests.clear()
    assert backfill(planned, WAVE) == [True, True, True]
    assert requested(planned) == [("quotes", "BNRX"), ("trades", "BNRX")]
    planned.gate.requests.clear()
    assert backfill(planned, WAVE) == [True, True, True]
    assert planned.gate.requests == []
    assert_whole(planned)


def assert_whole(platform: Platform) -> None:
    for tape in CORE_TAPES:
        assert set(states(platform, tape).values()) == {AssetPartitionStatus.MATERIALIZED}
        waves = {key.split("|")[1] for key in platform.materialized(tape)}
        assert waves == {"PM"}
    platform.run(["core", "capture_ledger"])
    ledger = pl.read_parquet(platform.lake.ledger("core"))
    assert ledger["symbol"].to_list() == SYMBOLS_OF_MARKET
    assert set(ledger["state"]) == {"complete"}
