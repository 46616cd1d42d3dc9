"""Cohorts as they are published in a lake, what is shown and checked of them, and how they are read."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.defs.metadata.cohorts import cohorts_metadata
from smallcaps_assets.defs.metadata.entries import Metadata
from smallcaps_assets.domain.manifests.selection import Selection
from smallcaps_assets.domain.research.cohorts.cohorts import cohort_tables
from smallcaps_assets.domain.research.cohorts.follow_up import cohort_was_winning
from smallcaps_assets.domain.research.cohorts.ranking import name_cohort
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS
from smallcaps_assets.errors import InputError, LakeError
from smallcaps_assets.lake.cohorts import load_cohorts
from smallcaps_assets.lake.layout import Lake
from smallcaps_assets.lake.listings import ListingStore
from smallcaps_assets.lake.manifests import ManifestStore
from smallcaps_assets.lake.research import ResearchStore
from smallcaps_assets.pipeline.research.cohort_checks import (
    COSTS_KNOWN,
    FAMILY_SHOWN,
    NO_OWN_OUTCOME,
    checks_of_cohorts,
)
from smallcaps_assets.pipeline.research.cohort_source import CohortSource, source_of_cohorts, why_untested
from smallcaps_assets.pipeline.research.joined import JoinedResearch
from smallcaps_assets.pipeline.research.joined_cohorts import changes_of_cohorts, events_of_cohorts, publish_cohorts
from smallcaps_assets.research import open_lake
from smallcaps_assets_tests.conftest import LATER, event, files_below, manifest_of
from smallcaps_assets_tests.outcome_lake import fill_outcomes, forget_outcomes, outcomes_of_lake
from smallcaps_assets_tests.scenarios import default_settings, flip_bit
from smallcaps_assets_tests.unit.domain.listings.listing_scenes import listing, market
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import event_of, frame_of, random_events

FIRST = date(2024, 1, 20)
EVENTS = random_events(3_000, FIRST, 90, 3, flush=0.02)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with 3,000 events on 90 dates, of which flush in the first bucket pays."""
    return fill_outcomes(tmp_path / "lake", EVENTS)


def shown(lake: Lake, **changed: Any) -> Metadata:
    """The metadata of the published cohorts, as plain values."""
    outcomes = outcomes_of_lake(lake, **changed)
    source = source_of_cohorts(lake, "core", "15,1,1")
    metadata = cohorts_metadata(publish_cohorts(outcomes, "core"), source, outcomes.params, "core")
    return {name: getattr(value, "value", value) for name, value in metadata.items()}


def test_cohorts_of_a_lake_are_those_of_its_events(lake: Lake) -> None:
    outcomes = outcomes_of_lake(lake)
    made = publish_cohorts(outcomes, "core")
    events = events_of_cohorts(outcomes, "core")
    # the time bucket follows from the minute; everything else is as it was written
    assert_frame_equal(
        events.drop("time_bucket"), EVENTS.sort("event_id", "label_spec").drop("time_bucket"), rel_tol=1e-12
    )
    expected = cohort_tables(events, outcomes.params)
    assert_frame_equal(made.cohorts.rows, expected.cohorts)
    assert_frame_equal(pl.read_parquet(lake.research_table("cohorts", "core")), expected.cohorts)
    assert_frame_equal(pl.read_parquet(lake.research_table("cohort_members", "core")), expected.members)
    assert expected.members.height
    assert_frame_equal(load_cohorts(lake, "core"), expected.cohorts)


def test_nothing_is_made_again_until_an_input_changes(lake: Lake) -> None:
    outcomes = outcomes_of_lake(lake)
    first = publish_cohorts(outcomes, "core")
    before = files_below(lake.root)
    again = publish_cohorts(outcomes, "core")
    assert (first.cohorts.unchanged, again.cohorts.unchanged, again.members.unchanged) == (False, True, True)
    assert (again.cohorts.sha256, again.members.sha256) == (first.cohorts.sha256, first.members.sha256)
    assert files_below(lake.root) == before
    # a setting that decides them
    other = publish_cohorts(outcomes_of_lake(lake, cohort_max_q=0.2), "core")
    assert not other.cohorts.unchanged
    # costs that do
    costs = pl.read_parquet(lake.research_table("event_costs", "core"))
    ResearchStore(lake).publish(lake.research_table("event_costs", "core"), costs.head(2_000), {})
    fewer = publish_cohorts(outcomes, "core")
    assert not fewer.cohorts.unchanged
    assert fewer.cohorts.rows["n"].max() < first.cohorts.rows["n"].max()  # type: ignore[operator]  # numbers
    # one that is missing beside the other is made again
    lake.research_table("cohort_members", "core").unlink()
    assert publish_cohorts(outcomes, "core").members.rows.height == fewer.members.rows.height


