"""Doubled volumes: which volumes are judged, and what counts as doubled."""

from datetime import date
from typing import Any

import polars as pl

from smallcaps_assets.domain.bars.coverage import COVERAGE, VOLUMES, coverage_table, session_volumes, with_volumes
from smallcaps_assets_tests.scenarios import bars_from
from smallcaps_assets_tests.unit.pipeline.bars.coverage.covered import PARAMS, here, listed, states_of


def traded(volumes: list[float], start: str = "2025-11-05 09:30", symbol: str = "AAA") -> pl.DataFrame:
    """Consecutive minutes with these volumes."""
    return bars_from(start, [(10.0, 10.0, 10.0, 10.0, volume, 1) for volume in volumes], symbol)


def counts(bars: pl.DataFrame) -> list[tuple[Any, ...]]:
    found = session_volumes(bars.lazy()).sort("symbol", "day").collect()
    assert found.schema == VOLUMES
    return found.rows()


def test_only_volumes_that_can_be_odd_are_judged() -> None:
    # judged are 3, 8, 12 and 15: multiples of ten are always even, fractions neither even nor odd
    bars = traded([3.0, 8.0, 10.0, 100.0, 2_000_000_000.0, 12.0, 15.0, 2.5, 0.4])
    assert counts(bars) == [("AAA", date(2025, 11, 5), 4, 2)]
    # the day in New York
    late = traded([3.0], "2025-11-05 19:59")
    assert counts(late) == [("AAA", date(2025, 11, 5), 1, 1)]


# 77 volumes are not multiples of ten, and 49 of them are odd
PLAIN = [float(100 * (number % 3) + number) for number in range(1, 86)]


def doubled_in(**sessions: tuple[int, int]) -> dict[str, int]:
    """By month, the number of doubled sessions, given the judged and odd volumes of sessions `mMMDD`."""
    rows = [("AAA", date(2025, int(name[1:3]), int(name[3:])), *both) for name, both in sessions.items()]
    stock, states = states_of(listed(("AAA", True, None, None)), here(AAA="b" * 11))
    table = with_volumes(coverage_table(states, stock), pl.DataFrame(rows, VOLUMES, orient="row"), PARAMS)
    assert table.schema == COVERAGE
    return {f"{month:%m}": number for month, number in table.select("month", "sessions_doubled").iter_rows()}


def test_sessions_whose_volumes_are_all_even_count_as_doubled() -> None:
    # 50 volumes are enough, and 1 odd one of 50 is 2 %
    assert doubled_in(m1027=(50, 0), m1028=(50, 1), m1029=(50, 25), m1030=(49, 0))["10"] == 2
    assert doubled_in(m1027=(50, 2), m1028=(50, 25))["10"] == 0
    assert doubled_in(m1103=(500, 249), m1104=(400, 0))["11"] == 1


def test_sessions_with_few_volumes_are_judged_by_their_month() -> None:
    assert doubled_in(m1027=(20, 0), m1028=(20, 0), m1029=(10, 0), m1103=(20, 0)) == {"10": 3, "11": 0}
    # with one more the session counts as ordinary
    assert doubled_in(m1027=(20, 0), m1028=(20, 0), m1029=(10, 5))["10"] == 0


def test_doubled_volumes_are_detected_and_the_original_ones_are_not() -> None:
    for factor, doubled in ((1, False), (2, True), (4, True), (100, False)):
        ((_, _, judged, odd),) = counts(traded([factor * volume for volume in PLAIN]))
        assert (judged >= PARAMS.min_volumes and 100 * odd <= PARAMS.max_odd_pct * judged) == doubled, factor
