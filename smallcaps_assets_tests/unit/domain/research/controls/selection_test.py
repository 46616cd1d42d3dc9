"""Which minutes become controls (research specification, section 7)."""

import hashlib
import random
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps_assets.domain.listings.borders import ListingBorders
from smallcaps_assets.domain.research.controls.params import ControlParams
from smallcaps_assets.domain.research.controls.tables import CONTROL_MANIFEST
from smallcaps_assets_tests.slow_spec.controls import controls as slow_controls
from smallcaps_assets_tests.strategies.sessions import EASTERN
from smallcaps_assets_tests.unit.domain.research.controls.control_scenes import (
    Moment,
    at,
    days_of,
    event,
    minutes,
    random_market,
    select,
)

# the 20 trading days before Friday 2025-11-14: from 2025-10-17 on
FRIDAY = date(2025, 11, 14)
OCTOBER = [date(2025, 10, day) for day in (17, 20, 21, 22, 23, 24, 27, 28, 29, 30, 31)]
NOVEMBER = [date(2025, 11, day) for day in (3, 4, 5, 6, 7, 10, 11, 12, 13)]
EARLIER = [*OCTOBER, *NOVEMBER]


def bars_on(days: list[date], clock: str, count: int = 3) -> list[Moment]:
    return [bar for day in days for bar in minutes(at(day, clock), count)]


def passing(days: pl.DataFrame) -> list[date]:
    return sorted(days.filter(pl.col("lost").is_null())["day"])


def test_the_twenty_trading_days_before_the_event_at_its_new_york_time() -> None:
    days = days_of([event(at(FRIDAY, "10:15"))], bars_on(EARLIER, "10:15"))
    assert passing(days) == EARLIER
    # New York is four hours behind UTC in October and five in November: 14:15 and 15:15 UTC
    hours = dict(days.select("day", pl.col("timestamp").dt.hour()).iter_rows())
    assert {hours[day] for day in OCTOBER} == {14}
    assert {hours[day] for day in NOVEMBER} == {15}
    window = days.filter(pl.col("day") == NOVEMBER[0]).row(0, named=True)
    assert (window["start"], window["end"]) == (at(NOVEMBER[0], "10:12"), at(NOVEMBER[0], "10:22"))


@pytest.mark.parametrize(
    ("start", "count", "passes"),
    [("10:12", 3, True), ("10:12", 2, False), ("10:19", 3, True), ("10:20", 3, False), ("10:11", 3, False)],
)
def test_three_bars_in_the_half_open_window(start: str, count: int, passes: bool) -> None:
    # [10:12, 10:22) holds 10:19, 10:20, 10:21, but of 10:20 to 10:22 only two
    days = days_of([event(at(FRIDAY, "10:15"))], bars_on([NOVEMBER[0]], start, count))
    assert passing(days) == NOVEMBER[:1] * passes
    assert set(days["lost"].drop_nulls()) == {"few_bars"}


@pytest.mark.parametrize(("clock", "passes"), [("09:45", False), ("09:44", True), ("10:44", False), ("10:45", True)])
def test_no_event_of_the_symbol_half_an_hour_before_or_after(clock: str, passes: bool) -> None:
    day = NOVEMBER[0]
    days = days_of([event(at(FRIDAY, "10:15"))], bars_on([day], "10:15"), [("AAA", at(day, clock))])
    assert passing(days) == [day] * passes
    # of another symbol it does not matter
    other = days_of([event(at(FRIDAY, "10:15"))], bars_on([day], "10:15"), [("AAAA", at(day, clock))])
    assert passing(other) == [day]


@pytest.mark.parametrize(
    ("executed", "lost"),
    [(FRIDAY + timedelta(days=3), 0), (FRIDAY, 20), (NOVEMBER[0], 11), (OCTOBER[0], 0), (OCTOBER[1], 1)],
)
def test_no_split_after_the_day_up_to_the_event(executed: date, lost: int) -> None:
    # executed on 2025-11-03: the eleven days of October are before it; its own day trades after the split
    bars = bars_on(EARLIER, "10:15")
    found = days_of([event(at(FRIDAY, "10:15"))], bars, splits=[("AAA", executed)])
    assert passing(found) == EARLIER[lost:]
    assert passing(days_of([event(at(FRIDAY, "10:15"))], bars, splits=[("AA", executed)])) == EARLIER
    assert passing(days_of([event(at(FRIDAY, "10:15"))], bars)) == EARLIER


