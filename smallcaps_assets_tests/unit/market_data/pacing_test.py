"""The token bucket under a clock that only the test moves."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps_assets.market_data.pacing import TokenBucket


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_starts_at_once_and_the_rest_at_the_pace() -> None:
    bucket = TokenBucket(300, burst=5, clock=ManualClock())
    delays = [bucket.reserve() for _ in range(105)]
    assert delays[:5] == [0.0] * 5
    assert delays[-1] == pytest.approx(20.0)


def test_idle_time_fills_no_more_than_the_burst() -> None:
    clock = ManualClock()
    bucket = TokenBucket(60, burst=3, clock=clock)
    clock.now = 1e6
    assert [bucket.reserve() for _ in range(5)] == pytest.approx([0, 0, 0, 1, 2])


def test_no_limit_never_waits() -> None:
    bucket = TokenBucket(None, clock=ManualClock())
    assert {bucket.reserve() for _ in range(1000)} == {0.0}


@pytest.mark.parametrize("requests_per_minute", [None, 60])
def test_a_penalty_pushes_everybody_back(requests_per_minute: float | None) -> None:
    clock = ManualClock()
    bucket = TokenBucket(requests_per_minute, burst=4, clock=clock)
    bucket.penalise(30)
    bucket.penalise(10)
    assert bucket.reserve() == pytest.approx(30)
    clock.now = 31
    assert bucket.reserve() == 0.0


def test_no_burst_follows_a_penalty() -> None:
    bucket = TokenBucket(60, burst=4, clock=ManualClock())
    bucket.penalise(30)
    assert [bucket.reserve() for _ in range(3)] == pytest.approx([30, 31, 32])


@pytest.mark.parametrize("pace", [0, -1, math.inf, math.nan])
def test_an_impossible_pace_is_refused(pace: float) -> None:
    with pytest.raises(ValueError, match="requests_per_minute"):
        TokenBucket(pace)


def test_an_impossible_burst_or_penalty_is_refused() -> None:
    with pytest.raises(ValueError, match="burst"):
        TokenBucket(1, burst=0)
    for seconds in (-1, math.inf, math.nan):
        with pytest.raises(ValueError, match="penalty"):
            TokenBucket(1).penalise(seconds)


def test_threads_share_one_budget() -> None:
    bucket = TokenBucket(60, clock=ManualClock())
    delays: list[float] = []

    def reserve_many() -> None:
        delays.extend(bucket.reserve() for _ in range(50))

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


@given(steps=steps, per_minute=st.floats(1, 6000), burst=st.integers(1, 8))
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
        else:
            starts.append(clock.now + bucket.reserve())
            assert starts[-1] >= barred_until - 1e-6
    assert starts == sorted(starts)
    for i, first in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= burst + (starts[j] - first) * per_minute / 60 + 1e-6
