"""Which bars follow an event, and its entry (research specification, section 4.1)."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from smallcaps_assets_tests.unit.domain.research.outcomes.hand_bars import (
    DAY,
    HALF_DAY,
    after,
    at,
    bars_of,
    events_at,
    flat,
)


def _us(clock: str, day: date = DAY) -> int:
    return int(at(clock, day).timestamp() * 1_000_000)


def test_bars_of_the_event_and_after_it() -> None:
    # three symbols, of which the second has the events; 10:02 is missing
    bars = bars_of([*flat("10:00", 2, 5.0), *flat("10:03", 3, 5.0)])
    found = after(
        events_at("10:01", "10:00"), bars, bars_of(flat("10:00", 9, 7.0), "AA"), bars_of(flat("10:00", 9, 7.0), "B")
    )
    assert found.own.tolist() == [10, 9]
    assert found.first.tolist() == [11, 10]
    assert found.known_at.tolist() == [_us("10:02"), _us("10:01")]
    # bars that start in [10:02, 10:04) and in [10:01, 10:04)
    assert found.count_until(np.array([_us("10:04")] * 2)).tolist() == [1, 2]
    # to the last bar of the symbol, not into the next one
    assert found.count_until(found.end_of_day).tolist() == [3, 4]
    assert found.entries.position.tolist() == [11, 10]
    assert found.entries.at.tolist() == [_us("10:03"), _us("10:01")]


def test_events_without_a_bar_are_left_out() -> None:
    bars = bars_of(flat("10:00", 2, 5.0), "M")
    events = pl.concat(events_at("10:00", "10:02", symbol=symbol) for symbol in ("A", "M", "Z"))
    assert after(events, bars).events["event_id"].to_list() == ["M 10:00"]
    assert len(after(events.clear(), bars)) == 0
    assert len(after(events, bars.clear())) == 0


@pytest.mark.parametrize(("start", "has_entry"), [("10:05", True), ("10:06", False)])
def test_an_entry_starts_before_five_minutes_are_over(start: str, has_entry: bool) -> None:
    # K = 10:01: 10:05 is the last start before 10:06
    found = after(events_at("10:00"), bars_of([*flat("10:00", 1, 5.0), *flat(start, 5, 6.0)]))
    assert found.entries.exists.tolist() == [has_entry]
    assert found.entries.price.tolist() == [6_000_000 if has_entry else 0]


@pytest.mark.parametrize(("day", "last", "end"), [(DAY, "19:58", "20:00"), (HALF_DAY, "16:58", "17:00")])
def test_nothing_follows_after_hours(day: date, last: str, end: str) -> None:
    """The bar at the end of after-hours is in no session, and the next day's bars are not of the date."""
    rows = flat(last, 4, 5.0)
    next_day = bars_of(flat("04:00", 5, 9.0), day=date(2025, 12, 1))
    found = after(events_at(*(row[0] for row in rows[:2]), day=day), bars_of(rows, day=day), next_day)
    assert found.end_of_day.tolist() == [_us(end, day)] * 2
    assert found.until(60).tolist() == [_us(end, day)] * 2
    assert found.count_until(found.known_at + 10**12).tolist() == [1, 0]
    assert found.entries.exists.tolist() == [True, False]


def test_clocks_follow_daylight_saving_time() -> None:
    # it ended on 2025-11-02: the close is at 20:00 UTC before, at 21:00 after
    for day, hour in ((date(2025, 10, 31), 20), (date(2025, 11, 3), 21)):
        found = after(events_at("15:58", day=day), bars_of(flat("15:58", 5, 5.0), day=day))
        assert found.regular_close.tolist() == [_us("16:00", day)]
        assert at("16:00", day).hour == hour