def test_cohorts_are_of_events_whose_symbol_was_in_the_universe_on_their_date(lake: Lake) -> None:
    before = publish_cohorts(outcomes_of_lake(lake), "core")
    as_of_event = replace(outcomes_of_lake(lake), universe=default_settings().universe)
    # without listings nothing changes
    assert publish_cohorts(as_of_event, "core").cohorts.unchanged
    symbols = EVENTS["symbol"].unique().sort().to_list()
    # the first symbol was a fund until March 2024; the others are stocks, or nothing is known of them
    fund, stock = symbols[:2]
    known = market(
        listing(fund, "2020-01-02"),
        listing(stock, "2020-01-02"),
        facts=[
            (f"{fund}_20200102", "2020-01-02", "2024-03-14", "ETF", "XNAS"),
            (f"{fund}_20200102", "2024-03-15", None, "CS", "XNAS"),
        ],
    )
    ListingStore(lake).publish(known.listings, known.facts, {"first": "2020-01-02", "last": "2025-01-02"})
    assert changes_of_cohorts(as_of_event, "core") == ["listings or filters of the universe"]
    found = events_of_cohorts(as_of_event, "core")
    of_fund = (pl.col("symbol") == fund) & (pl.col("date") < "2024-03-15")
    assert_frame_equal(found, events_of_cohorts(outcomes_of_lake(lake), "core").filter(~of_fund))
    assert found.height < EVENTS.height
    made = publish_cohorts(as_of_event, "core")
    assert not made.cohorts.unchanged
    assert_frame_equal(made.cohorts.rows, cohort_tables(found, as_of_event.params).cohorts)
    assert changes_of_cohorts(as_of_event, "core") == []
    assert publish_cohorts(as_of_event, "core").cohorts.unchanged
    # as of today: those of before
    today = replace(as_of_event, universe=default_settings().universe.model_copy(update={"as_of": "today"}))
    assert_frame_equal(publish_cohorts(today, "core").cohorts.rows, before.cohorts.rows)


def test_events_without_outcomes_are_left_out_counted_and_named(tmp_path: Path) -> None:
    rows = frame_of(event_of(number, date(2024, 3, 4 + number % 5), 0.01) for number in range(10))
    lake = fill_outcomes(tmp_path / "lake", rows)
    forget_outcomes(lake, "E000003")
    costs = pl.read_parquet(lake.research_table("event_costs", "core"))
    path = lake.research_table("event_costs", "core")
    ResearchStore(lake).publish(path, costs.filter(~pl.col("event_id").is_in(["E000007", "E000008"])), {})
    source = source_of_cohorts(lake, "core", "15,1,1")
    assert source == CohortSource(
        ok=10, with_net=8, dates=5, not_costed=2, not_followed=1, not_followed_named=["E000003"]
    )
    metadata = shown(lake)
    assert metadata["events left out"] == 3
    assert metadata["verdict"] == (
        "At 2024-04-01 none of 3 cohorts is tested: a test needs 50 events on 20 dates, and the largest cohort, volume "
        "spike up, has 5 events on 3 dates. Costs are known of 8 of 10 labels, on 5 dates: only these count, and "
        "captured events are chosen with hindsight; capture more tape of core, or set research.cost_bps_default. "
        "2 events have no row in core/event_costs yet: materialize it, then "
        "core/cohorts. 1 event is left out, such as E000003: event_waves does not have them as they are "
        "detected now: materialize it, then core/cohorts."
    )
    assert events_of_cohorts(outcomes_of_lake(lake), "core").height == 7


