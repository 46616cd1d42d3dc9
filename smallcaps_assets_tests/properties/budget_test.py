"""Properties of the size budget, against a slow row-by-row implementation of the specification."""

from bisect import bisect_left
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Final, NamedTuple

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tables import UTC_US
from smallcaps_assets.domain.tape.budget import SizeBudget, events_over_budget, fit_budget, thin_after
from smallcaps_assets.domain.tape.nbbo import BOOK, Thinning
from smallcaps_assets_tests.slow_spec.tape import interval_of
from smallcaps_assets_tests.strategies.quotes import quote_streams

LAWS: Final = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SECOND: Final = 1_000_000_000
STREAM_START_US: Final = 1_762_180_200 * 1_000_000
# edges on and next to those of the intervals
OFFSETS_MS: Final = (-2_000, 0, 1, 123, 124, 200, 500, 999, 1_000, 1_001, 1_500, 2_000, 3_333, 62_000, 130_000)
LENGTHS_MS: Final = (0, 1, 50, 400, 1_000, 2_500, 60_000)
RATES: Final = (3.0, 1.0, 0.7, 0.5)


class Case(NamedTuple):
    quotes: pl.DataFrame
    windows: pl.DataFrame
    rates: dict[str, float]
    thinning: Thinning

    def thinned(self) -> pl.DataFrame:
        return thin_after(self.quotes, self.windows, self.rates, self.thinning).collect()

    def edges(self) -> list[int]:
        """Every edge of a window, in order, ns since the epoch."""
        times = pl.concat([self.windows[name] for name in ("start", "known_at", "end")])
        return sorted(set(times.dt.epoch("ns").to_list()))

    def rate_at(self, time_ns: int) -> float | None:
        """The rate in force; None where every row is kept."""
        rates: list[float | None] = []
        edges = self.windows.with_columns(pl.col("start", "known_at", "end").dt.epoch("ns"))
        for name, start, at, end in edges.select("event_id", "start", "known_at", "end").iter_rows():
            if start <= time_ns < at:
                return None
            if at <= time_ns < end:
                rates.append(self.rates.get(name))
        stays = not rates or None in rates
        return None if stays else max(rate for rate in rates if rate is not None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    window = st.tuples(st.sampled_from(OFFSETS_MS), st.sampled_from(LENGTHS_MS), st.sampled_from(LENGTHS_MS[1:]))
    rows = []
    for number, (offset, before, after) in enumerate(draw(st.lists(window, min_size=1, max_size=4))):
        at = STREAM_START_US + offset * 1000
        rows.append((f"event {number}", at - before * 1000, at, at + after * 1000))
    physical = {"event_id": pl.String, "start": pl.Int64, "known_at": pl.Int64, "end": pl.Int64}
    windows = pl.DataFrame(rows, schema=physical, orient="row").cast({pl.Int64: UTC_US})
    rates = {name: draw(st.sampled_from((None, *RATES, *RATES))) for name in windows["event_id"]}
    return Case(
        draw(quote_streams()),
        windows,
        {name: rate for name, rate in rates.items() if rate is not None},
        Thinning(by_change_only=draw(st.booleans()), max_hz=5),
    )


def times_of(quotes: pl.DataFrame) -> list[int]:
    return quotes["timestamp"].dt.epoch("ns").to_list()


def thin_slowly(case: Case) -> pl.DataFrame:
    """The kept rows, decided one by one."""
    times, book = times_of(case.quotes), list(case.quotes.select(*BOOK).iter_rows())
    rates = [case.rate_at(time) for time in times]
    edges = case.edges()

    def superseded(row: int) -> bool:
        """Whether the next row lies in the same interval between the same edges."""
        rate, following = rates[row], row + 1
        if rate is None or following == len(times) or rates[following] != rate:
            return False
        between = [edge for edge in edges if times[row] < edge <= times[following]]
        same_rate_between = all(case.rate_at(edge) == rate for edge in between)
        return same_rate_between and interval_of(times[row], rate) == interval_of(times[following], rate)

    kept = [row for row in range(len(times)) if row == 0 or not superseded(row)]
    if case.thinning.by_change_only:
        pairs = zip([None, *kept], kept, strict=False)
        kept = [row for last, row in pairs if last is None or rates[row] is None or book[row] != book[last]]
    return case.quotes[kept]


@LAWS
@given(cases())
def test_kept_rows_are_those_of_the_specification(case: Case) -> None:
    assert_frame_equal(case.thinned(), thin_slowly(case))


@LAWS
@given(cases())
def test_thinning_only_removes_rows(case: Case) -> None:
    found = case.thinned()
    numbers = found["sequence_number"].to_list()
    assert numbers == sorted(set(numbers))
    assert numbers[:1] == case.quotes["sequence_number"].head(1).to_list()
    assert_frame_equal(found, case.quotes.filter(pl.col("sequence_number").is_in(numbers)))


@LAWS
@given(cases())
def test_rows_before_events_and_of_events_within_budget_are_kept(case: Case) -> None:
    numbers = set(case.thinned()["sequence_number"])
    for number, time in enumerate(times_of(case.quotes)):
        assert case.rate_at(time) is not None or number in numbers


@pytest.mark.slow
@LAWS
@given(cases())
def test_thinning_is_idempotent(case: Case) -> None:
    once = case.thinned()
    assert_frame_equal(case._replace(quotes=once).thinned(), once)


@pytest.mark.slow
@LAWS
@given(cases())
def test_book_is_unchanged_at_every_tick_and_outside_thinned_ranges(case: Case) -> None:
    before, after = books(case.quotes), books(case.thinned())
    for moment in moments(case):
        assert in_force(before, moment) == in_force(after, moment), moment


Books = tuple[list[int], list[tuple[float, ...]]]


def books(quotes: pl.DataFrame) -> Books:
    return times_of(quotes), list(quotes.select(*BOOK).iter_rows())


def in_force(books: Books, moment: Fraction) -> tuple[float, ...] | None:
    """The book after every quote before `moment`."""
    times, rows = books
    count = bisect_left(times, moment)
    return rows[count - 1] if count else None


def moments(case: Case) -> list[Fraction]:
    """Ticks near the rows of each thinned range; outside of these, every row and edge."""
    times = times_of(case.quotes)
    found = []
    for time in times:
        for rate in set(case.rates.values()):
            hz, number = Fraction(str(rate)), interval_of(time, rate)
            ticks = [(number + more) / hz * SECOND for more in (0, 1, 2)]
            found += [tick for tick in ticks if case.rate_at(floor(tick)) == case.rate_at(ceil(tick)) == rate]
    outside = [moment for time in (*times, *case.edges()) for moment in (time, time + 1)]
    found += [Fraction(moment) for moment in outside if case.rate_at(moment) is None]
    return [moment for moment in found if times and moment > times[0]]


@LAWS
@given(cases(), st.sampled_from([300, 800, 2_000]), st.dictionaries(st.just("event 0"), st.just(400)))
def test_event_is_within_budget_or_at_the_last_step(case: Case, allowed: int, trades: Mapping[str, int]) -> None:
    budget = SizeBudget(event_mb=allowed / 1e6, steps_hz=[1.0, 0.7])

    def measure(frame: pl.DataFrame) -> int:
        return 50 * frame.height

    found = fit_budget(
        case.quotes, case.windows, measure=measure, other_bytes=trades, budget=budget, thinning=case.thinning
    )
    over = events_over_budget(found.frame, case.windows, measure(found.frame), trades, budget)
    assert list(found.over) == over
    assert all(found.steps[name] == 0.7 for name in over)
    if found.steps:
        assert_frame_equal(found.frame, case._replace(rates=found.steps).thinned())
    else:
        assert found.frame is case.quotes
