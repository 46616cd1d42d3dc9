"""Costs and what remains after them: by hand, and against slow rules (research specification, section 4.4)."""

import random
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.research.outcome_params import CostParams
from smallcaps_assets.domain.research.outcomes.event_costs import COSTED_EVENTS, OWN_COSTS, event_costs, net_outcomes
from smallcaps_assets.domain.research.tables.label_tables import EVENT_COSTS
from smallcaps_assets.pipeline.calendar import sessions_between
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.slow_spec import outcomes_labels as slow

SESSIONS = sessions_between(date(2025, 6, 2), date(2025, 11, 28), default_settings().sessions)
DATES = SESSIONS["date"].to_list()
# the 61st session: 60 come before it
LAST = 60
Event = tuple[str, str, date, float]
Own = dict[str, tuple[float | None, float | None]]


def costs_of(events: list[Event], own: Own, **settings: float) -> pl.DataFrame:
    """Cost and source of events (id, session, date, close) with own costs (quoted, effective)."""
    rows = [(name, session, day.isoformat(), close) for name, session, day, close in events]
    return event_costs(
        pl.DataFrame(rows, COSTED_EVENTS, orient="row"),
        pl.DataFrame([(name, *pair) for name, pair in own.items()], OWN_COSTS, orient="row"),
        SESSIONS,
        CostParams(**settings),  # type: ignore[arg-type]  # none of them is a whole number
    )


def others(count: int, place: int = LAST - 1, *, close: float = 3.0, session: str = "RTH") -> tuple[list[Event], Own]:
    """Events of one date with own costs 1, 2, ... bps."""
    names = [f"{session} {place} {close} {number}" for number in range(1, count + 1)]
    costs: Own = {name: (float(number), None) for number, name in enumerate(names, 1)}
    return [(name, session, DATES[place], close) for name in names], costs


def cost_among(events: list[Event], own: Own, close: float = 3.0) -> tuple[float | None, str]:
    """Cost and source of an RTH event of the last date without an own cost."""
    found = costs_of([*events, ("it", "RTH", DATES[LAST], close)], own).row(-1)
    return found[1], found[2]


def test_own_costs_come_first() -> None:
    events = [(name, "RTH", DATES[0], 3.0) for name in ("both", "effective", "neither", "without tape")]
    own = {"both": (40.0, 50.0), "effective": (None, 50.0), "neither": (None, None), "unknown event": (1.0, 1.0)}
    assert costs_of(events, own).rows() == [
        ("both", 40.0, "nbbo"),
        ("effective", 50.0, "effective"),
        ("neither", None, "none"),
        ("without tape", None, "none"),
    ]
    assert costs_of(events, own, cost_bps_default=30.0, fee_bps=2.5).rows() == [
        ("both", 42.5, "nbbo"),
        ("effective", 52.5, "effective"),
        ("neither", 32.5, "default"),
        ("without tape", 32.5, "default"),
    ]
    # a default of 0 is one, and fees alone are no cost
    assert costs_of(events[3:], own, cost_bps_default=0.0).rows() == [("without tape", 0.0, "default")]
    assert costs_of(events[3:], own, fee_bps=1.0).rows() == [("without tape", None, "none")]


def test_thirty_recent_events_are_enough() -> None:
    # median of 1..30, which the greatest of them does not change
    events, own = others(30)
    assert cost_among(events, own) == (15.5, "trailing")
    assert cost_among(events, own | {events[-1][0]: (1_000.0, None)}) == (15.5, "trailing")
    assert cost_among(*others(29)) == (None, "none")


def test_events_of_the_own_date_do_not_count() -> None:
    assert cost_among(*others(30, LAST)) == (None, "none")


def test_sixty_trading_days_count() -> None:
    assert cost_among(*others(30, LAST - 60)) == (15.5, "trailing")
    events, own = others(30, LAST - 60)
    # seen from the next session they lie 61 back
    assert costs_of([*events, ("it", "RTH", DATES[LAST + 1], 3.0)], own).row(-1) == ("it", None, "none")


def test_other_sessions_do_not_count() -> None:
    assert cost_among(*others(30, session="PM")) == (None, "none")


@pytest.mark.parametrize(
    ("close", "other", "is_same"),
    [
        (1.99, 0.01, True),
        (2.0, 1.999999, False),
        # 2.00 in micro-dollars
        (2.0, 1.9999996, True),
        (4.999999, 2.0, True),
        (5.0, 4.999999, False),
        (5.0, 19.999999, True),
        (20.0, 19.999999, False),
        (20.0, 700.0, True),
    ],
)
def test_price_buckets(close: float, other: float, is_same: bool) -> None:
    events, own = others(30, close=other)
    assert cost_among(events, own, close) == ((15.5, "trailing") if is_same else (None, "none"))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([None, 30.0]), st.sampled_from([0.0, 1.5]))
def test_costs_equal_the_slow_rules(seed: int, default: float | None, fee: float) -> None:
    rng = random.Random(seed)  # noqa: S311
    # few kinds, so that about 30 of one occur in 60 days
    days = rng.sample(DATES, 8)
    events = [
        (f"{number}", rng.choice(["PM", "RTH"]), rng.choice(days), rng.choice([1.99, 2.0, 4.0]))
        for number in range(rng.randrange(90, 300))
    ]
    own = {
        name: (rng.choice([None, 10.0 * rng.random()]), rng.choice([None, 10.0 * rng.random()]))
        for name, *_ in events
        if rng.random() < 0.8
    }
    rows = [dict(zip(COSTED_EVENTS, (*kind, f"{day}", close), strict=True)) for *kind, day, close in events]
    figures = {name: dict(zip(list(OWN_COSTS)[1:], pair, strict=True)) for name, pair in own.items()}
    expected = slow.costs(rows, figures, DATES, default, fee)
    values = {"fee_bps": fee} | ({} if default is None else {"cost_bps_default": default})
    found = costs_of(events, own, **values).drop("event_id").rows()
    assert found == [(None if cost is None else pytest.approx(cost, rel=1e-12), source) for cost, source in expected]


def test_the_whole_spread_is_paid_once() -> None:
    """Half of it at the entry and half at the exit: 40 bps leave 0.6 % of 1 %."""
    returns = [("a", "5,1,1", 0.010), ("a", "15,1,1", 0.004), ("a", "60,1,1", None), ("b", "5,1,1", 0.010)]
    labels = pl.DataFrame(returns, ["event_id", "label_spec", "gross_return"], orient="row")
    schema = {name: EVENT_COSTS[name] for name in ("event_id", "cost_bps", "cost_source")}
    costs = pl.DataFrame([("b", None, "none"), ("a", 40.0, "nbbo")], schema, orient="row")
    found = net_outcomes(labels, costs)
    assert found.schema == EVENT_COSTS
    assert found.rows() == [
        ("a", "5,1,1", 40.0, "nbbo", pytest.approx(0.006), True),
        # nothing remains, which is no win
        ("a", "15,1,1", 40.0, "nbbo", 0.0, False),
        ("a", "60,1,1", 40.0, "nbbo", None, None),
        ("b", "5,1,1", None, "none", None, None),
    ]