def test_no_day_of_another_owner_of_the_ticker() -> None:
    # a new owner on 2025-11-03: the eleven days of October are of the one before
    bars, borders = bars_on(EARLIER, "10:15"), ListingBorders({"AAA": (NOVEMBER[0],), "AAB": (NOVEMBER[5],)})
    found = days_of([event(at(FRIDAY, "10:15"))], bars, borders=borders)
    assert passing(found) == NOVEMBER
    assert set(found["lost"].drop_nulls()) == {"other_listing"}


def test_early_closes_match_early_closes_and_sessions_sessions() -> None:
    half, eve = date(2025, 11, 28), date(2025, 12, 24)
    bars = bars_on([half, date(2025, 11, 26), date(2025, 12, 23)], "12:30")
    bars += bars_on([half, date(2025, 11, 26), date(2025, 12, 23)], "13:30")
    # 2025-12-24 closes at 13:00, and so did 2025-11-28, the 18th trading day before it
    assert passing(days_of([event(at(eve, "12:30"))], bars)) == [half]
    assert passing(days_of([event(at(eve, "13:30"))], bars)) == [half]
    # at 13:30 a full day is in regular hours, the half day after hours
    after = days_of([event(at(date(2025, 12, 26), "13:30"))], bars)
    assert passing(after) == [date(2025, 11, 26), date(2025, 12, 23)]
    reasons = dict(after.filter(pl.col("lost") != "few_bars").select("day", "lost").iter_rows())
    assert reasons == {half: "other_session", eve: "other_session"}
    before = days_of([event(at(date(2025, 12, 26), "12:30"))], bars)
    assert dict(before.filter(pl.col("lost") != "few_bars").select("day", "lost").iter_rows()) == {
        half: "early_close",
        eve: "early_close",
    }


def test_the_first_hash_is_the_control() -> None:
    rows = [event(at(FRIDAY, "10:15"))]
    found = select(rows, days_of(rows, bars_on(EARLIER, "10:15"))).controls
    texts = [f"{rows[0]['event_id']}|{day:%Y-%m-%d}" for day in EARLIER]
    first = min(texts, key=lambda text: hashlib.sha1(text.encode()).hexdigest())  # noqa: S324
    assert found.schema == CONTROL_MANIFEST
    assert found["control_of"].to_list() == [rows[0]["event_id"]]
    assert found["date"].to_list() == [first[-10:]]
    assert found["direction"].to_list() == ["down"]


def test_the_identifier_is_that_of_an_event_of_the_type_control() -> None:
    rows = [event(at(date(2022, 10, 11), "09:30"), symbol="ATRA")]
    days = days_of(rows, minutes(at(date(2022, 10, 10), "09:30"), 3, "ATRA"))
    # `printf '%s' 'ATRA|control|2022-10-10T13:30:00+00:00' | sha1sum`
    text = "ATRA|control|2022-10-10T13:30:00+00:00"
    tail = hashlib.sha1(text.encode()).hexdigest()[:8]  # noqa: S324
    assert select(rows, days).controls["control_id"].to_list() == [f"ATRA_control_20221010_133000_{tail}"]


def test_limits_count_rows_in_the_order_of_rank() -> None:
    # ranks 1 to 8; the first three of AAA have controls, the fourth is skipped; rank 2 has no complete tape
    rows = [event(at(FRIDAY, f"10:{minute}"), rank, "AAA") for rank, minute in ((1, 10), (3, 40), (4, 50), (5, 20))]
    rows += [event(at(FRIDAY, "10:15"), rank, f"B{rank}") for rank in (2, 6, 7, 8)]
    bars = bars_on(EARLIER, "10:00", 60) + [
        bar for rank in (2, 6, 7) for bar in minutes(at(NOVEMBER[0], "10:15"), 3, f"B{rank}")
    ]
    days = days_of(rows, bars)
    complete = [row["event_id"] for row in rows if row["rank"] != 2]
    found = select(rows, days, complete=complete)
    assert found.controls["rank"].to_list() == [1, 3, 4, 6, 7]
    assert found.figures == {
        "events": 8, "tape_not_complete": 1, "at_symbol_limit": 1, "beyond_share": 0, "controls": 5, "windows": 5,
    }  # fmt: skip
    assert found.without == {"few_bars": 1}
    # floor(0.5 x 8) = 4 rows, and floor(0.49 x 8) = 3
    assert select(rows, days, complete=complete, share=0.5).controls["rank"].to_list() == [1, 3, 4, 6]
    assert select(rows, days, complete=complete, share=0.49).controls["rank"].to_list() == [1, 3, 4]
    beyond = select(rows, days, complete=complete, share=0.49).figures
    assert (beyond["at_symbol_limit"], beyond["beyond_share"]) == (0, 4)
    assert select(rows, days, complete=complete, max_per_symbol=1).controls["rank"].to_list() == [1, 6, 7]
    assert select(rows, days, complete=[]).controls.is_empty()


