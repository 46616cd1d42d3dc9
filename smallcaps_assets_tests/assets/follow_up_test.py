"""Profile plus, whose events are selected by winning cohorts of core, materialized on a small lake."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster as dg
import polars as pl
import pytest

from smallcaps_assets.definitions import build_defs
from smallcaps_assets.defs.checks.texts import COHORTS_KEPT, FOLLOW_UP_CHECKS, MANIFEST_CHECKS
from smallcaps_assets.defs.metadata.entries import COLUMNS_BELOW
from smallcaps_assets.defs.resources import LakeResource
from smallcaps_assets.defs.schedules import night_request
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST, MANIFEST
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.verification.lake_files import verify_files
from smallcaps_assets.pipeline.research.bars.symbol_tables import SYMBOL_ASSETS
from smallcaps_assets.settings.settings import load_settings
from smallcaps_assets_tests.assets.conftest import ALL
from smallcaps_assets_tests.assets.platform import Platform, Sites, failure, metadata_of, rows_of
from smallcaps_assets_tests.assets.redetection_test import evaluation, tick
from smallcaps_assets_tests.scenarios import new_york

AS_OF: Final = "2025-12-01"
PLUS: Final = ("plus", "manifest")
COHORTS: Final = ("core", "cohorts")
# four symbols on a few days: what wins is decided by the later dates alone
EASY: Final = {
    "cohort_test_min_events": 1,
    "cohort_test_min_days": 2,
    "cohort_max_q": 1.0,
    "cohort_min_mean_bps": -10_000.0,
    "cohort_min_symbols": 1,
    "cohort_max_symbol_share": 1.0,
    "cohort_confirm_min_events": 1,
}


@pytest.fixture
def lake(sites: Sites) -> Iterator[Platform]:
    """Bars and events of sessions before and after the as_of, and their labels."""
    for platform in sites.opened():
        platform.overrides["history"] = {"first_session": "2025-11-20", "last_session": "2025-12-01"}
        platform.overrides["profiles"] = {"plus": {"cohorts": {"as_of": AS_OF}}}
        learn(platform, 0.0)
        platform.run("universe")
        detect(platform)
        yield platform


def learn(platform: Platform, cost_bps: float) -> None:
    """As when costs become known that were not: all cohorts are others."""
    platform.overrides["research"] = {**EASY, "cost_bps_default": cost_bps}


def detect(platform: Platform) -> None:
    platform.run("minute_bars", **ALL)
    platform.run("event_shards", **ALL)
    platform.run("master_events")
    platform.run(*SYMBOL_ASSETS, **ALL)


def make_cohorts(platform: Platform) -> pl.DataFrame:
    platform.run(["core", "event_costs"], COHORTS)
    return pl.read_parquet(platform.lake.research_table("cohorts", "core"))


def select(platform: Platform, **config: Any) -> tuple[dict[str, Any], pl.DataFrame, dict[str, Any]]:
    """Materialize the manifest of plus: its sidecar, rows and metadata."""
    result = platform.run(PLUS, config={"plus__manifest": config} if config else None)
    (shown,) = metadata_of(result, *PLUS).values()
    rows, sidecar = ManifestStore.in_lake(platform.lake, "plus").current()
    return sidecar, rows, {name: value.value for name, value in shown.items()} | {"of": shown["winning_cohorts"]}


@pytest.mark.long
def test_winning_cohorts_select_the_events_of_plus_and_stay_those_that_first_did(lake: Platform) -> None:
    assert "research/core/cohorts.parquet" in failure(lake.run(PLUS, fails=True))
    cohorts = make_cohorts(lake)
    at = cohorts.filter(pl.col("as_of").cast(pl.String) == AS_OF, selection="causal", label_spec="15,1,1")
    winning = at.filter("winning")["cohort_id"].sort().to_list()
    assert winning
    sidecar, rows, shown = select(lake)
    assert rows.schema == FOLLOW_UP_MANIFEST
    assert sorted(sidecar["cohorts"]["winning"]) == winning
    assert set(rows["cohort_id"]) <= set(winning)
    # events of December were selected by what was known when it began
    assert rows.filter(pl.col("date") >= AS_OF).height > 0
    in_sample = rows.filter("in_selection_sample")
    assert 0 < in_sample.height < rows.height
    assert in_sample["date"].max() < AS_OF
    assert shown["verdict"].startswith(f"Selected by the cohorts of core at {AS_OF} (15,1,1): ")
    assert {name for name, *_ in rows_of(shown["of"])} <= set(winning)
    assert shown["cohorts"] == "They are as they were when they first selected events."
    assert verify_files(lake.lake).findings == ()
    # what is learned later changes the cohorts of the past, and selects nothing else
    learn(lake, 100.0)
    later = make_cohorts(lake)
    assert not later.equals(cohorts)
    again, same, shown = select(lake)
    assert (again["manifest_id"], shown["unchanged"]) == (sidecar["manifest_id"], True)
    assert same.equals(rows)
    assert shown["cohorts"].startswith(
        f"The cohorts of core at {AS_OF} (15,1,1) have changed since they first selected"
    )
    assert check_of_cohorts(lake) == (False, shown["cohorts"])
    # a later session adds its events; those of the past stay
    lake.overrides["history"]["last_session"] = "2025-12-02"
    detect(lake)
    make_cohorts(lake)
    grown, more, _ = select(lake)
    assert grown["cohorts"] == sidecar["cohorts"]
    assert set(more.filter(pl.col("date") < "2025-12-02")["event_id"]) == set(rows["event_id"])
    assert more.filter(date="2025-12-02").height > 0
    # until one asks for it
    renewed, others, shown = select(lake, renew_cohorts=True)
    assert renewed["cohorts"]["sha256"] != sidecar["cohorts"]["sha256"]
    assert shown["cohorts"] == "They are as they were when they first selected events."
    assert check_of_cohorts(lake) == (True, "Passed.")
    assert set(others["cohort_id"]) <= set(renewed["cohorts"]["winning"])
    assert len(list(lake.lake.manifests("plus").glob("cohorts_20251201_*.parquet"))) == 2
    learned = pl.read_parquet(lake.lake.research_table("cohorts", "core"))
    assert renewed["cohorts"]["winning"] == learned_winning(learned)


def learned_winning(cohorts: pl.DataFrame) -> list[str]:
    at = cohorts.filter(pl.col("as_of").cast(pl.String) == AS_OF, selection="causal", label_spec="15,1,1")
    return at.filter("winning").sort("cohort_id")["cohort_id"].to_list()


def check_of_cohorts(platform: Platform) -> tuple[bool, str | None]:
    checks = platform.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=platform.instance, asset_selection=[dg.AssetKey(PLUS)]
    )
    (found,) = (one for one in checks.get_asset_check_evaluations() if one.check_name == COHORTS_KEPT)
    return found.passed, found.description


@pytest.mark.long
def test_core_learns_from_its_tape_and_plus_captures_what_paid(tmp_path: Path, sites: Sites) -> None:
    """One lake: tape of core, labels with costs, cohorts, manifest and tape of plus, its research table, a night."""
    for platform in sites.opened(tmp_path / "state"):
        platform.overrides["history"] = {"first_session": "2025-11-20", "last_session": "2025-12-01"}
        platform.overrides["profiles"] = {"plus": {"cohorts": {"as_of": AS_OF}}}
        platform.overrides["research"] = EASY
        platform.run("universe")
        detect(platform)
        platform.run("event_scores", ["core", "manifest"])
        capture(platform, "core")
        captured_costs_alone_select_nothing(platform)
        learn(platform, 30.0)
        cohorts = make_cohorts(platform)
        assert cohorts.filter(selection="causal")["costed_share"].unique().to_list() == [1.0]
        # they are kept: what is learned later selects when it is asked for
        assert select(platform)[1].height == 0
        sidecar, rows, _ = select(platform, renew_cohorts=True)
        assert set(rows["cohort_id"]) <= set(sidecar["cohorts"]["winning"])
        capture(platform, "plus")
        check_was_winning(platform, rows)
        assert verify_files(platform.lake).findings == ()
        a_night_and_a_redetection_keep_the_selection(platform, sidecar)


def capture(platform: Platform, profile: str) -> None:
    """Every wave, ledger, report and research of a profile, as its job makes them."""
    job = platform.definitions.resolve_job_def(f"{profile}_waves")
    assert job.execute_in_process(instance=platform.instance).success
    states = set(pl.read_parquet(platform.lake.ledger(profile))["state"])
    assert states <= {"complete", "empty", "trades_only", "quotes_only"}


def captured_costs_alone_select_nothing(platform: Platform) -> None:
    """Without a default cost only captured events count: their cohorts win, and say that they select nothing."""
    published = pl.read_parquet(platform.lake.research_table("cohorts", "core"))
    at = published.filter(pl.col("as_of").cast(pl.String) == AS_OF, selection="causal", label_spec="15,1,1")
    won = at.filter("winning")
    assert won.height > 0
    assert (won["costed_share"] < 0.8).all()
    sidecar, rows, shown = select(platform)
    assert (rows.height, sidecar["cohorts"]["withheld"]) == (0, won["cohort_id"].sort().to_list())
    assert "no event, because costs are known of too few labels (research.cohort_min_costed_share)" in shown["verdict"]


def check_was_winning(platform: Platform, rows: pl.DataFrame) -> None:
    """What selected an event is what was known of it; before the first as_of nothing was."""
    table = pl.read_parquet(platform.lake.research_table("research_table", "plus"))
    was = table.select("event_id", "cohort_was_winning").join(rows.select("event_id", "date"), on="event_id")
    assert was.height == rows.height > 0
    known = was.select(was=pl.when(pl.col("date") >= AS_OF).then(pl.lit(value=True)))["was"]
    assert known.drop_nulls().len() > 0
    assert was["cohort_was_winning"].equals(known, check_names=False)
    # by the cohorts of core: those of plus are made of the events that these selected
    core = pl.read_parquet(platform.lake.research_table("cohorts", "core"))
    assert not pl.read_parquet(platform.lake.research_table("cohorts", "plus")).equals(core)
    record = platform.instance.get_latest_materialization_event(dg.AssetKey(["plus", "research_table"]))
    assert record
    assert record.asset_materialization
    assert "dagster/input_data_version/core/cohorts" in (record.asset_materialization.tags or {})


def a_night_and_a_redetection_keep_the_selection(platform: Platform, sidecar: dict[str, Any]) -> None:
    cursor, message = tick(platform)
    assert message == "Made with the settings in force."
    assert evaluation(platform, dg.AssetKey(PLUS), COHORTS_KEPT).passed
    platform.overrides["history"] = {"first_session": "2025-11-20", "last_session": "2025-12-02"}
    settings = load_settings(overrides=platform.overrides)
    lake = LakeResource(root=str(platform.root))
    request = night_request(platform.instance, settings, lake, new_york("2025-12-02 20:45"))
    assert isinstance(request, dg.RunRequest)
    night = platform.definitions.resolve_job_def("nightly").execute_in_process(
        instance=platform.instance, run_config=dict(request.run_config), tags=request.tags
    )
    assert night.success
    rows, after = ManifestStore.in_lake(platform.lake, "plus").current()
    assert after["cohorts"] == sidecar["cohorts"]
    assert rows.filter(date="2025-12-02").height > 0
    (report,) = metadata_of(night, "nightly_report").values()
    assert report["sessions"].value == 1
    assert tick(platform, cursor)[1] == "Made with the settings in force."
    assert platform.definitions.resolve_job_def("redetect").execute_in_process(instance=platform.instance).success
    same = ManifestStore.in_lake(platform.lake, "plus").current()
    assert (same.sidecar["manifest_id"], same.sidecar["cohorts"]) == (after["manifest_id"], sidecar["cohorts"])


def test_only_a_profile_with_cohorts_depends_on_them() -> None:
    plain, follow_up = (
        build_defs(load_settings(overrides=overrides)).resolve_asset_graph()
        for overrides in ({}, {"profiles": {"plus": {"cohorts": {"as_of": AS_OF}}}})
    )
    # what was known of an event's cohort is asked of the cohorts that selected it
    table, own = dg.AssetKey(["plus", "research_table"]), dg.AssetKey(["plus", "cohorts"])
    key, premium, cohorts = dg.AssetKey(PLUS), dg.AssetKey(["premium", "manifest"]), dg.AssetKey(COHORTS)
    assert {own, cohorts} & plain.get(table).parent_keys == {own}
    assert {own, cohorts} & follow_up.get(table).parent_keys == {cohorts}
    master = dg.AssetKey("master_events")
    without = {master, dg.AssetKey("event_listings")}
    assert plain.get(key).parent_keys == without == follow_up.get(premium).parent_keys
    # no cycle: the cohorts of core come from no tape of plus
    assert follow_up.get(key).parent_keys == {*without, cohorts}
    names = {check.name for check in follow_up.get(key).check_keys}
    assert names == {*MANIFEST_CHECKS, *FOLLOW_UP_CHECKS}
    assert {check.name for check in plain.get(key).check_keys} == {*MANIFEST_CHECKS}
    for graph, columns in ((plain, MANIFEST), (follow_up, FOLLOW_UP_MANIFEST)):
        shown = graph.get(key).metadata[COLUMNS_BELOW]
        assert {column.name for column in shown.columns} >= set(columns)
        assert ("cohort_id" in graph.get(key).metadata["dagster/column_lineage"].deps_by_column) == (graph is follow_up)
