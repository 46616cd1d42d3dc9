"""Step 2b of a selection: winning cohorts select events; an event's own outcome never does."""

from collections import Counter
from datetime import date
from functools import cache
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.manifests.follow_up import CohortSelection
from smallcaps_assets.domain.manifests.selection import (
    ProfileParams,
    Selection,
    profile_hash,
    select_events,
    time_bucket,
)
from smallcaps_assets.domain.research.cohorts.cohorts import CohortTables, cohort_tables
from smallcaps_assets.domain.research.cohorts.follow_up import in_selection_sample
from smallcaps_assets.domain.research.cohorts.params import CohortParams
from smallcaps_assets.domain.research.cohorts.selecting import (
    admit_events,
    cohorts_at,
    describe_winning,
    differences_of_cohorts,
    identity_of_cohorts,
)
from smallcaps_assets.domain.research.tables.cohort_tables import COHORT_MEMBERS, COHORTS
from smallcaps_assets.domain.tables import FOLLOW_UP_MANIFEST, MANIFEST
from smallcaps_assets.lake.selecting_cohorts import SelectingCohorts
from smallcaps_assets.pipeline.manifests.selecting import select_manifest
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.research.cohorts.cohort_events import random_events

AS_OF: Final = date(2025, 11, 1)
SPEC: Final = "15,1,1"
BUCKET: Final = "0930-1015"
L2: Final = f"L2|volume_spike|up|{BUCKET}"
RANKING: Final = default_settings().ranking
# without limits beyond those of step 2b
OPEN: Final = {"max_per_symbol": 1000, "max_per_symbol_day": 1000, "max_events": 100_000}


def plus(**cohorts: Any) -> ProfileParams:
    """Profile plus with cohorts; keys of the profile itself are those of OPEN and `max_per_symbol`."""
    most = cohorts.pop("max_per_symbol", OPEN["max_per_symbol"])
    changes = {**OPEN, "max_per_symbol": most, "cohorts": {"as_of": AS_OF, **cohorts}}
    return ProfileParams.model_validate(default_settings().profiles["plus"].model_dump() | changes)


def cohorts_of(*rows: dict[str, Any], members: list[str] | None = None) -> pl.DataFrame:
    base = {"as_of": AS_OF, "label_spec": SPEC, "selection": "causal", "winning": True, "flatness_b1": 1.0}
    made = pl.DataFrame([{**base, "flatness_b2": 2.0, **row} for row in rows], schema=COHORTS, strict=False)
    keys = {"as_of": AS_OF, "label_spec": SPEC, "selection": "causal", "part": "select"}
    known = None
    if members is not None:
        known = pl.DataFrame([{**keys, "event_id": name, "cohort_id": L2} for name in members], schema=COHORT_MEMBERS)
    return cohorts_at(made, known, AS_OF, SPEC)


WON: Final = cohorts_of({"cohort_id": L2}, members=["old"])


def select(profile: ProfileParams, *rows: dict[str, Any], cohorts: pl.DataFrame = WON) -> Selection:
    return select_manifest(master_of(*rows), profile, RANKING, SelectingCohorts(cohorts, {}))


def test_cohorts_select_after_the_score_and_before_liquidity_and_say_so_in_each_row() -> None:
    rows = [
        event("2025-10-20 09:45", event_id="old", symbol="A"),
        event("2025-10-21 09:45", event_id="outside", symbol="B"),
        event("2025-11-05 09:45", event_id="new", symbol="C"),
        event("2025-11-05 12:00", event_id="bucket", symbol="D"),
        event("2025-11-05 09:45", event_id="weak", symbol="E", score=0.1),
        event("2025-11-05 09:45", event_id="thin", symbol="F", dollar_volume=1.0),
    ]
    found = select(plus(), *rows)
    assert found.manifest.schema == FOLLOW_UP_MANIFEST
    # `weak` falls before step 2b, `bucket` has no winning cohort, `thin` is admitted and falls after it
    steps = {str(step["step"]): step["rows"] for step in found.funnel}
    assert list(steps)[:4] == ["range_and_sessions", "min_event_score", "winning_cohorts", "bar_liquidity"]
    assert [*steps.values()][:4] == [6, 5, 4, 3]
    assert found.funnel[2]["of_winning_cohorts"] == 4
    marks = found.manifest.select("event_id", "selected_by_cohort", "cohort_id", "as_of", "in_selection_sample")
    # only the label of `old` was in the sample
    assert sorted(marks.rows()) == [
        ("new", True, L2, AS_OF, False),
        ("old", True, L2, AS_OF, True),
        ("outside", True, L2, AS_OF, False),
    ]
    later = select(plus(earlier_events=False), *rows)
    assert later.manifest["event_id"].to_list() == ["new"]
    assert later.funnel[2]["of_winning_cohorts"] == 2
    # whether a label was in the sample is not known without its members: never from as_of on
    first = event("2025-11-01 09:45", event_id="first", symbol="G")
    unknown = select(plus(), *rows, first, cohorts=cohorts_of({"cohort_id": L2}))
    known = dict(unknown.manifest.select("event_id", "in_selection_sample").iter_rows())
    assert known == {"old": None, "outside": None, "new": False, "first": False}


