"""After a changed threshold: what the web UI shows as stale, and the job that brings it up to date."""

import json
from collections import Counter
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.staleness import staleness
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets_tests.assets.conftest import ALL
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, Sites, failure
from smallcaps_assets_tests.assets.staleness_test import FIRST, SHARD_OF_ALL, stale
from smallcaps_assets_tests.conftest import files_below

SHARDS, MASTER, MANIFEST = dg.AssetKey("event_shards"), dg.AssetKey("master_events"), dg.AssetKey(["core", "manifest"])
MANIFESTS = [dg.AssetKey([profile, "manifest"]) for profile in PROFILES]
OTHERS = [symbol for symbol in SYMBOLS_OF_MARKET if symbol != FIRST]
LOWER = {"price_momentum": {"up_min_return": 0.005, "up_min_spike_x": 0.5}}
# what the lineage shows: asset, check
SHOWN = [(SHARDS, "current_settings"), (MASTER, "shards_current"), (MANIFEST, "up_to_date")]


def tick(platform: Platform, cursor: str | None = None) -> tuple[str | None, str | None]:
    """One evaluation of the sensor: its cursor afterwards, and its message."""
    document = load_settings(overrides=platform.overrides).model_dump_json()
    resources = {"settings": SettingsResource(document=document), "lake": LakeResource(root=str(platform.root))}
    with dg.build_sensor_context(instance=platform.instance, cursor=cursor, resources=resources) as context:
        result = staleness(context)
    if isinstance(result, dg.SkipReason):
        return cursor, result.skip_message
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
    assert isinstance(result.skip_reason, dg.SkipReason)
    return result.cursor, result.skip_reason.skip_message


def evaluation(platform: Platform, asset: dg.AssetKey, check: str) -> dg.AssetCheckEvaluation:
    """The last result of a check."""
    key = dg.AssetCheckKey(asset, check)
    record = platform.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    found = record.event.asset_check_evaluation
    assert found is not None
    return found


def colours(platform: Platform) -> list[str]:
    """The colours of SHOWN."""
    found = [evaluation(platform, *one) for one in SHOWN]
    return ["green" if one.passed else {"WARN": "yellow", "ERROR": "red"}[one.severity.value] for one in found]


def keys_of_checks(platform: Platform) -> set[dg.AssetCheckKey]:
    """All checks of the code location."""
    return set(platform.definitions.resolve_asset_graph().asset_check_keys)


