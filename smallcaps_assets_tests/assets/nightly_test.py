"""Nightly runs, as the schedule requests them, over HTTP, each test in a separate lake."""

import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._utils.schedules import schedule_execution_time_iterator
from polars.testing import assert_frame_equal

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.jobs import nightly_config
from smallcaps_assets.defs.partitions import SYMBOLS
from smallcaps_assets.defs.resources import LakeResource, SettingsResource
from smallcaps_assets.defs.schedules import SESSION_TAG, night_request
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_TABLES
from smallcaps_assets.settings.settings import PROFILES, load_settings
from smallcaps_assets_tests.assets.platform import (
    SYMBOLS_OF_MARKET,
    Platform,
    Sites,
    Template,
    by_path,
    failure,
    metadata_of,
    rows_of,
)
from smallcaps_assets_tests.assets.staleness_test import stale
from smallcaps_assets_tests.conftest import files_below
from smallcaps_assets_tests.scenarios import new_york

ONE_PLAN = "DAGSTER_EMIT_PARTITION_SUBSET_IN_PLANNED_EVENTS"
REPORT = "nightly_report"
BY_SYMBOL = ("minute_bars", "event_shards")
RESEARCH_FILES = {*SYMBOL_TABLES, "event_scores.parquet", "events_with_waves_enriched.parquet", *PROFILES}