def test_a_winning_cohort_with_costs_of_few_labels_selects_nothing() -> None:
    """Its events fall to a coarser cohort that may select; one of an earlier release, whose share is not known, may."""
    times = {"one": "2025-11-05 09:45", "two": "2025-11-05 12:00"}
    rows = [event(at, event_id=name, symbol=name) for name, at in times.items()]
    coarse = {"cohort_id": "L1|volume_spike|up", "costed_share": 0.9}
    fine = {"cohort_id": L2, "costed_share": 0.1}
    for coarse_selects, fine_selects, expected in (
        (True, False, {"one": "L1|volume_spike|up", "two": "L1|volume_spike|up"}),
        (False, True, {"one": L2}),
        (False, False, {}),
        (None, None, {"one": L2, "two": "L1|volume_spike|up"}),
    ):
        cohorts = cohorts_of(coarse | {"selects": coarse_selects}, fine | {"selects": fine_selects})
        found = select(plus(), *rows, cohorts=cohorts)
        assert dict(found.manifest.select("event_id", "cohort_id").iter_rows()) == expected
        assert found.funnel[2]["of_winning_cohorts"] == len(expected)


def test_an_event_that_falls_later_takes_a_place_of_its_month() -> None:
    # step 2b comes before liquidity: the best of the month is too thin, and the second has no place
    rows = [
        event("2025-11-05 09:45", event_id="thin", symbol="A", score=0.9, dollar_volume=1.0),
        event("2025-11-06 09:45", event_id="second", symbol="B"),
        event("2025-12-05 09:45", event_id="december", symbol="C"),
    ]
    assert select(plus(top_n_per_month=1), *rows).manifest["event_id"].to_list() == ["december"]


def test_a_profile_without_cohorts_is_what_it_was() -> None:
    profile = default_settings().profiles["plus"]
    assert "cohorts" not in profile.model_dump()
    # hashes of the release before cohorts selected events
    hashes = {name: profile_hash(params, RANKING) for name, params in default_settings().profiles.items()}
    assert hashes == {"core": "e2ed1e354b1f6ed2", "plus": "f82093b9ce5fb979", "premium": "c72f22bce0d734e0"}
    assert profile_hash(plus(), RANKING) != profile_hash(plus(top_n_per_month=1), RANKING)
    master = master_of(event(event_id="one"))
    assert select_manifest(master, profile, RANKING, None).manifest.schema == MANIFEST
    for params, admit in ((profile, lambda rows: rows), (plus(), None)):
        with pytest.raises(ValueError, match="step 2b"):
            select_events(master, params, RANKING, admit)


# ------------------------------------------------------------------------------------------------- random data

PARAMS: Final = CohortParams(cohort_min_symbols=5, cohort_test_min_events=30, cohort_test_min_days=10, cohort_months=3)
AT: Final = date(2024, 3, 1)


@cache
def labeled(seed: int) -> pl.DataFrame:
    """Labels of 110 days from January on, of which one cohort has an effect, with what ranks events."""
    rows = random_events(2500, date(2024, 1, 1), 110, seed, flush=0.015)
    score = pl.Series(np.random.default_rng(seed).random(rows.height))
    return rows.with_columns(score=score, rvol_day=1.0, dollar_volume=1e6)


@cache
def tables_of(seed: int) -> CohortTables:
    return tables(labeled(seed))


def tables(rows: pl.DataFrame) -> CohortTables:
    return cohort_tables(rows, PARAMS)


def admitted(rows: pl.DataFrame, made: CohortTables, *, earlier: bool = True, top: int = 20, most: int = 3) -> Any:
    choice = CohortSelection(as_of=AT, top_n_per_month=top, earlier_events=earlier)
    cohorts = cohorts_at(made.cohorts, made.members, AT, SPEC)
    return admit_events(rows.filter("in_master"), cohorts, choice, most, RANKING)


