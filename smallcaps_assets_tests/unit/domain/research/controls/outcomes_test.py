"""What came after controls, what they cost, and how their events differ in it (research specification, section 7)."""

import random
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.controls.features import control_rows
from smallcaps_assets.domain.research.controls.labels import (
    CONTROL_LABELS,
    MATCHED_LABELS,
    control_labels,
    matched_labels,
)
from smallcaps_assets.domain.research.controls.matched_returns import MATCHED_RETURNS, matched_returns
from smallcaps_assets.domain.research.controls.outcomes import (
    CONTROL_OUTCOMES,
    CONTROL_WAVES,
    MATCHED_OUTCOMES,
    control_outcomes,
    control_waves,
    matched_outcomes,
)
from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.outcomes.event_costs import COSTED_EVENTS, COSTS, OWN_COSTS, event_costs
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS, EVENT_LABELS
from smallcaps_assets.domain.research.tables.wave_tables import EVENT_OUTCOMES, EVENT_WAVES
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.research.controls.control_scenes import at
from smallcaps_assets_tests.unit.domain.research.controls.features_test import ONE, THREE, TWO

ROWS = control_rows(THREE.head(2))
EVENTS = pl.LazyFrame(
    {
        "event_id": ["first", "second", "other"],
        "event_type": ["flush", "vwap_cross", "flush"],
        "in_causal_sample": [True, False, True],
    }
)


