"""The steps of a selection: thresholds, groups, limits, ranks; worked out by hand."""

from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.manifests.selection import select_events, session_distribution
from smallcaps_assets.domain.tables import MANIFEST
from smallcaps_assets_tests.conftest import event, master_of
from smallcaps_assets_tests.scenarios import default_settings
from smallcaps_assets_tests.unit.domain.manifests.selecting import GENEROUS, GOOD, STEPS, core, funnel, ids, selected


@pytest.mark.parametrize(
    ("changes", "values", "step", "stays"),
    [
        # 1: both ends of a range are in it
        ({"first_date": "2025-11-04"}, {"date": "2025-11-03"}, 0, False),
        ({"first_date": "2025-11-04"}, {"date": "2025-11-04"}, 0, True),
        ({"last_date": "2025-11-06"}, {"date": "2025-11-06"}, 0, True),
        ({"last_date": "2025-11-06"}, {"date": "2025-11-07"}, 0, False),
        ({"sessions": ["RTH", "AH"]}, {"session": "PM"}, 0, False),
        ({"sessions": ["RTH", "AH"]}, {"session": "AH"}, 0, True),
        # 2
        ({}, {"score": 0.6}, 1, True),
        ({}, {"score": 0.5999}, 1, False),
        # 3
        ({}, {"dollar_volume": 100_000.0}, 2, True),
        ({}, {"dollar_volume": 99_999.0}, 2, False),
        ({}, {"volume": 10_000.0}, 2, True),
        ({}, {"volume": 9_999.5}, 2, False),
        # 0.5 of 10.0 is 5 %
        ({}, {"high": 10.5, "vwap_at_event": 10.0}, 2, True),
        ({}, {"high": 10.51, "vwap_at_event": 10.0}, 2, False),
        # 4
        ({}, {"dollar_volume_day": 500_000.0}, 3, True),
        ({}, {"dollar_volume_day": 499_999.0}, 3, False),
        ({}, {"rvol_day": 1.5}, 3, True),
        ({}, {"rvol_day": 1.49}, 3, False),
        ({}, {"rvol_day": None}, 3, True),
    ],
)
def test_a_row_passes_or_falls_at_its_step(
    changes: dict[str, Any], values: dict[str, Any], step: int, stays: bool
) -> None:
    selection = selected(GOOD, event(event_id="other", **values), **changes)
    assert ("other" in ids(selection)) == stays
    assert funnel(selection) == [2] * 8 if stays else [2] * step + [1] * (8 - step)


def test_unknown_rvol_is_counted_where_it_passed() -> None:
    unknown = event(event_id="unknown", rvol_day=None)
    # counted where it passes, also where a later step takes it
    assert selected(GOOD, unknown, max_events=1).funnel[3]["rvol_day_unknown"] == 1
    assert selected(GOOD).funnel[3] == {"step": "day_liquidity", "rows": 1, "rvol_day_unknown": 0}


def test_of_a_group_the_best_ranked_event_stays() -> None:
    # 0.95 x 0.88 = 0.836 of tape_speed is less than 0.85 x 1.00 of volume_spike
    loud = event(event_id="loud", score=0.95, event_type="tape_speed", event_group_id="g")
    best = event(event_id="best", score=0.85, event_group_id="g")
    selection = selected(loud, best, **GENEROUS)
    assert ids(selection) == ["best"]
    assert funnel(selection) == [2, 2, 2, 2, 1, 1, 1, 1]


def test_limits_per_symbol_and_day_come_before_the_limit_per_symbol() -> None:
    rows = [
        event(f"2025-11-0{day} {10 + hour}:00", event_id=f"{day}{hour}", score=0.9 - day / 100 - hour / 1000)
        for day in (3, 4, 5, 6)
        for hour in (0, 1)
    ]
    selection = selected(*rows, GOOD)
    # one of each day, then the three best days; the second event of a day never takes the place of a day
    assert ids(selection) == ["30", "40", "50", "good"]
    assert funnel(selection) == [9, 9, 9, 9, 9, 5, 4, 4]


def test_a_step_is_judged_on_what_the_steps_before_left() -> None:
    # the better one of the group falls at the liquidity of its bar, so the other is the best that is left
    thin = event(event_id="thin", score=0.9, volume=10.0, event_group_id="g")
    deep = event(event_id="deep", score=0.8, event_group_id="g")
    assert ids(selected(thin, deep)) == ["deep"]