def test_only_tested_cohorts_are_best_worst_and_plotted(lake: Lake) -> None:
    metadata = shown(lake)
    rows = load_cohorts(lake, "core").filter(selection="causal")
    last = rows.filter(pl.col("as_of") == rows["as_of"].max())
    tested = last.filter(pl.col("q_value").is_not_null()).sort("mean", descending=True)
    won = last["winning"].sum()
    few = last.filter(pl.col("q_value").is_null())
    # some of few events have a greater mean than all that are tested
    assert few["mean"].max() > tested["mean"][0]  # type: ignore[operator]  # numbers
    best, worst = (
        [record.data["cohort"] for record in metadata[name].records]  # type: ignore[union-attr]  # a table
        for name in ("best", "worst")
    )
    names = [name_cohort(cohort_id) for cohort_id in tested["cohort_id"]]
    assert best == names[:5]
    assert worst == names[:-6:-1]
    assert metadata["verdict"] == f"At 2024-05-01 {tested.height} cohorts were tested together, {won} won."
    assert metadata["tested"] == tested.height
    assert metadata["winning"] == metadata["selecting"] == last["winning"].sum() > 0
    assert metadata["costed pct"] == 100
    of_type = tested.filter(cohort_id="L1|flush|up").row(0, named=True)
    assert metadata["win pct flush up"] == pytest.approx(100 * of_type["win_rate"], abs=0.01)
    assert metadata["net bps flush up"] == pytest.approx(1e4 * of_type["mean"], abs=0.01)
    assert metadata["members"] == pl.read_parquet(lake.research_table("cohort_members", "core"))["event_id"].n_unique()
    # where none is tested nothing is ranked or plotted
    none = shown(lake, cohort_test_min_events=10_000)
    assert not {"best", "worst", "win pct flush up"} & none.keys()
    assert str(none["verdict"]).startswith("At 2024-05-01 none of ")
    assert "largest_not_tested" in none


def test_a_winning_cohort_with_costs_of_few_labels_is_named_and_warned_of(tmp_path: Path) -> None:
    """Of every second event costs are known, of the volume spikes of all: no default says what the others cost."""
    known = (pl.int_range(pl.len()) % 2 == 0) | (pl.col("event_type") != "flush")
    events = EVENTS.with_columns(pl.when(known).then(pl.col("net_return", "cost_bps")))
    lake = fill_outcomes(tmp_path / "lake", events)
    metadata = shown(lake)
    last = load_cohorts(lake, "core").filter(as_of=date(2024, 5, 1), selection="causal")
    won = last.filter("winning")
    assert won.height > 0
    assert set(won["cohort_id"].str.split("|").list.get(1)) == {"flush"}
    # 0.5 but for chance, as drawn
    assert ((won["costed_share"] > 0.4) & (won["costed_share"] < 0.6)).all()
    assert not last["selects"].any()
    assert (metadata["winning"], metadata["selecting"]) == (won.height, 0)
    name = name_cohort(won.sort("costed_share", "cohort_id")["cohort_id"][0])
    verdict = str(metadata["verdict"])
    assert (
        f"{won.height} winning cohorts select no events, because costs are known of too few labels: {name} (" in verdict
    )
    assert "research.cohort_min_costed_share asks for 80 %: capture more tape of core, or set research" in verdict
    (found,) = [
        check() for one, check in checks_of_cohorts(outcomes_of_lake(lake), "core").items() if one == COSTS_KNOWN
    ]
    assert (found.holds, found.severe, found.breaking) == (False, False, won.height)
    assert found.figures["least"] == last["costed_share"].min()
    # a setting decides what may select, and nothing else
    shown(lake, cohort_min_costed_share=0.4)
    assert (
        load_cohorts(lake, "core").filter(as_of=date(2024, 5, 1), selection="causal").filter("selects").height
        == won.height
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"ok": 0, "with_net": 0, "dates": 0}, "no event has an entry and barriers yet"),
        (
            {"ok": 1, "with_net": 0, "dates": 0},
            "costs are known of none of 1 label: capture more tape of plus, or set research.cost_bps_default",
        ),
        ({"ok": 3, "with_net": 3, "dates": 1}, "all labels with costs are of one date, and a sample needs two"),
        ({"ok": 3, "with_net": 3, "dates": 2}, "no label with costs was over when a month began"),
    ],
)
def test_why_there_are_no_cohorts(source: dict[str, int], words: str) -> None:
    known = CohortSource(**source, not_costed=0, not_followed=0, not_followed_named=[])
    assert why_untested(COHORTS.to_frame(), default_settings().research.params, known, "plus") == words


def test_a_lake_of_one_date_has_no_cohorts(tmp_path: Path) -> None:
    lake = fill_outcomes(tmp_path / "lake", frame_of([event_of(1, date(2024, 3, 4), 0.01)]))
    words = "There are no cohorts yet: all labels with costs are of one date, and a sample needs two."
    assert shown(lake)["verdict"] == words