def redetect(platform: Platform, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    job = platform.definitions.resolve_job_def("redetect")
    result = job.execute_in_process(instance=platform.instance, raise_on_error=False)
    assert result.success != fails
    return result


def partitions(result: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> Counter[str | None]:
    """The partitions of an asset that a run recorded; None is the asset as a whole."""
    found = [event.materialization for event in result.all_events if event.is_step_materialization]
    return Counter(one.partition for one in found if one.asset_key == asset)


@pytest.mark.long
def test_a_changed_threshold_turns_the_checks_yellow_and_redetect_turns_them_green(made: Platform) -> None:
    before = pl.read_parquet(made.lake.master)
    cursor, message = tick(made)
    assert (colours(made), message) == (["green"] * 3, "Made with the settings in force.")
    made.overrides["detectors"] = LOWER
    assert stale(made).keys() == SHARD_OF_ALL | {"master_events"}
    cursor, message = tick(made, cursor)
    assert colours(made) == ["yellow"] * 3
    words = "event_shards current_settings, master_events shards_current, core/manifest up_to_date"
    assert message == f"Stale: {words}. Launch the job redetect."
    verdict = evaluation(made, *SHOWN[0]).metadata["verdict"].value
    assert verdict == "4 of 4 symbols were detected with other settings. Launch the job redetect."

    # part of it by hand: neither the shards nor what is made of them are current
    made.run("event_shards", first=FIRST, last=FIRST)
    assert colours(made) == ["yellow"] * 3
    verdict = evaluation(made, *SHOWN[0]).metadata["verdict"].value
    assert verdict == "3 of 4 symbols were detected with other settings. Launch the job redetect."

    made.gate.requests.clear()
    others = files_below(made.lake.shard(FIRST).parent)[made.lake.shard(FIRST).name]
    result = redetect(made)
    assert made.gate.requests == []
    assert partitions(result, SHARDS) == dict.fromkeys(OTHERS, 1)
    assert files_below(made.lake.shard(FIRST).parent)[made.lake.shard(FIRST).name] == others
    assert partitions(result, MASTER) == partitions(result, MANIFEST) == {None: 1}
    # every check of what the job makes, or the web UI would show it as not evaluated
    recorded = {key for key in keys_of_checks(made) if key.asset_key in {SHARDS, MASTER, *MANIFESTS}}
    assert {(one.asset_key, one.check_name) for one in result.get_asset_check_evaluations()} == {
        (key.asset_key, key.name) for key in recorded
    }
    assert not pl.read_parquet(made.lake.master).equals(before), "without other events this shows nothing"
    assert colours(made) == ["green"] * 3
    assert stale(made) == {}
    cursor, message = tick(made, cursor)
    assert (colours(made), message) == (["green"] * 3, "Made with the settings in force.")
    assert tick(made, cursor) == (cursor, "Nothing changed.")


@pytest.mark.long
def test_a_damaged_manifest_is_named_beside_the_other_checks_and_redetect_makes_it_again(made: Platform) -> None:
    pointer = made.lake.manifests("core") / "current.json"
    current = pointer.read_bytes()
    for spoil in (lambda: pointer.write_text("{"), pointer.unlink):
        spoil()
        assert tick(made)[1] == "Stale: core/manifest up_to_date. Launch the job redetect."
        assert colours(made)[:2] == ["green", "green"]
        found = evaluation(made, MANIFEST, "up_to_date")
        assert str(found.metadata["cannot_be_read"].value).startswith(f"{pointer}: is ")
        redetect(made)
        assert pointer.read_bytes() == current
        assert colours(made) == ["green"] * 3


def test_redetect_makes_what_the_assets_make(made: Platform) -> None:
    made.overrides["detectors"] = LOWER
    redetect(made)
    tables = [made.lake.master, *made.lake.shards.glob("symbol=*.parquet")]
    by_job = {path: pl.read_parquet(path, hive_partitioning=False) for path in tables}
    versions = {asset: version_of(made, asset) for asset in (MASTER, MANIFEST)}
    made.overrides["detectors"] = {}
    redetect(made)
    assert stale(made) == {}
    assert not pl.read_parquet(made.lake.master).equals(by_job[made.lake.master])
    made.overrides["detectors"] = LOWER
    made.run("event_shards", **ALL)
    made.run("master_events", ["core", "manifest"])
    for path in tables:
        assert pl.read_parquet(path, hive_partitioning=False).equals(by_job[path]), path
    assert {asset: version_of(made, asset) for asset in (MASTER, MANIFEST)} == versions


def version_of(platform: Platform, asset: dg.AssetKey) -> str:
    event = platform.instance.get_latest_materialization_event(asset)
    assert event is not None
    assert event.asset_materialization is not None
    return (event.asset_materialization.tags or {})["dagster/data_version"]


def test_shards_that_are_newer_than_master_make_it_stale(made: Platform) -> None:
    cursor, _ = tick(made)
    made.overrides["detectors"] = LOWER
    made.run("event_shards", **ALL)
    cursor, message = tick(made, cursor)
    assert colours(made) == ["green", "yellow", "yellow"]
    assert message == "Stale: master_events shards_current, core/manifest up_to_date. Launch the job redetect."
    examples = evaluation(made, *SHOWN[1]).metadata["examples"]
    assert isinstance(examples, dg.TableMetadataValue)
    assert {record.data["reason"] for record in examples.records} == {"MASTER was built from other events"}
    made.run("master_events")
    tick(made, cursor)
    assert colours(made) == ["green", "green", "yellow"]


def test_the_sensor_reports_only_what_changed(made: Platform) -> None:
    key = dg.AssetCheckKey(*SHOWN[0])
    storage = made.instance.event_log_storage

    def reported() -> int:
        return len(storage.get_asset_check_execution_history(key, limit=50))

    cursor, _ = tick(made)
    count = reported()
    # a shard is published again, with the same events: checked, and nothing to report
    path = made.lake.shard(FIRST)
    footer = pl.read_parquet_metadata(path)["smallcaps"]
    pl.read_parquet(path, hive_partitioning=False).write_parquet(path, metadata={"smallcaps": footer})
    cursor, message = tick(made, cursor)
    assert message != "Nothing changed."
    assert reported() == count
    assert json.loads(cursor or "{}")["results"]["event_shards current_settings"] == [True, 0]
    made.overrides["detectors"] = LOWER
    tick(made, cursor)
    assert reported() == count + 1


def test_the_sensor_notices_a_detection_that_changes_no_event(made: Platform) -> None:
    # no bar of the market rises so much
    made.overrides["detectors"] = {"price_momentum": {"up_min_return": 9.0}}
    made.run("event_shards", **ALL)
    made.overrides["detectors"] = {"price_momentum": {"up_min_return": 9.5}}
    cursor, _ = tick(made)
    assert colours(made)[0] == "yellow"
    before = files_below(made.lake.shards)
    made.run("event_shards", **ALL)
    assert files_below(made.lake.shards) == before, "with other events this shows nothing"
    assert tick(made, cursor)[1] != "Nothing changed."


def test_on_an_empty_lake_the_sensor_reports_nothing(tmp_path: Path, sites: Sites) -> None:
    for platform in sites.opened(tmp_path / "state"):
        assert tick(platform)[1] == "Made with the settings in force."
        keys = [dg.AssetCheckKey(*one) for one in SHOWN]
        assert not platform.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)


def test_a_symbol_that_cannot_be_detected_keeps_master_as_it_was(made: Platform) -> None:
    before = made.lake.master.read_bytes()
    cursor, _ = tick(made)
    made.overrides["detectors"] = LOWER
    month = next(made.lake.minute_bars.rglob(f"*{FIRST}*/**/*.parquet"))
    month.write_bytes(b"no parquet")
    assert FIRST in failure(redetect(made, fails=True))
    assert made.lake.master.read_bytes() == before
    assert made.materialized(SHARDS) == set(SYMBOLS_OF_MARKET)
    cursor, _ = tick(made, cursor)
    assert colours(made) == ["yellow"] * 3
    verdict = evaluation(made, *SHOWN[0]).metadata["verdict"].value
    assert verdict == "1 of 4 symbols were detected with other settings. Launch the job redetect."