@pytest.fixture
def fresh(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """An empty lake, with the settings that `smallcaps ui` uses."""
    monkeypatch.setenv(ONE_PLAN, "1")
    for platform in sites.opened():
        # the nights of most tests are those of people who only capture
        platform.overrides["research"] = {"enabled": False}
        yield platform


@pytest.fixture(scope="module")
def first_night(sites: Sites, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A universe, and what the night of 21 November made, for those who only capture."""

    def make(platform: Platform) -> None:
        platform.overrides["research"] = {"enabled": False}
        begin(platform)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ONE_PLAN, "1")
        with sites.template(tmp_path_factory.mktemp("night"), make) as template:
            patch.undo()
            yield template


@pytest.fixture
def begun(sites: Sites, first_night: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """After the night of 21 November, with the settings that `smallcaps ui` uses."""
    monkeypatch.setenv(ONE_PLAN, "1")
    yield from sites.copied(first_night, tmp_path / "state")


@pytest.fixture
def kept(tmp_path: Path, sites: Sites) -> Iterator[Platform]:
    """An empty lake with Dagster's state in a folder, as ticks need it."""
    yield from sites.opened(tmp_path / "state")


def resources(platform: Platform, at: datetime | None = None) -> dict[str, Any]:
    settings = load_settings(overrides=platform.overrides)
    when = at.isoformat() if at else None
    return {
        "settings": SettingsResource(document=settings.model_dump_json(), at=when),
        "lake": LakeResource(root=str(platform.root)),
    }


def tick(platform: Platform, at: str) -> dg.RunRequest | dg.SkipReason:
    """The result of the schedule at a New York time."""
    schedule = platform.definitions.get_repository_def().get_schedule_def("nightly")
    with dg.build_schedule_context(
        instance=platform.instance, scheduled_execution_time=new_york(at), resources=resources(platform)
    ) as context:
        result = schedule(context)
    assert isinstance(result, dg.RunRequest | dg.SkipReason)
    return result


def night(platform: Platform, session: str, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    """The night after a session, as the schedule requests it, before any later session."""
    platform.overrides["history"] = {"first_session": "2025-11-20", "last_session": session}
    platform.gate.requests.clear()
    settings = load_settings(overrides=platform.overrides)
    lake = LakeResource(root=str(platform.root))
    request = night_request(platform.instance, settings, lake, new_york(f"{session} 20:45"))
    assert isinstance(request, dg.RunRequest)
    assert (request.run_key, request.tags[SESSION_TAG]) == (session, session)
    result = platform.definitions.resolve_job_def("nightly").execute_in_process(
        instance=platform.instance, run_config=dict(request.run_config), tags=request.tags, raise_on_error=False
    )
    assert result.success != fails
    return result


def begin(platform: Platform) -> Platform:
    """With a universe, after the night of 21 November."""
    platform.overrides["history"] = {"first_session": "2025-11-20", "last_session": "2025-11-21"}
    platform.run("universe")
    night(platform, "2025-11-21")
    return platform


def master(platform: Platform) -> pl.DataFrame:
    return pl.read_parquet(platform.lake.master)


def report_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (metadata,) = metadata_of(result, REPORT).values()
    return {name: value.value for name, value in metadata.items()}


def colours(platform: Platform, asset: str) -> dict[str, str]:
    status = platform.instance.get_status_by_partition(dg.AssetKey(asset), SYMBOLS_OF_MARKET, SYMBOLS)
    assert status is not None
    return {symbol: state.name if state else "MISSING" for symbol, state in status.items()}


# ------------------------------------------------------------------------------------------------- when


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("2025-10-31 20:45", "2025-10-31"),  # summer time
        ("2025-11-03 20:45", "2025-11-03"),  # the first session of winter time
        ("2025-11-28 20:45", "2025-11-28"),  # half day
    ],
)
def test_each_session_has_one_nightly_run(kept: Platform, at: str, session: str) -> None:
    kept.overrides["history"] = {"first_session": "2025-10-20", "last_session": None}
    kept.run("universe")
    request = tick(kept, at)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == session
    assert request.run_config == nightly_config(load_settings(overrides=kept.overrides))
    bounds = {name.rpartition("_")[2]: key for name, key in request.tags.items() if "partition_range" in name}
    assert bounds == {"start": "AVLO", "end": "DRFT"}


@pytest.mark.parametrize(
    ("at", "history", "words"),
    [
        ("2025-11-27 20:45", {}, "Thursday 2025-11-27 has no session"),
        ("2025-11-29 20:45", {}, "Saturday 2025-11-29 has no session"),
        ("2025-11-26 20:45", {"last_session": "2025-11-25"}, "last_session is 2025-11-25: set it to null"),
        ("2025-11-26 20:45", {"first_session": "2025-12-01"}, "first_session is 2025-12-01"),
        ("2025-11-26 20:15", {}, "the session of 2025-11-26 is not over yet"),
        ("2025-11-26 20:45", {}, "no symbols yet: materialize the asset universe"),
    ],
)
def test_a_night_without_work_is_skipped_with_a_reason(
    kept: Platform, at: str, history: dict[str, str], words: str
) -> None:
    kept.overrides["history"] = {"first_session": "2025-10-20", "last_session": None} | history
    result = tick(kept, at)
    assert isinstance(result, dg.SkipReason)
    assert words in str(result.skip_message)


def test_a_night_does_not_start_before_the_last_one_is_finished(kept: Platform) -> None:
    kept.overrides["history"] = {"first_session": "2025-10-20", "last_session": None}
    kept.run("universe")
    run = create_run_for_test(kept.instance, job_name="nightly", status=dg.DagsterRunStatus.STARTED)
    result = tick(kept, "2025-11-26 20:45")
    assert isinstance(result, dg.SkipReason)
    assert run.run_id in str(result.skip_message)
    kept.instance.report_run_failed(run)
    assert isinstance(tick(kept, "2025-11-26 20:45"), dg.RunRequest)


def test_the_schedule_uses_new_york_time_and_is_off_by_default() -> None:
    definitions = build_defs(load_settings(overrides={"nightly": {"start": "21:05"}}))
    schedule = definitions.get_repository_def().get_schedule_def("nightly")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    ticks = schedule_execution_time_iterator(
        new_york("2025-11-01 12:00").timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    assert [f"{next(ticks):%Y-%m-%d %H:%M %z}" for _ in range(2)] == [
        "2025-11-01 21:05 -0400",
        "2025-11-02 21:05 -0500",
    ]


# ------------------------------------------------------------------------------------------------- what


def test_a_night_brings_everything_up_to_date_and_a_second_changes_nothing(begun: Platform) -> None:
    result = night(begun, "2025-11-24")
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    order = ["universe", "minute_bars", "event_shards", "master_events", "event_listings", "core__manifest", REPORT]
    assert [step for step in steps if step in order] == order
    assert sorted({path.split("/")[4] for path, _ in begun.gate.requests if "/aggs/" in path}) == SYMBOLS_OF_MARKET
    figures = report_of(result)
    assert (figures["session"], figures["sessions"], figures["symbol_sessions"]) == ("2025-11-24", 1, 4)
    assert (figures["symbols"], figures["symbols_behind"], figures["symbols_new"]) == (4, 0, 0)
    tables = master(begun)
    assert figures["master_rows"] == tables.height
    assert figures["events_detected"] == tables.filter(date="2025-11-24").height > 0
    assert {step.replace("__", "/").replace("_", " ") for step in order[:-1]} <= {
        step for step, _ in rows_of(figures["steps"])
    }
    before = {name: content for name, (_, content) in files_below(begun.root).items()}
    again = night(begun, "2025-11-24")
    assert begun.gate.requests == []
    # nothing changed: the records of the first night hold, which Dagster shows as up to date
    assert [by_symbol for asset in BY_SYMBOL if (by_symbol := metadata_of(again, asset))] == []
    assert stale(begun) == {}
    assert {name: content for name, (_, content) in files_below(begun.root).items()} == before
    assert report_of(again)["symbol_sessions"] == report_of(again)["events_detected"] == 0
    for profile in PROFILES:
        (metadata,) = metadata_of(again, profile, "manifest").values()
        assert metadata["unchanged"].value is True
    manifests = [f"{profile}/manifest" for profile in PROFILES]
    verdicts = {check.asset_key.to_user_string(): check.passed for check in again.get_asset_check_evaluations()
                if check.check_name == "up_to_date"}  # fmt: skip
    assert verdicts == dict.fromkeys(["minute_bars", "master_events", *manifests], True)


@pytest.mark.long
def test_catching_up_gives_the_same_as_every_night_and_as_one_full_detection(fresh: Platform, sites: Sites) -> None:
    for session in ("2025-11-24", "2025-11-26", "2025-11-28"):  # one of them also follows a missed Tuesday
        night(begin(fresh) if session == "2025-11-24" else fresh, session)
    for other in sites.opened():
        caught_up = night(begin(other), "2025-11-28")
        assert report_of(caught_up)["sessions"] == 4
        one_by_one, at_once = master(fresh), master(other)
        assert one_by_one["event_id"].to_list() == at_once["event_id"].to_list()
        assert one_by_one["date"].max() == "2025-11-28"
        assert_frame_equal(one_by_one, at_once, rel_tol=1e-9, abs_tol=1e-9)
        for profile in PROFILES:
            chosen = [ManifestStore.in_lake(lake, profile).load() for lake in (fresh.lake, other.lake)]
            assert_frame_equal(*chosen, rel_tol=1e-9, abs_tol=1e-9)
        shutil.rmtree(other.lake.shards)
        other.run("event_shards", first="AVLO", last="DRFT")
        other.run("master_events")
        assert_frame_equal(one_by_one, master(other), rel_tol=1e-9, abs_tol=1e-9)


def test_a_failed_symbol_stops_no_other_and_is_repaired_by_the_next_night(begun: Platform) -> None:
    by_path(begun, "ticker/BNRX")
    result = night(begun, "2025-11-24", fails=True)
    message = failure(result)
    for words in ("1 of 4 symbols are behind", "BNRX: 1 session missing, 0 not detected", "out of order"):
        assert words in message
    assert colours(begun, "minute_bars") == dict.fromkeys(SYMBOLS_OF_MARKET, "MATERIALIZED") | {"BNRX": "FAILED"}
    assert set(colours(begun, "event_shards").values()) == {"MATERIALIZED"}
    newest = dict(master(begun).group_by("symbol").agg(pl.col("date").max()).iter_rows())
    assert newest.pop("BNRX") < "2025-11-24"
    assert "2025-11-24" in newest.values()
    for profile in PROFILES:
        sidecar = ManifestStore.in_lake(begun.lake, profile).sidecar()
        assert sidecar["manifest_id"] == metadata_of(result, profile, "manifest")[None]["manifest_id"].value
    figures = report_of(result)
    assert (figures["symbols_behind"], figures["symbol_sessions"]) == (1, 3)
    (row,) = pl.read_parquet(begun.root / "reports" / "nightly.parquet").to_dicts()
    assert (row["symbol"], row["first_missing"]) == ("BNRX", date(2025, 11, 24))
    begun.gate.rule = lambda path, query: None  # noqa: ARG005
    repaired = night(begun, "2025-11-25")
    assert report_of(repaired)["symbol_sessions"] == 5
    assert set(colours(begun, "minute_bars").values()) == {"MATERIALIZED"}
    assert pl.read_parquet(begun.root / "reports" / "nightly.parquet").is_empty()


@pytest.mark.long
def test_a_symbol_whose_file_is_damaged_stops_no_other(begun: Platform) -> None:
    (begun.lake.bars("CRVO") / "2025-11.parquet").write_bytes(b"PAR1 no more")
    message = failure(night(begun, "2025-11-24", fails=True))
    assert "1 of 4 symbols are behind" in message
    assert "CRVO" in message.split("\n")[1]
    assert "2025-11.parquet: cannot be read" in message
    for asset in ("minute_bars", "event_shards"):
        assert colours(begun, asset) == dict.fromkeys(SYMBOLS_OF_MARKET, "MATERIALIZED") | {"CRVO": "FAILED"}
    assert master(begun)["date"].max() == "2025-11-24"


@pytest.mark.long
def test_a_symbol_that_joins_in_a_night_is_fetched_in_the_next(fresh: Platform) -> None:
    fresh.overrides["universe"] = {"symbols": ["AVLO", "BNRX"]}
    begin(fresh)
    fresh.overrides["universe"] = {"symbols": ["AVLO", "BNRX", "CRVO"]}
    figures = report_of(night(fresh, "2025-11-24"))
    assert (figures["symbols"], figures["symbols_new"], figures["new symbols next night"]) == (2, 1, "CRVO")
    assert report_of(night(fresh, "2025-11-25"))["symbols"] == 3
    assert "CRVO" in set(master(fresh)["symbol"])


# ------------------------------------------------------------------------------------------------- research


@pytest.mark.long
def test_a_night_makes_the_research_tables_after_the_manifests_and_names_what_failed_of_them(fresh: Platform) -> None:
    fresh.overrides["research"] = {"enabled": True}
    by_path(fresh, "/reference/conditions", status=404)
    begin(fresh)
    assert {path.name for path in (fresh.root / "research").iterdir()} == RESEARCH_FILES
    assert pl.read_parquet(fresh.lake.research_table("research_table", "plus"))["close"].null_count() == 0
    # what cannot be written fails its symbol or its table, and nothing else
    for path in (fresh.lake.research_symbol("halts", "CRVO"), fresh.lake.research_table("event_scores")):
        path.unlink()
        path.mkdir()
    failed = night(fresh, "2025-11-24", fails=True)
    said = failure(failed)
    assert said.startswith("CaptureIncomplete: Not all research tables are up to date; bars, events, MASTER")
    # the enriched events come last: nothing of a night is made from them
    joined = ["event_scores", *(f"{profile}/research_table" for profile in PROFILES), "events_with_waves_enriched"]
    for words in ("\nCRVO: ", f"\n{', '.join(joined)}: "):
        assert words in said
    assert report_of(failed)["symbols_behind"] == 0
    steps = [event.step_key for event in failed.all_events if event.is_step_start]
    assert steps[-1] == REPORT
    assert steps.index("symbol_research") > max(steps.index(f"{profile}__manifest") for profile in PROFILES)
    assert colours(fresh, "event_bar_features") == dict.fromkeys(SYMBOLS_OF_MARKET, "MATERIALIZED") | {"CRVO": "FAILED"}
    assert set(master(fresh)["date"]) >= {"2025-11-24"}


def test_nights_of_those_who_only_capture_make_no_research_tables(fresh: Platform) -> None:
    selected = fresh.definitions.resolve_job_def("nightly").asset_layer.selected_asset_keys
    assert {key.to_user_string() for key in selected} == {
        *("listings", "universe", "minute_bars", "event_shards", "master_events", "event_listings", REPORT),
        *(f"{profile}/manifest" for profile in PROFILES),
    }
