"""Concurrent work, and the log of its progress."""

import threading
import time
from collections.abc import Iterator

import pytest

from smallcaps_assets.market_data.http.transport import ClientTotals
from smallcaps_assets.pipeline.concurrency import ConcurrencyTarget, in_order, in_threads
from smallcaps_assets.pipeline.progress import LOG_EVERY_S, Progress, log_if_long, with_progress


def test_every_item_is_processed_once() -> None:
    assert sorted(in_threads(lambda item: item * 2, range(50), 4)) == [item * 2 for item in range(50)]
    assert list(in_threads(str, [], 4)) == []


def test_items_are_not_queued_far_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = in_threads(lambda item: item, items(), 3)
    next(results)
    # 3 in progress, and as many more as were finished together
    assert len(taken) <= 6
    assert sum(1 for _ in results) == 99


def most_at_once(items: int, threads: int, width: int | None = None) -> int:
    """The largest number of items in progress at the same time."""
    at_once, most, lock = 0, 0, threading.Lock()

    def work(item: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.005)
        with lock:
            at_once -= 1
        return item

    done = list(in_threads(work, range(items), threads, width=None if width is None else lambda: width))
    assert sorted(done) == list(range(items))
    return most


def test_no_more_threads_than_configured() -> None:
    assert 1 < most_at_once(30, 3) <= 3


def test_an_error_stops_items_that_have_not_started() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        if item == 0:
            raise ValueError("the first one")
        time.sleep(0.3)
        done.append(item)
        return item

    # the only thread may start the second item while the first one's error is raised; the third is dropped
    with pytest.raises(ValueError, match="the first one"):
        list(in_threads(work, range(1000), 1))
    assert done in ([], [1])
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_finished_results_are_yielded_before_an_error() -> None:
    ended = threading.Semaphore(0)

    def work(item: int) -> int:
        ended.release()
        if item < 6:
            raise ValueError("a bad one")
        return item

    def items() -> Iterator[int]:
        yield from range(12)
        for _ in range(12):
            assert ended.acquire(timeout=30)
        # the last ones have not returned yet, and may be slow to
        time.sleep(1.0)

    came: list[int] = []
    with pytest.raises(ValueError, match="a bad one"):
        came.extend(in_threads(work, items(), 13))
    assert sorted(came) == list(range(6, 12))