def labels(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(columns).match_to_schema(EVENT_LABELS, missing_columns="insert")


def test_returns_are_event_minus_control_for_each_label_spec_gross_and_net() -> None:
    of_controls = labels(
        event_id=[ONE, ONE, TWO], label_spec=["5,1,1", "15,1,1", "5,1,1"], date="2025-11-03",
        gross_return=[0.25, -0.5, None], return_15=[0.5, 0.5, 0.5], label=[1, -1, None], uniqueness=1.0,
    )  # fmt: skip
    costs = pl.DataFrame([(ONE, 2500.0, "nbbo"), (TWO, None, "none")], schema=COSTS, orient="row")
    controls = control_labels(ROWS, of_controls, costs)
    assert controls.schema == CONTROL_LABELS
    assert "uniqueness" not in controls.columns
    # net is gross - 2500/10,000
    assert controls.select("control_of", "label_spec", "cost_bps", "cost_source", "net_return", "win").rows() == [
        ("first", "5,1,1", 2500.0, "nbbo", 0.0, False),
        ("first", "15,1,1", 2500.0, "nbbo", -0.75, False),
        ("second", "5,1,1", None, "none", None, None),
    ]
    of_events = labels(
        event_id=["first", "first", "second", "other"], label_spec=["15,1,1", "5,1,1", "5,1,1", "5,1,1"],
        date="2025-11-14", gross_return=[1.0, 0.5, 0.125, 0.0], return_15=[0.75, None, 0.25, 0.0], label=[1, 1, 0, 0],
    )  # fmt: skip
    event_net = pl.DataFrame(
        {
            "event_id": ["first", "first"], "label_spec": ["15,1,1", "5,1,1"],
            "cost_bps": [5000.0, 5000.0], "net_return": [0.5, 0.0],
        }
    ).match_to_schema(EVENT_COSTS, missing_columns="insert")  # fmt: skip
    found = matched_labels(EVENTS, of_events.lazy(), event_net.lazy(), controls.lazy()).collect()
    assert found.schema == MATCHED_LABELS
    # gross 0.5 - 0.25 and 1 - -0.5; net 0 - 0 and 0.5 - -0.75; the control of the second has neither
    figures = ("event_id", "event_type", "label_spec", "gross_return", "net_return", "cost_bps", "return_15", "label")
    assert found.select(*figures).rows() == [
        ("first", "flush", "5,1,1", 0.25, 0.0, 2500.0, None, 0),
        ("first", "flush", "15,1,1", 1.5, 1.25, 2500.0, 0.25, 2),
        ("second", "vwap_cross", "5,1,1", None, None, None, -0.25, None),
    ]
    assert found["in_causal_sample"].to_list() == [True, True, False]
    assert found.select("date", "control_date").unique().rows() == [("2025-11-14", "2025-11-03")]


def test_outcomes_and_legs_of_controls_and_event_minus_control() -> None:
    outcomes = pl.DataFrame(
        {
            "event_id": [TWO, ONE], "timestamp": at(date(2025, 11, 3), "10:15"), "in_master": False,
            "mfe_15_bps": [None, 40.0], "mae_15_bps": [-1.0, -4.0], "legs": [0, 3], "outcome": ["stall", "reversal"],
        }
    ).match_to_schema(EVENT_OUTCOMES, missing_columns="insert")  # fmt: skip
    found = control_outcomes(ROWS, outcomes)
    assert found.schema == CONTROL_OUTCOMES
    assert found.select("control_of", "mae_15_bps", "outcome").rows() == [
        ("first", -4.0, "reversal"),
        ("second", -1.0, "stall"),
    ]
    legs = pl.DataFrame({"event_id": [TWO, ONE, ONE], "leg": [1, 1, 2]}).match_to_schema(
        EVENT_WAVES, missing_columns="insert"
    )
    waves = control_waves(ROWS, legs)
    assert waves.schema == CONTROL_WAVES
    assert waves.select("control_of", "leg").rows() == [("first", 1), ("first", 2), ("second", 1)]
    of_events = pl.DataFrame(
        {
            "event_id": ["first", "second", "gone"], "timestamp": at(date(2025, 11, 14), "10:15"),
            "event_type": "flush", "mfe_15_bps": [100.0, 5.0, 1.0], "mae_15_bps": -2.0, "legs": [1, 1, 1],
        }
    ).match_to_schema(EVENT_OUTCOMES, missing_columns="insert")  # fmt: skip
    differences = matched_outcomes(EVENTS, of_events.lazy(), found.lazy()).collect()
    assert differences.schema == MATCHED_OUTCOMES
    assert differences.select("event_id", "mfe_15_bps", "mae_15_bps", "legs").rows() == [
        ("first", 60.0, 2.0, -2),
        ("second", None, -1.0, 1),
    ]
    moments = differences.row(0, named=True)
    assert moments["timestamp"] == at(date(2025, 11, 14), "10:15")
    assert moments["control_timestamp"] == at(date(2025, 11, 3), "10:15")


def costs_of(control_spread: float | None, standing: list[str] | None) -> dict[str, tuple[float | None, str]]:
    """Costs of 2 events (30 and 50 bps, on two days), one without tape the day after, and a control on that day."""
    days = ["2025-11-03", "2025-11-04", "2025-11-05", "2025-11-05"]
    events = pl.DataFrame(
        [(name, "RTH", day, 10.0) for name, day in zip(["a", "b", "bare", "control"], days, strict=True)],
        schema=COSTED_EVENTS,
        orient="row",
    )
    own = pl.DataFrame(
        [("a", 30.0, None), ("b", None, 50.0), ("control", control_spread, None)], schema=OWN_COSTS, orient="row"
    )
    sessions = sessions_between(date(2025, 11, 3), date(2025, 11, 7), default_settings().sessions)
    params = CostParams(cost_min_events=2)
    found = event_costs(events, own, sessions, params, None if standing is None else pl.Series(standing))
    return {row[0]: row[1:] for row in found.iter_rows()}


def test_the_cost_of_a_control_is_its_own_or_the_median_of_events_and_stands_for_none() -> None:
    events = ["a", "b", "bare"]
    # its own spread
    assert costs_of(70.0, events)["control"] == (70.0, "nbbo")
    # without one, what events of the days before cost: the median of 30 and 50
    assert costs_of(None, events)["control"] == (40.0, "trailing")
    # with or without, an event costs the same
    assert costs_of(70.0, events)["bare"] == costs_of(None, events)["bare"] == (40.0, "trailing")


def test_what_a_control_costs_on_a_day_before_does_not_change_what_events_cost() -> None:
    days = ["2025-11-03", "2025-11-04", "2025-11-05"]
    events = pl.DataFrame(
        [(name, "RTH", day, 10.0) for name, day in zip(["control", "b", "bare"], days, strict=True)],
        schema=COSTED_EVENTS,
        orient="row",
    )
    own = pl.DataFrame([("control", 90.0, None), ("b", 50.0, None)], schema=OWN_COSTS, orient="row")
    sessions = sessions_between(date(2025, 11, 3), date(2025, 11, 7), default_settings().sessions)
    params = CostParams(cost_min_events=1)
    apart = event_costs(events, own, sessions, params, pl.Series(["b", "bare"]))
    assert apart.filter(event_id="bare")["cost_bps"].to_list() == [50.0]
    # as an event it would stand for others: the median of 50 and 90
    together = event_costs(events, own, sessions, params)
    assert together.filter(event_id="bare")["cost_bps"].to_list() == [70.0]


def pairs(*rows: tuple[str, str, str, bool, float | None, float | None]) -> pl.DataFrame:
    columns = ("control_id", "event_type", "date", "in_causal_sample", "gross_return", "net_return")
    found = pl.DataFrame(rows, schema={name: MATCHED_LABELS[name] for name in columns}, orient="row")
    return found.with_columns(label_spec=pl.lit("15,1,1")).match_to_schema(MATCHED_LABELS, missing_columns="insert")


def test_means_have_intervals_by_date_and_numbers_of_pairs() -> None:
    # the returns of worked example H of the research specification: mean 0.004125, se 0.00354151, G 4
    by_date = {"d1": (0.010, 0.020, -0.005), "d2": (-0.010,), "d3": (0.015, 0.005), "d4": (0.0, -0.002)}
    rows = [("c", "flush", day, True, value, None) for day, values in by_date.items() for value in values]
    found = matched_returns(pairs(*rows, ("d", "vwap_cross", "d1", False, 0.0, 1.0)))
    assert found.schema == MATCHED_RETURNS
    causal = found.filter(selection="causal", event_type="all", figure="gross_return").row(0, named=True)
    assert (causal["n"], causal["n_days"], causal["n_controls"]) == (8, 4, 1)
    assert causal["mean"] == pytest.approx(0.004125)
    assert causal["se"] == pytest.approx(0.00354151, abs=5e-9)
    # t of 3 degrees at 97.5 %: 3.182446
    assert causal["mean_hi"] - causal["mean"] == pytest.approx(3.182446 * 0.00354151, rel=1e-5)
    assert causal["win_rate"] == 0.5
    # over MASTER the ninth pair counts; net there is one pair of one date: no error
    assert found.filter(selection="master", event_type="all", figure="gross_return")["n"].to_list() == [9]
    net = found.filter(figure="net_return")
    assert net.select("selection", "event_type", "n", "mean", "se", "mean_lo").rows() == [
        ("master", "all", 1, 1.0, None, None),
        ("master", "vwap_cross", 1, 1.0, None, None),
    ]
    assert found["event_type"].to_list()[:2] == ["all", "flush"]
    assert matched_returns(MATCHED_LABELS.to_frame()).schema == MATCHED_RETURNS


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(
        st.tuples(st.sampled_from(["d1", "d2", "d3"]), st.booleans(), st.floats(-1, 1)), min_size=1, max_size=30
    ),
    seed=st.randoms(use_true_random=False),
)
def test_the_order_of_pairs_does_not_matter_and_types_add_up(
    values: list[tuple[str, bool, float]], seed: random.Random
) -> None:
    rows = [
        (f"c{number}", "flush" if is_flush else "halt", day, is_flush, value, value)
        for number, (day, is_flush, value) in enumerate(values)
    ]
    found = matched_returns(pairs(*rows))
    seed.shuffle(rows)
    assert_frame_equal(matched_returns(pairs(*rows)), found, abs_tol=1e-12)
    for selection in ("causal", "master"):
        some = found.filter(selection=selection, figure="net_return")
        n = {row["event_type"]: row["n"] for row in some.to_dicts()}
        assert n.pop("all", 0) == sum(n.values())
    alone = {row["event_type"]: row["n"] for row in found.filter(selection="causal").to_dicts()}
    assert alone.keys() <= {"all", "flush"}
