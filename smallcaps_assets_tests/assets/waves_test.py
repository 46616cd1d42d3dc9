"""The job that captures wave after wave, and the sensor that starts it after a night."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import create_run_for_test

from smallcaps_assets.defs.assets.nightly import research_problems
from smallcaps_assets.defs.assets.profile_tables import step_of
from smallcaps_assets.defs.checks.tape_research import TAPE_RESEARCH_CHECKS
from smallcaps_assets.defs.checks.texts import EMPTY_WINDOWS, KPI_CHECKS
from smallcaps_assets.defs.partitions import TAPE_PARTITIONS, tape_key
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.domain.tables import WAVES
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.symbol_paths import symbol_of
from smallcaps_assets.pipeline.research.joined_outcomes import JOINED_OF_PROFILES
from smallcaps_assets.pipeline.research.registry_check import REGISTRY_COMPLETE
from smallcaps_assets.pipeline.research.tape.tape_parts import ASSET_TABLES
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import PROFILE
from smallcaps_assets_tests.assets.platform import SYMBOLS_OF_MARKET, Platform, by_path, failure
from smallcaps_assets_tests.assets.staleness_test import stale
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import flip_bit


def at_night(platform: Platform) -> Platform:
    """Nights capture premium."""
    platform.overrides |= {"active_profile": PROFILE, "nightly": {"capture_requests": 4}}
    assert set(manifest(platform)["session"]) == set(WAVES), "every wave, or these tests show nothing"
    return platform


@pytest.fixture
def planned(planned: Platform) -> Platform:
    """A manifest of premium with events in every wave, and no tape yet."""
    return at_night(planned)


@pytest.fixture
def kept(planned_in_folder: Platform) -> Platform:
    """The same with Dagster's state in a folder, as sensors need it."""
    return at_night(planned_in_folder)


def manifest(platform: Platform) -> pl.DataFrame:
    return ManifestStore.in_lake(platform.lake, PROFILE).load()


def ledger(platform: Platform) -> pl.DataFrame:
    return pl.read_parquet(platform.lake.ledger(PROFILE))


def waves(platform: Platform, *, fails: bool = False, **config: Any) -> dg.ExecuteInProcessResult:
    definitions = platform.definitions
    job = definitions.resolve_job_def(f"{PROFILE}_waves")
    result = job.execute_in_process(instance=platform.instance, run_config=config, raise_on_error=False)
    assert result.success != fails
    return result


def requested(platform: Platform) -> list[tuple[str, str]]:
    """Kind and symbol of every request for tape, in order."""
    paths = [path.split("/") for path, _ in platform.gate.requests if path.startswith("/v3/")]
    return [(path[2], path[3]) for path in paths]


def reds(platform: Platform, kind: str) -> dict[str, set[str]]:
    """Partitions by the state that the web UI shows."""
    keys: Sequence[str] = [tape_key(symbol, wave) for symbol in SYMBOLS_OF_MARKET for wave in WAVES]
    status = platform.instance.get_status_by_partition(
        dg.AssetKey([PROFILE, f"tape_{kind}"]), keys, TAPE_PARTITIONS
    ) or dict.fromkeys(keys)
    shown: dict[str, set[str]] = {"MATERIALIZED": set(), "FAILED": set(), "MISSING": set()}
    for key, state in status.items():
        shown[state.name if state else "MISSING"].add(str(key))
    return shown


def figures_of(result: dg.ExecuteInProcessResult, table: str) -> Mapping[str, dg.MetadataValue[Any]]:
    """The metadata with which a run recorded a table without partitions."""
    (shown,) = (
        event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == table
    )
    return shown


EVERYTHING = {str(tape_key(symbol, wave)) for symbol in SYMBOLS_OF_MARKET for wave in WAVES}


def test_research_follows_each_wave_unless_it_is_switched_off_and_costs_no_capture(planned: Platform) -> None:
    planned.overrides |= {"research": {"enabled": False}}
    waves(planned)
    assert not planned.lake.research.exists()
    planned.overrides |= {"research": {"enabled": True}}
    planned.lake.trade_conditions.parent.mkdir(exist_ok=True)
    planned.lake.trade_conditions.write_bytes(b"no table")
    broken = waves(planned, fails=True)
    error = failure(broken)
    assert "3 parts of research failed; everything else is published" in error
    assert str(planned.lake.trade_conditions) in error
    assert set(ledger(planned)["state"]) <= {"complete", "empty", "trades_only", "quotes_only"}
    planned.lake.trade_conditions.unlink()
    planned.gate.requests.clear()
    mended = waves(planned)
    assert requested(planned) == []
    recorded = {(event.asset_key.path[-1], event.partition) for event in mended.get_asset_materialization_events()}
    with_events = {str(tape_key(*pair)) for pair in manifest(planned).select("symbol", "session").iter_rows()}
    for asset in ASSET_TABLES:
        assert {partition for name, partition in recorded if name == asset} == with_events
    joined = ("research_table", "event_costs", "research_labels", "events_with_waves_enriched", "cohorts")
    assert {(name, None) for name in joined} <= recorded
    shown = figures_of(mended, "research_table")
    assert {
        "spread bps RTH",
        "opening book pct",
        *(f"picture/{name}" for name in ("spread", "speed", "imbalance")),
    } <= set(shown)
    checks = {
        (check.asset_key.path[-1], check.check_name): check.passed for check in mended.get_asset_check_evaluations()
    }
    assert {checks[asset, name] for asset, names in TAPE_RESEARCH_CHECKS.items() for name in names} == {True}
    for name in JOINED_OF_PROFILES:
        assert checks[name, REGISTRY_COMPLETE]
    captured = ledger(planned).filter(state="complete")["event_id"]
    micro = pl.concat(map(pl.read_parquet, planned.lake.research.rglob("micro_features/*/*.parquet")))
    assert set(captured) <= set(micro["event_id"])


