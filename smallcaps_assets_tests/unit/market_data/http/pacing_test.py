"""The token bucket under a clock that only the test moves."""

import math
import threading
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.market_data.http.pacing import TokenBucket


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_starts_at_once_and_the_rest_at_the_pace() -> None:
    bucket = TokenBucket(300, burst=5, clock=ManualClock())
    delays = [bucket.reserve().delay_s for _ in range(105)]
    assert delays[:5] == [0.0] * 5
    assert delays[-1] == pytest.approx(20.0)


def test_idle_time_fills_no_more_than_the_burst() -> None:
    clock = ManualClock()
    bucket = TokenBucket(60, burst=3, clock=clock)
    clock.now = 1e6
    assert [bucket.reserve().delay_s for _ in range(5)] == pytest.approx([0, 0, 0, 1, 2])


def test_no_limit_never_waits() -> None:
    bucket = TokenBucket(None, clock=ManualClock())
    assert {bucket.reserve().delay_s for _ in range(1000)} == {0.0}


@pytest.mark.parametrize("requests_per_minute", [None, 60])
def test_a_penalty_delays_all_reservations(requests_per_minute: float | None) -> None:
    clock = ManualClock()
    bucket = TokenBucket(requests_per_minute, burst=4, clock=clock)
    bucket.penalise(30)
    bucket.penalise(10)
    assert bucket.reserve().delay_s == pytest.approx(30)
    clock.now = 31
    assert bucket.reserve().delay_s == 0.0


def test_no_burst_follows_a_penalty() -> None:
    bucket = TokenBucket(60, burst=4, clock=ManualClock())
    bucket.penalise(30)
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([30, 31, 32])


@pytest.mark.parametrize("pace", [0, -1, math.inf, math.nan])
def test_an_invalid_pace_is_rejected(pace: float) -> None:
    with pytest.raises(ValueError, match="requests_per_minute"):
        TokenBucket(pace)


def test_an_invalid_burst_or_penalty_is_rejected() -> None:
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, burst=0)
    with pytest.raises(ValueError, match="more than the 5 requests"):
        TokenBucket(5, burst=6)
    for seconds in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="penalty"):
            TokenBucket(1).penalise(seconds)


def test_threads_share_one_budget() -> None:
    bucket = TokenBucket(60, clock=ManualClock())
    delays: list[float] = []

    def reserve_many() -> None:
        delays.extend(bucket.reserve().delay_s for _ in range(50))

    threads = [threading.Thread(target=reserve_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delays) == pytest.approx(list(range(200)))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 120)),
        st.tuples(st.just("reserve"), st.just(0.0)),
        st.tuples(st.just("penalise"), st.floats(0, 90)),
    ),
    max_size=60,
)


@given(steps=steps, per_minute=st.floats(8, 6000), burst=st.integers(1, 8))
def test_never_more_than_burst_and_pace_allow(steps: list[tuple[str, float]], per_minute: float, burst: int) -> None:
    clock = ManualClock()
    bucket = TokenBucket(per_minute, burst=burst, clock=clock)
    starts: list[float] = []
    barred_until = 0.0
    for action, seconds in steps:
        if action == "pass":
            clock.now += seconds
        elif action == "penalise":
            bucket.penalise(seconds)
            barred_until = max(barred_until, clock.now + seconds)
            starts = [start for start in starts if start <= clock.now]  # the others are void and reserve anew
        else:
            starts.append(clock.now + bucket.reserve().delay_s)
            assert starts[-1] >= barred_until - 1e-6
    assert starts == sorted(starts)
    for i, first in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= burst + (starts[j] - first) * per_minute / 60 + 1e-6
        assert sum(first <= start < first + 60 for start in starts) <= per_minute + 1e-6


def test_callers_that_come_late_catch_up_at_a_quarter_above_the_rate() -> None:
    clock = ManualClock()
    bucket = TokenBucket(121, late_s=0.5, clock=clock)  # one for every 60.5 s / 121 = 0.5 s
    assert bucket.reserve().start == 0
    clock.now = 1.0  # nobody came at 0.5 and 1.0 s
    starts = [bucket.reserve().start for _ in range(8)]
    # 0.4 s apart until the slot of 3.0 s, the sixth, is due no earlier than its turn
    assert starts == pytest.approx([1.0, 1.4, 1.8, 2.2, 2.6, 3.0, 3.5, 4.0])
    # a longer absence counts as half a second
    clock.now = 100.0
    assert [bucket.reserve().start for _ in range(7)] == pytest.approx([100, 100.4, 100.8, 101.2, 101.6, 102, 102.5])