def findings(lake: Lake) -> Iterator[tuple[str, bool, bool]]:
    for name, check in checks_of_cohorts(outcomes_of_lake(lake), "core").items():
        found = check()
        yield name, found.holds, bool(found.unjudged)


def test_checks_hold_and_find_a_family_that_is_not_shown(lake: Lake) -> None:
    publish_cohorts(outcomes_of_lake(lake), "core")
    assert list(findings(lake)) == [(name, True, False) for name in (FAMILY_SHOWN, NO_OWN_OUTCOME, COSTS_KNOWN)]
    path, store = lake.research_table("cohorts", "core"), ResearchStore(lake)
    rows = store.read(path, COHORTS)
    changed = rows.with_columns(tested=pl.when(cohort_id="L1|flush|up").then(1).otherwise("tested").cast(pl.Int64))
    store.publish(path, changed, {})
    assert next(findings(lake))[:2] == (FAMILY_SHOWN, False)


def test_nothing_is_judged_before_there_are_cohorts(tmp_path: Path) -> None:
    lake = fill_outcomes(tmp_path / "lake", frame_of([]))
    publish_cohorts(outcomes_of_lake(lake), "core")
    assert [is_unjudged for _, _, is_unjudged in findings(lake)] == [True] * 3


def test_open_lake_gives_the_cohorts_of_a_month(lake: Lake) -> None:
    with pytest.raises(LakeError, match="Materialize core/cohorts"):
        open_lake(lake.root).cohorts()
    publish_cohorts(outcomes_of_lake(lake), "core")
    reader = open_lake(lake.root)
    everything = reader.cohorts().collect()
    assert everything.schema == COHORTS
    month = reader.cohorts(date(2024, 3, 1), "core").collect()
    assert_frame_equal(month, everything.filter(pl.col("as_of") == date(2024, 3, 1)))
    with pytest.raises(InputError, match=r"core has no cohorts of this day\. There are 2024-02-01 to 2024-05-01"):
        reader.cohorts(date(2023, 3, 1))
    with pytest.raises(InputError, match="profile 'gold' is unknown"):
        reader.cohorts(profile="gold")  # type: ignore[arg-type]  # a user's mistake
    flip_bit(lake.research_table("cohorts", "core"))
    with pytest.raises(LakeError, match=r"cohorts\.parquet: is damaged"):
        open_lake(lake.root).cohorts()


def test_the_research_table_knows_whether_a_cohort_was_winning(lake: Lake) -> None:
    """Only a flush up in the first bucket wins, from the first as_of with enough dates on."""
    publish_cohorts(outcomes_of_lake(lake), "core")
    cohorts = load_cohorts(lake, "core").filter("winning", selection="causal")
    months = cohorts["as_of"].unique().sort().to_list()
    assert months
    assert "L1|volume_spike|up" not in cohorts["cohort_id"]
    before = "2024-01-22 10:00"
    rows = manifest_of(
        event("2024-04-10 10:00", event_id="later", event_type="flush", symbol="S1"),
        event("2024-04-10 10:00", event_id="other", event_type="vwap_break", symbol="S2"),
        event(before, event_id="before", event_type="flush", symbol="S3"),
    )
    settings = default_settings()
    ManifestStore.in_lake(lake, "core").freeze(
        Selection(rows, [{"step": "max_events", "rows": rows.height}], {}),
        config_hash="c",
        master_sha256="m",
        now=LATER,
    )
    research = JoinedResearch(lake, settings.research.params, settings.filters, settings.sessions)
    table = research.table("core", settings.ranking).rows
    winning = dict(table.select("event_id", "cohort_was_winning").iter_rows())
    # before the first as_of nothing was known
    assert winning == {"later": True, "other": False, "before": None}
    asked = rows.with_columns(time_bucket=pl.lit("0930-1015"))
    assert cohort_was_winning(asked, load_cohorts(lake, "core"))["cohort_was_winning"].to_list() == [True, False, None]


def test_members_are_of_the_schema(tmp_path: Path) -> None:
    lake = fill_outcomes(tmp_path / "lake", frame_of([]))
    made = publish_cohorts(outcomes_of_lake(lake), "core")
    assert (made.cohorts.rows.schema, made.members.rows.schema) == (COHORTS, COHORT_MEMBERS)