@pytest.mark.long
def test_the_table_of_a_profile_brings_its_parts_up_to_date_and_names_what_failed_of_them(planned: Platform) -> None:
    waves(planned)
    planned.gate.requests.clear()
    table, micro = [PROFILE, "research_table"], planned.lake.research / PROFILE / "micro_features"
    parts = {path: path.read_bytes() for path in micro.rglob("*.parquet")}
    for path in parts:
        path.unlink()
    result = planned.run(table)
    assert {path: path.read_bytes() for path in micro.rglob("*.parquet")} == parts
    recorded = {(event.asset_key.path[-1], event.partition) for event in result.get_asset_materialization_events()}
    keys = {str(tape_key(symbol_of(path.stem), path.parent.name.removeprefix("wave="))) for path in parts}
    assert recorded == {("micro_features", key) for key in keys} | {("research_table", None)}
    # nothing changed: nothing but the table is recorded
    again = planned.run(table).get_asset_materialization_events()
    assert [event.asset_key.path[-1] for event in again] == ["research_table"]
    damaged = max((planned.root / "tape" / PROFILE / "trades").rglob("*.parquet"), key=lambda path: path.stat().st_size)
    flip_bit(damaged)
    for path in parts:
        path.unlink()
    night = planned.run(table, config={step_of(PROFILE): {"go_on": True}})
    assert ("research_table", None) in {
        (event.asset_key.path[-1], event.partition) for event in night.get_asset_materialization_events()
    }
    (named,) = research_problems(planned.instance, night.run_id, [])
    assert named.startswith(f"{PROFILE}/research_table: ")
    assert "of the research of tape failed; everything else is published" in named
    assert str(damaged) in named
    planned.overrides |= {"research": {"enabled": False}}
    assert planned.run(table).success, "those who only capture are not told"
    assert requested(planned) == []


