"""The size budget, worked out by hand: seconds after 15:00 UTC, rows by their number."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from smallcaps_assets.domain.tables import QUOTES, UTC_US
from smallcaps_assets.domain.tape.budget import Fitted, SizeBudget, events_over_budget, fit_budget, thin_after
from smallcaps_assets.domain.tape.nbbo import LOWEST_HZ, Thinning, interval

START = datetime(2025, 11, 5, 15, tzinfo=UTC)
EVERY_ROW = Thinning(by_change_only=False, max_hz=50)
CHANGES = Thinning(by_change_only=True, max_hz=5)

# event_id, start, timestamp, end
Window = tuple[str, float, float, float]


def quotes_at(seconds: Sequence[float], bids: Sequence[float] | None = None) -> pl.DataFrame:
    """Quotes at these times; each changes the book where no bids are given."""
    columns: Mapping[str, Any] = {
        "timestamp": [START + timedelta(seconds=at) for at in seconds],
        "bid_price": [float(number + 1) for number in range(len(seconds))] if bids is None else bids,
        "sequence_number": list(range(len(seconds))),
    }
    ones = [name for name, dtype in QUOTES.items() if dtype.is_numeric() and name not in columns]
    return pl.DataFrame(
        {name: columns.get(name, [1] * len(seconds) if name in ones else [None] * len(seconds)) for name in QUOTES},
        schema=QUOTES,
        strict=False,
    )


def every(step: float, end: float) -> pl.DataFrame:
    return quotes_at([number * step for number in range(round(end / step))])


def windows_of(*windows: Window) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, *(START + timedelta(seconds=at) for at in edges)) for name, *edges in windows],
        schema={"event_id": pl.String, "start": UTC_US, "known_at": UTC_US, "end": UTC_US},
        orient="row",
    )


def kept(
    quotes: pl.DataFrame, windows: pl.DataFrame, rates: Mapping[str, float], thinning: Thinning = EVERY_ROW
) -> list[int]:
    return thin_after(quotes, windows, rates, thinning).collect()["sequence_number"].to_list()


# ------------------------------------------------------------------------------------------------- the settings


@pytest.mark.parametrize("steps", [[], [0.5, 1.0], [1.0, 1.0], [1.0, 0.0], [2_000.0], [-1.0]])
def test_steps_are_rates_that_fall(steps: list[float]) -> None:
    with pytest.raises(ValidationError, match="steps_hz"):
        SizeBudget(event_mb=50.0, steps_hz=steps)


def test_steps_in_the_wrong_order_are_rejected_with_a_remedy() -> None:
    with pytest.raises(ValidationError, match=r"must fall from step to step, e\.g\. \[1\.0, 0\.5\]; found \[0\.5, 1"):
        SizeBudget(event_mb=50.0, steps_hz=[0.5, 1.0])


def test_a_budget_is_more_than_nothing() -> None:
    assert SizeBudget(event_mb=50.0, steps_hz=[1.0, 0.5]).steps_hz == [1.0, 0.5]
    with pytest.raises(ValidationError, match="event_mb"):
        SizeBudget(event_mb=0.0, steps_hz=[1.0])


# ------------------------------------------------------------------------------------------------- who is over

# 10 rows a second; A has rows 0 to 99, B rows 80 to 119 of 200
SHARED = windows_of(("A", 0, 4, 10), ("B", 8, 9, 12))


def over(quotes_bytes: int, other: Mapping[str, int], megabytes: float, windows: pl.DataFrame = SHARED) -> list[str]:
    budget = SizeBudget(event_mb=megabytes, steps_hz=[1.0])
    return events_over_budget(every(0.1, 20), windows, quotes_bytes, other, budget)


def test_an_event_has_its_share_of_the_quotes_by_rows() -> None:
    # A: a half of 10 MB, B: a fifth
    assert over(10_000_000, {}, 5.0) == []
    assert over(10_000_000, {}, 4.999) == ["A"]
    assert over(10_000_000, {}, 2.0) == ["A"]
    assert over(10_000_000, {}, 1.999) == ["A", "B"]


def test_trades_count_for_the_event_they_belong_to() -> None:
    assert over(10_000_000, {"B": 3_000_000}, 5.0) == []
    assert over(10_000_000, {"B": 3_000_001}, 5.0) == ["B"]
    assert over(0, {"A": 7_000_000, "unknown": 9_000_000}, 5.0) == ["A"]


def test_events_without_a_quote_have_no_share() -> None:
    assert over(10_000_000, {}, 0.001, windows_of(("late", 20, 21, 22), ("early", -9, -5, 0))) == []
    budget = SizeBudget(event_mb=1.0, steps_hz=[1.0])
    assert events_over_budget(quotes_at([]), SHARED, 5_000_000, {"B": 1_000_001}, budget) == ["B"]
    assert events_over_budget(every(0.1, 20), SHARED.clear(), 5_000_000, {}, budget) == []


# ------------------------------------------------------------------------------------------------- what stays

ONE = windows_of(("A", 0, 4, 10))
#                 before        after                          outside
TIMES = quotes_at([0, 3.2, 3.8, 4.0, 4.5, 4.9, 5.0, 5.7, 6.1, 10.0, 10.3])


def test_after_the_event_the_last_of_every_second_stays_and_before_it_all() -> None:
    assert kept(TIMES, ONE, {"A": 1.0}) == [0, 1, 2, 5, 7, 8, 9, 10]


def test_half_a_hertz_is_the_last_of_every_two_seconds() -> None:
    # [4, 6): 5.7; [6, 8): 6.1
    assert kept(TIMES, ONE, {"A": 0.5}) == [0, 1, 2, 7, 8, 9, 10]


def test_a_rate_that_is_no_binary_fraction() -> None:
    # 0.3 Hz: intervals of 10/3 s since the epoch begin at 0, 3 1/3, 6 2/3 and 10 s
    times = quotes_at([0.0, 3.333_333, 3.333_334, 6.666_666, 6.666_667, 9.999_999, 10.0])
    assert kept(times, windows_of(("A", -1, 0, 20)), {"A": 0.3}) == [0, 1, 3, 5, 6]


@pytest.mark.parametrize("hz", [LOWEST_HZ, 0.000_002, 1 / 3, 0.7, 7.7, 999.999, 1_000.0])
def test_intervals_are_exact_at_every_rate(hz: float) -> None:
    rate = Fraction(hz).limit_denominator(1_000_000)
    ticks = [ceil(Fraction(number) / rate * 10**9) for number in (1, 10**3, floor(rate * 1_762_354_800))]
    times = pl.Series("timestamp", [time + more for time in ticks for more in (-1, 0, 1)], pl.Int64)
    found = pl.DataFrame([times.cast(pl.Datetime("ns", "UTC"))]).select(interval(hz)).to_series().to_list()
    assert found == [floor(time * rate / 10**9) for time in times]


def test_only_events_with_a_rate_are_thinned() -> None:
    assert kept(TIMES, ONE, {}) == list(range(11))
    assert kept(TIMES, ONE.clear(), {"A": 1.0}) == list(range(11))


def test_the_first_row_stays() -> None:
    times = quotes_at([4.0, 4.1, 4.2])
    assert kept(times, ONE, {"A": 1.0}) == [0, 2]
    assert kept(times, ONE, {"A": 1.0}, CHANGES) == [0, 2]


def test_no_quotes_stay_none() -> None:
    for thinning in (EVERY_ROW, CHANGES):
        assert thin_after(quotes_at([]), ONE, {"A": 1.0}, thinning).collect().schema == QUOTES


# two a second; the after of A is [4, 10), the before of B [2, 6), its after [6, 12)
OVERLAP = windows_of(("A", 0, 4, 10), ("B", 2, 6, 12))
HALVES = every(0.5, 13)


def test_quotes_before_another_event_are_not_thinned() -> None:
    # thinned: rows 12 to 23 in [6, 12)
    assert kept(HALVES, OVERLAP, {"A": 1.0, "B": 1.0}) == [*range(12), 13, 15, 17, 19, 21, 23, 24, 25]


def test_quotes_of_an_event_within_budget_are_not_thinned() -> None:
    assert kept(HALVES, OVERLAP, {"A": 1.0}) == list(range(26))
    # of [6, 12) the part up to 10 is also after A
    assert kept(HALVES, OVERLAP, {"B": 1.0}) == [*range(20), 21, 23, 24, 25]


def test_the_higher_of_two_rates_holds() -> None:
    assert kept(HALVES, OVERLAP, {"A": 0.5, "B": 1.0}) == [*range(12), 13, 15, 17, 19, 21, 23, 24, 25]
    assert kept(HALVES, OVERLAP, {"A": 1.0, "B": 0.5}) == [*range(12), 13, 15, 17, 19, 23, 24, 25]


def test_the_last_row_of_a_thinned_range_stays_even_if_its_interval_continues() -> None:
    # the range ends at 5.5 s; between 5.5 and 5.6 s the book is that of row 2
    assert kept(quotes_at([3, 5.0, 5.2, 5.6]), windows_of(("A", 0, 4, 5.5)), {"A": 1.0}) == [0, 2, 3]
    # no row in [5.2, 5.4), which is not thinned, but the book there is that of row 1
    pair = windows_of(("A", 0, 4, 5.2), ("B", 5.2, 5.4, 8))
    assert kept(quotes_at([3, 5.1, 5.5, 5.6]), pair, {"A": 1.0, "B": 1.0}) == [0, 1, 3]


def test_windows_that_touch_do_not_cut_an_interval() -> None:
    pair = windows_of(("A", 0, 4, 5.5), ("B", 3, 4, 8))
    assert kept(quotes_at([3, 5.1, 5.3, 5.6]), pair, {"A": 1.0, "B": 1.0}) == [0, 3]


def test_repeats_are_dropped_only_where_the_rate_fell() -> None:
    #                  before      after                      outside
    times = quotes_at([0, 1, 2, 4.1, 4.9, 5.1, 5.9, 6.5, 10, 11], [1, 1, 2, 3, 2, 3, 2, 4, 4, 4])
    # of 4.9, 5.9 and 6.5 the first two repeat row 2; rows 1, 8 and 9 repeat, but are not after the event
    assert kept(times, ONE, {"A": 1.0}, CHANGES) == [0, 1, 2, 7, 8, 9]
    assert kept(times, ONE, {"A": 1.0}) == [0, 1, 2, 4, 6, 7, 8, 9]


# ------------------------------------------------------------------------------------------------- the controller

# four a second: 16 before and 64 after; at 1 Hz 16 after, at 0.5 Hz 8
LONG = windows_of(("A", 0, 4, 20))
QUARTERS = every(0.25, 20)


def fifty_a_row(frame: pl.DataFrame) -> int:
    return 50 * frame.height


def fitted(megabytes: float, other: Mapping[str, int] | None = None) -> Fitted:
    budget = SizeBudget(event_mb=megabytes, steps_hz=[1.0, 0.5])
    return fit_budget(QUARTERS, LONG, measure=fifty_a_row, other_bytes=other or {}, budget=budget, thinning=EVERY_ROW)


@pytest.mark.parametrize(
    ("bytes_allowed", "rows", "steps", "over"),
    [
        (4_000, 80, {}, ()),
        (3_999, 32, {"A": 1.0}, ()),
        (1_600, 32, {"A": 1.0}, ()),
        (1_599, 24, {"A": 0.5}, ()),
        (1_200, 24, {"A": 0.5}, ()),
        (1_199, 24, {"A": 0.5}, ("A",)),
    ],
)
def test_rates_fall_until_the_event_fits_or_no_step_is_left(
    bytes_allowed: int, rows: int, steps: dict[str, float], over: tuple[str, ...]
) -> None:
    found = fitted(bytes_allowed / 1e6)
    assert (found.frame.height, found.steps, found.over) == (rows, steps, over)
    assert found.frame["sequence_number"].head(16).to_list() == list(range(16))


def test_trades_take_their_part_of_the_budget() -> None:
    assert fitted(0.001_7).steps == {"A": 1.0}
    assert fitted(0.001_7, {"A": 400}).steps == {"A": 0.5}
    assert fitted(0.001_7, {"A": 501}).over == ("A",)


def test_tape_within_budget_is_returned_unchanged() -> None:
    found = fitted(0.004)
    assert found.frame is QUARTERS
    assert found == (QUARTERS, {}, ())


def test_tape_that_is_small_in_memory_is_not_measured() -> None:
    def fail(frame: pl.DataFrame) -> int:
        raise AssertionError(frame)

    budget = SizeBudget(event_mb=50.0, steps_hz=[1.0, 0.5])
    for quotes in (QUARTERS, QUARTERS.clear()):
        found = fit_budget(quotes, LONG, measure=fail, other_bytes={}, budget=budget, thinning=EVERY_ROW)
        assert found.frame is quotes
        assert found.steps == {}


def test_an_event_within_budget_keeps_its_tape_next_to_one_that_is_not() -> None:
    # A has 80 rows, B the 8 of [18, 20) and 12 more, 1,000 bytes in all
    windows = windows_of(("A", 0, 4, 20), ("B", 18, 19, 23))
    budget = SizeBudget(event_mb=0.002_3, steps_hz=[1.0, 0.5])
    quotes = every(0.25, 23)
    found = fit_budget(quotes, windows, measure=fifty_a_row, other_bytes={}, budget=budget, thinning=EVERY_ROW)
    assert (found.steps, found.over) == ({"A": 1.0}, ())
    # 16 before A, 14 of [4, 18), all 20 of B
    assert found.frame.height == 16 + 14 + 20
    assert found.frame["sequence_number"].tail(20).to_list() == list(range(72, 92))


def test_steps_are_taken_for_each_event_separately() -> None:
    # a file that stays as large as it is: what A loses, B's share gains
    windows = windows_of(("A", 0, 4, 20), ("B", 20, 20, 25))
    budget = SizeBudget(event_mb=0.001_6, steps_hz=[1.0, 0.5])
    found = fit_budget(
        every(0.25, 25), windows, measure=lambda _: 4_000, other_bytes={}, budget=budget, thinning=EVERY_ROW
    )
    # shares of B: 20/100, 20/52, 20/44, then 5/29
    assert (found.steps, found.over) == ({"A": 0.5, "B": 1.0}, ("A",))
    assert found.frame.height == 16 + 8 + 5


def test_a_later_step_starts_from_the_stream_not_from_the_step_before() -> None:
    # at 0.7 Hz (intervals end at 5 5/7 and 7 1/7 s) row 1 stays, at 1 Hz it would not
    budget = SizeBudget(event_mb=0.000_1, steps_hz=[1.0, 0.7])
    quotes = quotes_at([3, 5.6, 5.9, 8])
    found = fit_budget(quotes, ONE, measure=lambda _: 4_000, other_bytes={}, budget=budget, thinning=EVERY_ROW)
    assert kept(quotes, ONE, {"A": 1.0}) == [0, 2, 3]
    assert (found.frame["sequence_number"].to_list(), found.steps, found.over) == ([0, 1, 2, 3], {"A": 0.7}, ("A",))