def test_a_share_of_rows_that_is_whole_is_not_rounded_down() -> None:
    # 0.58 x 50 = 29, in floating point 28.999999999999996
    rows = [event(at(FRIDAY, "10:15"), rank, f"S{rank}") for rank in range(1, 51)]
    bars = [bar for row in rows for bar in minutes(at(NOVEMBER[0], "10:15"), 3, row["symbol"])]
    days = days_of(rows, bars)
    assert select(rows, days, share=0.58).controls["rank"].to_list() == [*range(1, 30)]
    assert select(rows, days, share=0.579).controls.height == 28


def test_an_event_without_a_control_counts_once_by_what_took_its_last_day() -> None:
    rows = [event(at(FRIDAY, "10:15"), 1), event(at(FRIDAY, "10:15"), 2, "BBB"), event(at(FRIDAY, "10:15"), 3, "CCC")]
    near = [("AAA", at(day, "10:15")) for day in EARLIER]
    # BBB: an event near its only day with bars, the others lack bars; CCC: a split took all
    bars = minutes(at(NOVEMBER[0], "10:15"), 3, "BBB")
    days = days_of(rows, bars, [*near, ("BBB", at(NOVEMBER[0], "10:15"))], [("CCC", FRIDAY)])
    assert select(rows, days).without == {"split_since": 1, "event_near": 1, "few_bars": 1}


def test_nothing_gives_nothing() -> None:
    days = days_of([], [])
    assert select([], days).figures["controls"] == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_controls_are_those_of_the_slow_rules(seed: int) -> None:
    rows, bars, others, splits = random_market(seed)
    rng = random.Random(seed)  # noqa: S311
    complete = [row["event_id"] for row in rows if rng.random() < 0.8]
    share, most = rng.choice([0.25, 0.5, 0.29, 1.0]), rng.choice([1, 2, 3])
    found = select(
        rows, days_of(rows, bars, others, splits), complete=complete, share=share, max_per_symbol=most
    ).controls
    master = [(row["symbol"], row["timestamp"]) for row in rows] + others
    slow = slow_controls(rows, complete, master, splits, bars, share=share, max_per_symbol=most)
    assert found.to_dicts() == [{name: row[name] for name in CONTROL_MANIFEST} for row in slow]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), back=st.integers(1, 30))
def test_laws_of_controls(seed: int, back: int) -> None:
    """Earlier days only, the same clock, no event near, and the order of the events given does not matter."""
    rows, bars, others, splits = random_market(seed)
    params = ControlParams(control_days=back)
    days = days_of(rows, bars, others, splits, params)
    found = select(rows, days).controls
    events = {row["event_id"]: row for row in rows}
    near = timedelta(minutes=30)
    for control in found.to_dicts():
        of = events[control["control_of"]]
        then, when = (row["timestamp"].astimezone(EASTERN) for row in (control, of))
        assert then.date() < when.date()
        assert then.time() == when.time()
        assert control["session"] == of["session"]
        known = [(row["symbol"], row["timestamp"]) for row in rows] + others
        assert not any(
            symbol == control["symbol"] and control["timestamp"] - near <= moment < control["timestamp"] + near
            for symbol, moment in known
        )
    assert days.group_by("control_of").len().filter(pl.col("len") > back).is_empty()
    shuffled = random.Random(seed).sample(rows, len(rows))  # noqa: S311
    assert select(shuffled, days_of(shuffled, bars, others, splits, params)).controls.equals(found)