def test_waves_run_in_order_and_trades_before_quotes(planned: Platform) -> None:
    result = waves(planned)
    assert [event.step_key for event in result.all_events if event.is_step_success] == [*WAVES, "report"]
    assert [kind for kind, _ in groupby(requested(planned), key=lambda one: one[0])] == ["trades", "quotes"] * 3
    wave_of = {
        (row["symbol"], int(row["timestamp"].timestamp()) // 60): row["session"] for row in manifest(planned).to_dicts()
    }
    seen = []
    for path, query in planned.gate.requests:
        if "timestamp.gte" in query and "/trades/" in path:
            start, end = (int(query[f"timestamp.{bound}"]) // (60 * 10**9) for bound in ("gte", "lt"))
            symbol = path.split("/")[3]
            seen.append(next(wave for (name, at), wave in wave_of.items() if name == symbol and start <= at < end))
    assert [wave for wave, _ in groupby(seen)] == list(WAVES)
    assert set(ledger(planned)["state"]) <= {"complete", "empty", "trades_only", "quotes_only"}
    for kind in ("trades", "quotes"):
        assert reds(planned, kind)["MATERIALIZED"] == EVERYTHING
    for name in ("capture_ledger", "capture_report"):
        event = planned.instance.get_latest_materialization_event(dg.AssetKey([PROFILE, name]))
        assert event is not None
        assert event.run_id == result.run_id
    checks = {
        check.check_name: check.passed
        for check in result.get_asset_check_evaluations()
        if check.asset_key == dg.AssetKey([PROFILE, "capture_report"])
    }
    assert checks == dict.fromkeys((*KPI_CHECKS, EMPTY_WINDOWS), True)
    before = files_below(planned.root / "tape" / PROFILE / "trades")
    planned.gate.requests.clear()
    again = waves(planned)
    assert requested(planned) == []
    assert files_below(planned.root / "tape" / PROFILE / "trades") == before
    recorded = [event.partition for event in again.get_asset_materialization_events() if event.partition]
    assert recorded == [], "what is green and had nothing to fetch is not recorded again"


@pytest.mark.long
def test_after_another_manifest_all_is_shown_as_fresh_and_after_the_same_one_nothing_is_recorded(
    kept: Platform,
) -> None:
    def recorded() -> set[tuple[str, str]]:
        made = waves(kept).get_asset_materialization_events()
        return {(event.asset_key.path[-1], event.partition) for event in made if event.asset_key and event.partition}

    waves(kept)
    kept.gate.requests.clear()
    with_events = {str(tape_key(*pair)) for pair in manifest(kept).select("symbol", "session").iter_rows()}
    of_tape = {(f"tape_{kind}", key) for kind in ("trades", "quotes") for key in EVERYTHING}
    of_research = {(asset, key) for asset in ASSET_TABLES for key in with_events}
    kept.run([PROFILE, "manifest"])
    assert recorded() == set(), "the manifest was recorded again, and says the same"
    assert stale(kept, PROFILE) == {}
    best = manifest(kept).height - 1
    kept.overrides |= {"profiles": {PROFILE: {"max_events": best}}}
    kept.run([PROFILE, "manifest"])
    assert manifest(kept).height == best
    partitions = {name.rpartition(" ")[2] for name in stale(kept, PROFILE) if "tape_trades" in name}
    assert partitions == EVERYTHING, "each was complete under the former manifest"
    assert recorded() == of_tape | of_research
    assert stale(kept, PROFILE) == {}
    assert recorded() == set()
    assert requested(kept) == []


def test_a_failed_window_stops_no_later_wave_and_is_shown_as_failed(planned: Platform) -> None:
    victim = str(manifest(planned).filter(session="PM")["symbol"][0])
    by_path(planned, f"quotes/{victim}")
    message = failure(waves(planned, fails=True))
    for words in ("CaptureIncomplete", "spans failed", f"quotes/{victim}", f"{PROFILE}_waves again", "out of order"):
        assert words in message
    of_victim = {str(tape_key(victim, wave)) for wave in set(manifest(planned).filter(symbol=victim)["session"])}
    assert reds(planned, "quotes") == {
        "MATERIALIZED": EVERYTHING - of_victim, "FAILED": of_victim, "MISSING": set()
    }  # fmt: skip
    assert reds(planned, "trades")["MATERIALIZED"] == EVERYTHING
    assert set(ledger(planned).filter(symbol=victim)["state"]) == {"failed"}
    planned.gate.rule = lambda path, query: None  # noqa: ARG005
    planned.gate.requests.clear()
    waves(planned)
    assert set(requested(planned)) == {("quotes", victim)}
    assert reds(planned, "quotes")["MATERIALIZED"] == EVERYTHING


@pytest.mark.long
def test_no_window_is_started_beyond_the_request_budget(planned: Platform) -> None:
    result = waves(planned, max_requests=5)
    assert len(requested(planned)) == 5
    figures = {
        event.asset_key.path[-1]: event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key and not event.partition
    }["capture_report"]
    assert figures["requests_of_run"].value == 5
    left = sum(int(value.value) for name, value in figures.items() if name.startswith("left/"))
    states = dict(ledger(planned).group_by("state").len().iter_rows())
    assert states["missing"] > 0
    assert "failed" not in states
    assert not any(reds(planned, kind)["FAILED"] for kind in ("trades", "quotes"))
    assert reds(planned, "quotes")["MISSING"]
    planned.gate.requests.clear()
    waves(planned)
    assert len(requested(planned)) == left > 0
    assert "missing" not in set(ledger(planned)["state"])


def test_a_trial_captures_only_the_best(planned: Platform) -> None:
    waves(planned, best=1)
    assert len(requested(planned)) == 2
    (best,) = ledger(planned).filter(pl.col("state") != "missing")["event_id"]
    assert best == manifest(planned)["event_id"][0]


# ------------------------------------------------------------------------------------------------- after a night


def look(platform: Platform, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    settings = load_settings(overrides=platform.overrides)
    sensor = platform.definitions.get_repository_def().get_sensor_def("nightly_capture")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    resources: dict[str, object] = {
        "settings": SettingsResource(document=settings.model_dump_json()),
        "lake": LakeResource(root=str(platform.root)),
    }
    with dg.build_sensor_context(instance=platform.instance, cursor=cursor, resources=resources) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


@pytest.mark.long
def test_after_a_night_the_new_windows_are_captured_once_within_the_budget(kept: Platform) -> None:
    result = look(kept)
    assert isinstance(result, dg.SkipReason)
    assert "No nightly run has built" in str(result.skip_message)
    definitions = kept.definitions
    definitions.resolve_job_def("nightly").execute_in_process(
        instance=kept.instance,
        tags={"dagster/asset_partition_range_start": "AVLO", "dagster/asset_partition_range_end": "DRFT"},
    )
    running = create_run_for_test(kept.instance, job_name="nightly", status=dg.DagsterRunStatus.STARTED)
    result = look(kept)
    assert isinstance(result, dg.SkipReason)
    assert "not finished yet" in str(result.skip_message)
    kept.instance.delete_run(running.run_id)
    result = look(kept)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or []
    assert (request.run_key, request.run_config) == ("2025-11-28", {"max_requests": 4})
    kept.gate.requests.clear()
    waves(kept, **request.run_config)
    assert len(requested(kept)) == 4
    result = look(kept, result.cursor)
    assert isinstance(result, dg.SkipReason)
    assert "2025-11-28 was already launched" in str(result.skip_message)