def other_outcomes(rows: pl.DataFrame, changed: pl.Expr) -> pl.DataFrame:
    """The same events, those of `changed` with other outcomes, of which some are not known any more."""
    gone = pl.int_range(pl.len()) % 3 == 0
    return rows.with_columns(
        net_return=pl.when(changed).then(pl.when(~gone).then(0.3 - pl.col("net_return"))).otherwise("net_return"),
        label=pl.when(changed).then(1 - pl.col("label")).otherwise("label"),
        tie=pl.when(changed).then(~pl.col("tie")).otherwise("tie"),
        mfe_15_bps=pl.when(changed).then(999.0).otherwise("mfe_15_bps"),
    )


@pytest.mark.parametrize("seed", range(4))
def test_outcomes_from_the_as_of_on_change_nothing_that_is_selected_at_it(seed: int) -> None:
    rows = labeled(seed)
    later = pl.col("date") >= AT.isoformat()
    changed = other_outcomes(rows, later)
    one, other = admitted(rows, tables_of(seed)), admitted(changed, tables(changed))
    assert one.events.height > 20
    assert one.of_winning == other.of_winning
    assert_frame_equal(one.events, other.events)


@pytest.mark.parametrize("seed", range(3))
def test_the_label_of_an_event_that_is_not_in_the_sample_never_changes_its_own_selection(seed: int) -> None:
    rows = labeled(seed)
    before = admitted(rows, tables_of(seed)).events
    marks = rows.select("event_id", in_sample=in_selection_sample(rows, AT, PARAMS))
    own = before.join(marks, on="event_id", how="left", maintain_order="left")
    # the members that are kept say the same as labels do
    assert own["in_selection_sample"].equals(own["in_sample"], check_dtypes=True, check_names=False)
    assert 0 < own["in_sample"].sum() < own.height
    outside = own.filter(~pl.col("in_sample"))["event_id"].sample(6, seed=seed)
    for name in outside:
        changed = other_outcomes(rows, pl.col("event_id") == name)
        assert_frame_equal(admitted(changed, tables(changed)).events, before)


@pytest.mark.parametrize("seed", range(2))
def test_without_earlier_events_no_selected_event_has_a_label_in_the_sample(seed: int) -> None:
    rows = labeled(seed)
    chosen = admitted(rows, tables_of(seed), earlier=False)
    assert not chosen.events["in_selection_sample"].any()
    whole = admitted(rows, tables_of(seed)).events
    dates = rows.select("event_id", "date")
    later = whole.join(dates, on="event_id", maintain_order="left").filter(pl.col("date") >= AT.isoformat())
    assert_frame_equal(chosen.events, later.drop("date"))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 3), top=st.integers(1, 40), most=st.integers(1, 5), last=st.integers(2, 4))
def test_a_later_month_adds_its_events_and_changes_no_earlier_one(seed: int, top: int, most: int, last: int) -> None:
    rows, made = labeled(seed), tables_of(seed)
    whole = admitted(rows, made, top=top, most=most).events
    known = rows.filter(pl.col("date") < f"2024-0{last}")
    before = admitted(known, made, top=top, most=most).events
    of_known = whole.filter(pl.col("event_id").is_in(known["event_id"].implode()))
    assert_frame_equal(before, of_known)
    assert before["event_id"].to_list() == slowly_admitted(known, made, top, most)


def slowly_admitted(rows: pl.DataFrame, made: CohortTables, top: int, most: int) -> list[str]:
    """The specification, 6.6, event by event."""
    at = made.cohorts.filter(as_of=AT, selection="causal", label_spec=SPEC)
    winning = set(at.filter("winning")["cohort_id"])
    low, high = at.select("flatness_b1", "flatness_b2").row(0)
    found: list[tuple[str, float, str, str]] = []
    for row in rows.filter("in_master").iter_rows(named=True):
        flatness = row["flatness_score"]
        tercile = "na" if flatness is None else "1" if flatness <= low else "2" if flatness <= high else "3"
        group = f"{row['event_type']}|{row['direction']}"
        keys = f"{group}|{row['time_bucket']}"
        if winning & {f"L3|{keys}|{tercile}", f"L2|{keys}", f"L1|{group}"}:
            value = row["score"] * RANKING.type_weights[row["event_type"]]
            found.append((row["date"][:7], -value, row["event_id"], row["symbol"]))
    kept: list[str] = []
    of_month, of_symbol = Counter[str](), Counter[tuple[str, str]]()
    for month, _, name, symbol in sorted(found):
        if of_symbol[month, symbol] < most:
            of_symbol[month, symbol] += 1
            if of_month[month] < top:
                of_month[month] += 1
                kept.append(name)
    return kept