def test_closing_the_generator_leaves_no_thread_behind() -> None:
    results = in_threads(lambda item: item, range(100), 2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def lines(total: int, seconds_each: float, items: int | None = None) -> list[str]:
    """The progress lines of `items` items that take `seconds` each by a simulated clock."""
    now, logged = [0.0], []

    def ticking() -> Iterator[int]:
        for item in range(total if items is None else items):
            now[0] += seconds_each
            yield item

    assert list(with_progress(ticking(), total, "spans", logged.append, clock=lambda: now[0])) == list(
        range(total if items is None else items)
    )
    return logged


def test_the_end_is_always_logged() -> None:
    # too short for a rate a minute
    assert lines(3, 2.0) == ["spans: 3 of 3 done, in 6 s"]
    assert lines(1, 0.0) == ["spans: 1 of 1 done, in less than 1 s"]
    assert lines(0, 1.0) == []


def test_long_work_is_logged_every_half_minute_with_rate_and_remaining_time() -> None:
    assert LOG_EVERY_S == 30.0
    # after 30 s, 3 of 9 are done, which leaves 60 s; a rate is that of a minute at least
    assert lines(9, 10.0) == [
        "spans: 3 of 9 done, about 1 min left",
        "spans: 6 of 9 done, 6.0 a minute, about 30 s left",
        "spans: 9 of 9 done, 6.0 a minute, in 2 min",
    ]


def test_work_that_has_not_moved_has_no_time_left() -> None:
    now, logged = [0.0], list[str]()
    progress = Progress(5, "spans", logged.append, clock=lambda: now[0])
    now[0] = 30.0
    progress.tick()
    assert logged == ["spans: 0 of 5 done, time left unknown"]


def test_no_item_is_taken_beyond_the_limit_in_progress() -> None:
    assert most_at_once(20, 8, width=2) == 2


def test_closing_early_cancels_items_in_progress() -> None:
    stop, seen = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item:
            seen.set()
            # like a request that waits for the rate limit
            assert stop.wait(30)
        else:
            assert seen.wait(30)
        return item

    results = in_threads(work, range(2), 2, stop=stop)
    assert next(results) == 0
    assert not stop.is_set()
    results.close()  # type: ignore[attr-defined]
    assert stop.is_set()


def test_complete_work_cancels_nothing() -> None:
    stop = threading.Event()
    assert len(list(in_threads(str, range(5), 2, stop=stop))) == 5
    assert not stop.is_set()


def test_requests_in_progress_are_rate_times_latency_plus_a_reserve() -> None:
    width = ConcurrencyTarget(600, 50)
    for _ in range(200):
        width.record(1, 0.39)
    # 10 a second x 0.39 s, half as many more, rounded up, and one
    assert width() == 7
    for _ in range(200):
        width.record(2, 0.38)
    assert width() == 4
    assert ConcurrencyTarget(5, 50)() == 2
    assert ConcurrencyTarget(6_000, 16)() == 16
    assert ConcurrencyTarget(None, 12)() == 12


class Counting:
    """The client's counters that a progress line shows."""

    requests_per_minute = 240.0

    def __init__(self) -> None:
        self.now = ClientTotals(requests_sent=100, retries=5, throttled=1, last_minute=100)

    def totals(self) -> ClientTotals:
        return self.now


def test_a_capture_logs_windows_requests_and_failures() -> None:
    now, logged, client = [0.0], [], Counting()
    progress = Progress(90, "windows", logged.append, client, clock=lambda: now[0])  # type: ignore[arg-type]
    now[0] = 10.0
    progress.add(10, size=4_000_000)
    assert logged == []
    now[0] = 30.0
    # three more 429 since the start, for windows that are not finished yet
    client.now = ClientTotals(requests_sent=300, retries=9, throttled=4, last_minute=200)
    progress.tick()
    figures = "200 of 240 requests in the last minute, 0 retries, 0 answers with 429 (+3 under way), 0 failed, 4.0 MB"
    assert logged == [f"windows: 10 of 90 done, {figures}, about 4 min left"]
    progress.tick()
    assert len(logged) == 1
    now[0] = 90.0  # 90 in a minute and a half
    progress.add(80, failed=2, retries=1, throttled=3)
    figures = "200 of 240 requests in the last minute, 1 retry, 3 answers with 429, 2 failed, 4.0 MB"
    assert logged[1] == f"windows: 90 of 90 done, 60 a minute, {figures}, in 2 min"


def test_the_logged_rate_is_that_of_the_last_five_minutes() -> None:
    now, logged = [0.0], []
    progress = Progress(10_000, "windows", logged.append, clock=lambda: now[0])
    for _ in range(20):  # ten minutes at 60 a minute
        now[0] += 30
        progress.add(30)
    for _ in range(11):  # then six a minute
        now[0] += 30
        progress.add(3)
    assert logged[-1].startswith("windows: 633 of 10,000 done, 6.0 a minute, ")


def test_short_work_logs_nothing() -> None:
    now, logged = [100.0], list[str]()
    log = log_if_long(logged.append, clock=lambda: now[0])
    log("begun")
    now[0] += LOG_EVERY_S - 1
    log("soon over")
    assert logged == []
    now[0] += 1
    log("a third")
    assert logged == ["a third"]


def test_results_come_in_order_while_later_items_are_worked_on() -> None:
    second, taken = threading.Event(), []

    def work(item: int) -> int:
        # the first item is done only when the second is worked on
        if item == 0:
            assert second.wait(timeout=60)
        if item == 1:
            second.set()
        return item * 2

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    for place, result in enumerate(in_order(work, items(), 2)):
        assert result == place * 2
        # not more than three that the caller has not yet got
        assert len(taken) - place <= 3
    assert list(in_order(str, [], 2)) == []


def test_an_error_comes_in_its_place() -> None:
    results = in_order(lambda item: 6 // item, [3, 2, 0, 1], 2)
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)