def test_ranks_and_what_decides_ties() -> None:
    rows = [
        event(event_id="f", rvol_day=None, dollar_volume=9e9),
        event(event_id="e2", rvol_day=2.0, dollar_volume=200_000.0),
        event(event_id="e1", rvol_day=2.0, dollar_volume=200_000.0),
        event(event_id="d", rvol_day=2.0, dollar_volume=300_000.0),
        event(event_id="c", rvol_day=3.0, dollar_volume=100_000.0),
        # 0.8 / 0.98 x 0.98 would be a tie by arithmetic only; 0.82 x 0.98 = 0.8036 is more than 0.8
        event(event_id="b", score=0.82, event_type="vwap_break", rvol_day=None),
        event(event_id="a", score=0.9),
    ]
    manifest = selected(*rows, **GENEROUS).manifest
    assert manifest["event_id"].to_list() == ["a", "b", "c", "d", "e1", "e2", "f"]
    assert manifest["rank"].to_list() == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("event_type", "weight"),
    [
        ("volume_spike", 1.00),
        ("vwap_break", 0.98),
        ("consolidation_break", 0.96),
        ("opening_range_break", 0.94),
        ("price_momentum", 0.92),
        ("flush", 0.90),
        ("tape_speed", 0.88),
    ],
)
def test_types_have_the_weights_of_the_settings(event_type: str, weight: float) -> None:
    typed = event(event_id="typed", event_type=event_type, score=0.9)
    above, below = (event(event_id=name, score=0.9 * weight + by) for name, by in (("above", 1e-6), ("below", -1e-6)))
    assert ids(selected(below, typed, above, **GENEROUS)) == ["above", "typed", "below"]


def test_the_order_of_master_does_not_matter() -> None:
    rows = [event(event_id=f"{n:02}", symbol=f"S{n % 7}", score=0.7 + n % 3 / 10) for n in range(40)]
    limits = {"max_events": 11, **GENEROUS}
    assert ids(selected(*rows, **limits)) == ids(selected(*reversed(rows), **limits))


def test_events_of_symbols_that_were_not_in_the_universe_are_left_out_after_the_first_step() -> None:
    rows = [event(event_id=name, symbol=name) for name in ("in", "fund", "large", "unknown", "nobody")]
    rows.append(event("2025-11-05 08:00", event_id="pm", symbol="PM", session="PM"))
    verdicts = {
        "in": (True, None, None),
        "fund": (False, "type", None),
        "large": (False, "market_cap", None),
        "unknown": (None, None, "market_cap"),
        "nobody": (None, None, "listing"),
        "pm": (False, "type", None),
    }
    judged = pl.DataFrame(
        [(name, *verdict) for name, verdict in reversed(verdicts.items())],
        {"event_id": pl.String, "in_universe_at_event": pl.Boolean, "excluded_by": pl.String, "unknown": pl.String},
        orient="row",
    )
    profile, ranking = core(sessions=["RTH"]), default_settings().ranking
    selection = select_events(master_of(*rows), profile, ranking, at_event=judged)
    assert set(ids(selection)) == {"in", "unknown", "nobody"}
    assert [step["step"] for step in selection.funnel] == [STEPS[0], "in_universe_at_event", *STEPS[1:]]
    # the events of other sessions are gone before
    assert selection.funnel[1] == {
        "step": "in_universe_at_event",
        "rows": 3,
        "excluded_by_market_cap": 1,
        "excluded_by_type": 1,
        "unknown_listing": 1,
        "unknown_market_cap": 1,
    }
    assert selection.manifest.schema == MANIFEST
    with pytest.raises(ValueError, match="a verdict on every event"):
        select_events(master_of(*rows), profile, ranking, at_event=judged.head(5))


def test_an_empty_master_gives_an_empty_manifest() -> None:
    selection = selected()
    assert selection.manifest.schema == MANIFEST
    assert funnel(selection) == [0] * 8
    assert session_distribution(selection.manifest)["RTH"] == {"count": 0, "percentage": 0.0}


def test_the_mix_of_sessions() -> None:
    rows = [
        event("2025-11-05 08:00", session="PM", symbol="A"),
        *(event(symbol=symbol) for symbol in "BCD"),
    ]
    assert session_distribution(selected(*rows).manifest) == {
        "PM": {"count": 1, "percentage": 25.0},
        "RTH": {"count": 3, "percentage": 75.0},
        "AH": {"count": 0, "percentage": 0.0},
    }