@given(
    steps=st.lists(st.one_of(st.just(0.0), st.floats(0, 3)), max_size=300),
    per_minute=st.sampled_from([5, 60, 600]),
    burst=st.integers(1, 3),
)
def test_catching_up_exceeds_neither_the_minute_nor_a_quarter_above_the_rate(
    steps: list[float], per_minute: int, burst: int
) -> None:
    clock = ManualClock()
    bucket = TokenBucket(per_minute, burst=burst, late_s=1.0, clock=clock)
    starts = []
    for seconds in steps:
        clock.now += seconds
        starts.append(bucket.reserve().start)
    for i, first in enumerate(starts):
        assert sum(first <= start < first + 61 - 1e-9 for start in starts) <= per_minute
        for j in range(i, len(starts)):
            assert j - i + 1 <= burst + (starts[j] - first) * 1.25 * per_minute / 61 + 1e-6


@given(lateness=st.lists(st.floats(0, 0.999), min_size=150, max_size=150), per_minute=st.sampled_from([5, 60, 100]))
def test_no_minute_of_the_vendors_sees_more_than_the_budget_however_late_each_is(
    lateness: list[float], per_minute: int
) -> None:
    bucket = TokenBucket(per_minute, late_s=1.0, clock=ManualClock())
    arrivals = sorted(bucket.reserve().delay_s + late for late in lateness)
    for first in arrivals:
        assert sum(first <= arrival < first + 60 for arrival in arrivals) <= per_minute


def test_a_penalty_makes_void_what_was_reserved_before_it() -> None:
    clock = ManualClock()
    bucket = TokenBucket(60, clock=clock)
    before = [bucket.reserve() for _ in range(10)]
    assert all(bucket.is_valid(ticket) for ticket in before)
    bucket.penalise(30)
    assert not any(bucket.is_valid(ticket) for ticket in before)
    # those who reserve anew come one after the other, not all at the end of the penalty
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([30, 31, 32])


def test_invalid_reservations_do_not_use_up_the_budget() -> None:
    bucket = TokenBucket(60, clock=ManualClock())
    for _ in range(60):
        bucket.reserve()
    bucket.penalise(0)
    # only the first of them, at 0 s, was sent
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([1, 2, 3])


def test_the_pace_is_halved_once_for_all_requests_under_way_and_recovers() -> None:
    clock = ManualClock()
    bucket = TokenBucket(60, clock=clock)
    under_way = [bucket.reserve() for _ in range(4)]
    clock.now = 4
    for ticket in under_way:
        bucket.penalise(0, ticket, slower=True)
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([1, 3, 5])
    clock.now = 100  # six quiet periods: 2 s / 1.25^6 is less than one second, the interval of the budget
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([0, 1, 2])


def interval_s(bucket: TokenBucket) -> float:
    """Seconds between the starts of two requests that are reserved now."""
    first, second = bucket.reserve(), bucket.reserve()
    return second.start - first.start


@pytest.mark.parametrize("requests_per_minute", [60, None])
def test_the_pace_recovers_by_one_step_for_every_15_s_without_a_429(requests_per_minute: float | None) -> None:
    clock = ManualClock()
    bucket = TokenBucket(requests_per_minute, clock=clock)
    bucket.reserve()
    clock.now = 1
    bucket.penalise(0, slower=True)
    bucket.penalise(0, slower=True)
    # 1 s between requests (one within the last second, where there is no budget), halved twice
    assert interval_s(bucket) == pytest.approx(4)
    for now, steps in ((15.9, 0), (16, 1), (30.9, 1), (31, 2), (62, 4)):
        clock.now = now
        assert interval_s(bucket) == pytest.approx(4 / 1.25**steps), now