# ------------------------------------------------------------------------------------------------- kept cohorts


def test_cohorts_are_identified_by_their_values() -> None:
    one = cohorts_of({"cohort_id": L2, "n": 60, "mean": 0.1}, members=["a", "b"])
    # of the first release that kept cohorts: what it kept must be found again
    assert identity_of_cohorts(one) == "d3e52502f0101fcf93bfed458ec458ebf5161a9f7f94ae7c9ef71717a9218f91"
    assert identity_of_cohorts(one) == identity_of_cohorts(one.select(reversed(one.columns)))
    others = [
        cohorts_of({"cohort_id": L2, "n": 61, "mean": 0.1}, members=["a", "b"]),
        cohorts_of({"cohort_id": L2, "n": 60, "mean": 0.1 + 1e-17 * 8}, members=["a", "b"]),
        cohorts_of({"cohort_id": L2, "n": 60, "mean": 0.1}, members=["a"]),
        cohorts_of({"cohort_id": L2, "n": 60, "mean": 0.1}),
    ]
    others += [cohorts_of({"cohort_id": L2, "n": 60, "mean": 0.1, "costed_share": 1.0}, members=["a", "b"])]
    assert len({identity_of_cohorts(rows) for rows in [one, *others]}) == len(others) + 1
    assert cohorts_at(COHORTS.to_frame(), COHORT_MEMBERS.to_frame(), AS_OF, SPEC).is_empty()


def test_what_has_become_of_cohorts_is_said() -> None:
    kept = cohorts_of(
        {"cohort_id": L2, "mean": 0.01, "n": 60}, {"cohort_id": "L1|flush|up", "winning": False}, members=["a", "b"]
    )
    assert differences_of_cohorts(kept, kept) == []
    # sums in another order
    nearly = kept.with_columns(pl.col("mean") * (1 + 1e-12))
    assert differences_of_cohorts(kept, nearly) == []
    lost = cohorts_of(
        {"cohort_id": L2, "mean": 0.009, "n": 61, "winning": False}, {"cohort_id": "L1|flush|up"}, members=[]
    )
    assert differences_of_cohorts(kept, lost) == [
        f"{L2} is no longer winning",
        "L1|flush|up is winning now",
        "figures of 1 cohort differ",
        "2 events came into or left the samples of winning cohorts",
    ]
    gone = kept.filter(pl.col("cohort_id") != L2)
    assert differences_of_cohorts(kept, gone)[0] == f"{L2} is no longer winning"
    # what an earlier release did not keep is no difference, but for what follows from it
    known = kept.with_columns(costed_share=pl.lit(0.5), selects=pl.col("winning"))
    assert differences_of_cohorts(kept, known) == []
    few = known.with_columns(selects=pl.lit(value=False))
    assert differences_of_cohorts(kept, few) == [
        f"{L2} is still winning, but costs are known of too few labels to select"
    ]
    assert differences_of_cohorts(few, known) == [f"{L2} is selecting now: costs are known of enough labels"]
    more = known.with_columns(costed_share=pl.lit(0.6))
    assert differences_of_cohorts(known, more) == ["figures of 2 cohorts differ"]
    # a null that is a number now is a difference
    assert differences_of_cohorts(kept, kept.with_columns(q_value=pl.lit(0.5))) == ["figures of 2 cohorts differ"]


def test_the_best_winning_cohorts_are_named() -> None:
    rows = cohorts_of(
        *({"cohort_id": f"L1|{n}", "mean": n / 1e4, "n": 50, "q_value": 0.01} for n in (10, 20, 30, 40)),
        {"cohort_id": "L1|none", "winning": False},
        {"cohort_id": "L1|few", "mean": 0.1, "n": 50, "q_value": 0.01, "costed_share": 0.1, "selects": False},
    )
    assert describe_winning(rows) == (
        "L1|40 (n 50, mean +40.0 bps, q 0.010), L1|30 (n 50, mean +30.0 bps, q 0.010), L1|20 (n 50, mean +20.0 bps, "
        "q 0.010) and 1 more"
    )
    assert describe_winning(rows.filter(~pl.col("winning"))) == "none"
    costed = rows.head(1).with_columns(costed_share=pl.lit(0.939), selects=pl.lit(value=True))
    assert describe_winning(costed) == "L1|10 (n 50, mean +10.0 bps, q 0.010, costs of 93 %)"


def test_time_buckets_of_events_are_those_of_cohorts() -> None:
    rows = master_of(event("2025-11-05 09:45", event_id="new"))
    assert rows.select(time_bucket(RANKING)).item() == BUCKET
