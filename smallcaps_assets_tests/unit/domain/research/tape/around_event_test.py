"""Spread, speed and imbalance in steps of five seconds around events, worked out by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from smallcaps_assets.domain.research.micro.tables import MICRO_WINDOWS
from smallcaps_assets.domain.research.params import ResearchParams
from smallcaps_assets.domain.research.tape.around_event import (
    MEANS_AROUND,
    STEPS_AROUND,
    choose_evenly,
    mean_around,
    steps_around,
)
from smallcaps_assets.domain.research.tape.conditions import CONDITION_RULES
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets_tests.scenarios import new_york, sessions_of
from smallcaps_assets_tests.unit.domain.research.micro.tapes import QUOTES, TRADES

EVENT = new_york("2025-11-05 10:00").astimezone(UTC)
KNOWN = EVENT + timedelta(minutes=1)
# seconds after the event is known: bid, ask
BOOK = {-300.0: (9.99, 10.01), 1.1: (9.98, 10.02), 15.0: (10.0, 10.0)}
# seconds after the event is known: price, shares, conditions
PRINTS = (
    (-61.0, 10.01, 100.0, [1]),
    (0.0, 10.01, 300.0, [1]),
    (2.0, 9.98, 100.0, [1]),
    # a price that is no market price counts in volume and has no side
    (4.9, 10.0, 500.0, [2]),
    (5.0, 10.02, 50.0, [1]),
    # an unknown condition counts for nothing
    (6.0, 10.0, 100.0, [999]),
    (301.0, 10.0, 100.0, [1]),
)
RULES = pl.DataFrame([(1, True, True, True), (2, False, False, True)], schema=CONDITION_RULES, orient="row")


def at(second: float) -> datetime:
    return KNOWN + timedelta(seconds=second)


def steps(*windows: tuple[str, str, int, int]) -> pl.DataFrame:
    """The steps of windows of the tape: id, direction, minutes before and after."""
    rows = [
        {
            "event_id": name,
            "span": 0,
            "timestamp": EVENT,
            "direction": direction,
            "window_before_min": before,
            "window_after_min": after,
        }
        for name, direction, before, after in windows
    ]
    trades = [
        {"span": 0, "timestamp": at(second), "price": price, "size": size, "exchange": 11, "conditions": ids}
        for second, price, size, ids in PRINTS
    ]
    quotes = [
        {
            "span": 0,
            "timestamp": at(second),
            "bid_price": bid,
            "bid_size": 100.0,
            "ask_price": ask,
            "ask_size": 100.0,
        }
        for second, (bid, ask) in BOOK.items()
    ]
    return steps_around(
        pl.DataFrame(rows, schema={name: MICRO_WINDOWS[name] for name in rows[0]}).match_to_schema(
            MICRO_WINDOWS, missing_columns="insert"
        ),
        pl.DataFrame(trades, schema=TRADES),
        pl.DataFrame(quotes, schema=QUOTES),
        TapeReading(RULES, sessions_of("2025-11-05"), ResearchParams()),
    )


def test_steps_around_an_event() -> None:
    found = steps(("up", "up", 3, 7))
    assert found.schema == STEPS_AROUND
    assert found["second"].to_list() == list(range(-180, 300, 5))
    by_second = {second: rest for _, second, *rest in found.iter_rows()}
    # 0.02 of 10.00; nobody trades
    assert by_second[-180] == [pytest.approx(20.0), 0, None]
    # 5 of 25 points see the book of 20 bps, 20 that of 40 bps; bought 3,003 dollars, sold 998 dollars
    assert by_second[0] == [pytest.approx(36.0), 3, pytest.approx((3003 - 998) / (3003 + 998))]
    assert by_second[5] == [pytest.approx(40.0), 1, 1.0]
    # the book that is locked at 15.0 is in force after it
    assert by_second[10] == [pytest.approx(40.0), 0, None]
    assert by_second[15] == [None, 0, None]
    # 10.01 above the middle: bought; 301 s are beyond the last step
    assert by_second[-65] == [pytest.approx(20.0), 1, 1.0]
    assert found["trades"].sum() == 5


def test_imbalance_is_towards_the_direction_of_the_event() -> None:
    up, down = (steps(("one", direction, 3, 7))["imbalance"].drop_nulls().to_list() for direction in ("up", "down"))
    assert len(up) == 3
    assert down == [-value for value in up]


def test_only_steps_inside_the_window_count_and_every_event_counts_once() -> None:
    found = steps(("long", "up", 3, 7), ("short", "down", 1, 2))
    short = found.filter(event_id="short")
    # from 60 s before the event's minute to 60 s after it
    assert short["second"].to_list() == list(range(-120, 60, 5))
    types = pl.DataFrame({"event_id": ["long", "short", "other"], "event_type": ["flush", "flush", "flush"]})
    means = mean_around(found, types)
    assert means.schema == MEANS_AROUND
    by_second = {second: rest for _, second, *rest in means.iter_rows()}
    assert by_second[-180] == [1, pytest.approx(20.0), 0.0, None]
    # one event is up, the other down
    assert by_second[0] == [2, pytest.approx(36.0), pytest.approx(0.6), pytest.approx(0.0)]
    assert by_second[60][0] == 1


def test_a_sample_has_as_many_events_of_each_type_as_there_are() -> None:
    names = [*(f"a{number}" for number in range(9)), "b0", "c0", "c1"]
    events = pl.DataFrame({"event_id": names, "event_type": [name[0] for name in names]})
    for count, expected in (
        (6, {"a": 3, "b": 1, "c": 2}),
        (3, {"a": 1, "b": 1, "c": 1}),
        (99, {"a": 9, "b": 1, "c": 2}),
    ):
        chosen = choose_evenly(events, count)
        assert dict(chosen.group_by("event_type").len().iter_rows()) == expected
        assert set(chosen["event_id"]) == set(choose_evenly(events.reverse(), count)["event_id"])