def test_without_a_budget_the_pace_after_a_429_is_half_of_the_sent_rate() -> None:
    clock = ManualClock()
    bucket = TokenBucket(None, clock=clock)
    for _ in range(120):
        clock.now += 0.25
        ticket = bucket.reserve()
    bucket.penalise(0, ticket, slower=True)
    # 120 in 29.75 s, the last one just now
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([2 * k * 29.75 / 120 for k in (1, 2, 3)])
    clock.now += 3600
    assert {bucket.reserve().delay_s for _ in range(100)} == {0.0}


def test_the_pace_never_falls_below_one_request_a_minute() -> None:
    bucket = TokenBucket(6000, clock=ManualClock())
    for _ in range(100):
        bucket.penalise(0, slower=True)
    first, second = (bucket.reserve().delay_s for _ in range(2))
    assert second - first == pytest.approx(60)


@pytest.mark.parametrize("burst", [1, 30, 60])
def test_a_burst_takes_nothing_from_the_budget(burst: int) -> None:
    bucket = TokenBucket(60, burst=burst, clock=ManualClock())
    starts = [bucket.reserve().delay_s for _ in range(601)]
    assert starts[-1] <= 600
    for first in starts:
        assert sum(first <= start < first + 60 for start in starts) <= 60


def test_a_bucket_without_history_starts_without_a_burst() -> None:
    bucket = TokenBucket(60, burst=10, fresh=False, clock=ManualClock())
    assert [bucket.reserve().delay_s for _ in range(3)] == pytest.approx([1, 2, 3])


def test_a_reservation_that_is_used_too_late_is_renewed() -> None:
    clock = ManualClock()
    bucket = TokenBucket(60, late_s=0.5, clock=clock)
    bucket.reserve()
    ticket = bucket.reserve()
    clock.now = ticket.start + 0.5
    assert bucket.is_valid(ticket)
    clock.now += 0.1
    assert not bucket.is_valid(ticket)


@given(
    steps=st.lists(st.floats(0, 40), max_size=60),
    per_minute=st.sampled_from([1.0, 7.0, 20.0]),
    burst=st.integers(1, 5),
)
def test_the_count_of_the_last_minute_never_exceeds_the_limit(
    steps: list[float], per_minute: float, burst: int
) -> None:
    clock = ManualClock()
    bucket = TokenBucket(per_minute, burst=min(burst, int(per_minute)), clock=clock)
    for pause in steps:
        ticket = bucket.reserve()
        clock.now = ticket.start + pause
        bucket.record_sent(ticket)
        assert bucket.sent_in_last_minute() <= per_minute


def test_requests_are_forgotten_after_a_minute() -> None:
    clock = ManualClock()
    bucket = TokenBucket(None, clock=clock)
    for start in (0.0, 1.0, 30.0):
        clock.now = start
        bucket.record_sent(bucket.reserve())
    clock.now = 60.5
    assert bucket.sent_in_last_minute() == 2
    clock.now = 91.0
    assert bucket.sent_in_last_minute() == 0


@pytest.mark.slow
@pytest.mark.parametrize("requests_per_minute", [None, 330, 6_000])
def test_a_day_of_429s_keeps_the_target_of_throttled_requests(requests_per_minute: float | None) -> None:
    """The vendor allows 300 in any 60 s, which the settings do not know, and gives no `Retry-After`."""
    clock = ManualClock()
    bucket = TokenBucket(requests_per_minute, late_s=0.5, clock=clock)
    accepted: deque[float] = deque(maxlen=300)
    sent = throttled = throttled_in_turn = 0
    while clock.now < 24 * 3600:
        ticket = bucket.reserve()
        clock.now = max(clock.now, ticket.start) + 0.001  # at most 1,000 a second without a limit
        sent += 1
        if len(accepted) == 300 and accepted[0] > clock.now - 60:
            throttled += 1
            bucket.penalise(2.0 * 2**throttled_in_turn, ticket, slower=True)
            throttled_in_turn += 1
        else:
            accepted.append(clock.now)
            throttled_in_turn = 0
    # the report's target, while four fifths of what the vendor allows are used
    assert throttled / sent < 0.005
    assert sent - throttled > 0.8 * 300 * 24 * 60
