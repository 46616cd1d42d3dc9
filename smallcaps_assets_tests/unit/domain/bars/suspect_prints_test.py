"""Suspect prints: one wrong trade in a minute, and prices that are merely wild."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.bars.suspect_prints import (
    COLUMNS_READ,
    LISTED_PRINTS,
    SUSPECT_PRINTS,
    SuspectPrintParams,
    count_touched,
    suspect_print,
    suspect_prints,
    with_events,
)
from smallcaps_assets.domain.tables import BARS
from smallcaps_assets_tests.scenarios import default_settings

PARAMS = default_settings().checks.bars.suspect_print
TEN = datetime(2025, 11, 5, 15, tzinfo=UTC)  # 10:00 in New York
APART = [*range(-28, -23), 0, *range(24, 29)]
CALM = [(10.1, 10.0)] * 11  # high and low of each minute; the bar of interest is the sixth


def bars_of(*prices: tuple[float, float], symbol: str = "AEMD", minutes: list[int] | None = None) -> pl.DataFrame:
    rows = [
        (symbol, TEN + timedelta(minutes=minute), high, low)
        for minute, (high, low) in zip(minutes or range(len(prices)), prices, strict=True)
    ]
    return pl.DataFrame(rows, schema={name: BARS[name] for name in COLUMNS_READ}, orient="row")


def with_sixth(high: float, low: float, *after: tuple[float, float]) -> pl.DataFrame:
    """Calm minutes but the sixth, and but those right after it."""
    return bars_of(*CALM[:5], (high, low), *after, *CALM[6 + len(after) :])


def found(bars: pl.DataFrame, **changes: Any) -> list[tuple[int, str, float, float]]:
    """Minute, side, value and bound of each suspect print."""
    params = SuspectPrintParams.model_validate(PARAMS.model_dump() | changes)
    prints = suspect_prints(bars, params)
    assert prints.schema == SUSPECT_PRINTS
    return [
        ((moment - TEN) // timedelta(minutes=1), *values)
        for moment, *values in prints.select("timestamp", "side", "value", "bound").iter_rows()
    ]


def test_a_high_and_a_low_far_outside_and_undone_at_once_are_found() -> None:
    assert found(with_sixth(11.0, 10.0)) == [(5, "high", 11.0, 10.1)]
    assert found(with_sixth(10.1, 0.9)) == [(5, "low", 0.9, 10.0)]
    assert found(with_sixth(11.0, 9.0)) == [(5, "high", 11.0, 10.1), (5, "low", 9.0, 10.0)]
    assert found(bars_of(*CALM)) == []


def test_the_least_excess_is_a_share_of_the_bound_and_a_number_of_ranges() -> None:
    # 5 % above 10.1 is 10.605, twice the range of 0.1 above is 10.3
    assert found(with_sixth(10.606, 10.0)) == [(5, "high", 10.606, 10.1)]
    assert found(with_sixth(10.604, 10.0)) == []
    # one neighbour reaches down to 9.5: twice the range of 0.6 above 10.1 is 11.3
    wide = [*CALM[:3], (10.1, 9.5), *CALM[4:5]]
    assert found(bars_of(*wide, (11.31, 10.0), *CALM[6:])) == [(5, "high", 11.31, 10.1)]
    assert found(bars_of(*wide, (11.29, 10.0), *CALM[6:])) == []


@pytest.mark.parametrize("minutes", range(1, 6))
def test_a_price_that_lasts_is_no_suspect(minutes: int) -> None:
    assert found(with_sixth(12.0, 10.0, *[(12.0, 11.5)] * minutes)) == []
    assert found(with_sixth(10.1, 7.0, *[(8.0, 7.0)] * minutes)) == []


def test_a_slow_way_back_is_no_suspect() -> None:
    # a spike of 20 % that fades over some minutes widens the range of its neighbours
    assert found(with_sixth(12.1, 10.0, (11.5, 10.9), (11.0, 10.5), (10.6, 10.2))) == []


def test_neighbours_are_of_the_same_symbol_and_near_in_time() -> None:
    # the next bars are of another symbol, so that nothing says the price was undone
    first, second = bars_of(*CALM[:5], (11.0, 10.0)), bars_of(*CALM, symbol="ZZZ")
    assert found(pl.concat([first, second])) == []
    # the bars before are of the day before
    apart = [-900, -899, -898, -897, -896, 0, 1, 2, 3, 4, 5]
    assert found(bars_of(*CALM[:5], (11.0, 10.0), *CALM[6:], minutes=apart)) == []
    near = [-30, -29, -28, -27, -26, 0, 26, 27, 28, 29, 30]
    assert found(bars_of(*CALM[:5], (11.0, 10.0), *CALM[6:], minutes=near)) == [(0, "high", 11.0, 10.1)]


def test_a_bar_needs_two_neighbours_on_each_side() -> None:
    assert found(bars_of(*CALM[:2], (11.0, 10.0), *CALM[:2])) == [(2, "high", 11.0, 10.1)]
    assert found(bars_of(*CALM[:1], (11.0, 10.0), *CALM[:5])) == []
    assert found(bars_of(*CALM[:5], (11.0, 10.0), *CALM[:1])) == []
    for few in range(4):
        assert found(bars_of(*CALM[:few])) == []


@pytest.mark.parametrize(
    ("name", "value", "bars"),
    [
        # a fourth and a fifth neighbour that reach as high
        ("neighbour_bars", 3, bars_of((11.0, 10.0), (11.0, 10.0), *CALM[:3], (11.0, 10.0), *CALM[:5])),
        (
            "neighbour_min",
            20,
            bars_of(*CALM[:5], (11.0, 10.0), *CALM[:5], minutes=[*range(-28, -23), 0, *range(24, 29)]),
        ),
        ("min_neighbours", 6, with_sixth(11.0, 10.0)),
        ("min_excess_share", 0.1, with_sixth(11.0, 10.0)),
        ("min_excess_ranges", 10.0, with_sixth(11.0, 10.0)),
    ],
)
def test_every_setting_decides(name: str, value: float, bars: pl.DataFrame) -> None:
    assert found(bars) != found(bars, **{name: value})


def test_the_defaults_are_those_of_the_shipped_settings() -> None:
    assert SuspectPrintParams() == PARAMS


EVENTS = {"symbol": pl.String, "timestamp": BARS["timestamp"], "event_id": pl.String}


def test_events_of_the_rest_of_the_day_are_touched() -> None:
    prints = suspect_prints(pl.concat([with_sixth(11.0, 10.0), bars_of(*CALM, symbol="ZZZ")]), PARAMS)
    at = TEN + timedelta(minutes=5)
    evening = datetime(2025, 11, 6, 0, 59, tzinfo=UTC)  # 19:59 of the same day in New York
    rows = [
        ("AEMD", at - timedelta(minutes=1), "before"),
        ("AEMD", evening, "last"),
        ("AEMD", at, "in its minute"),
        ("AEMD", at + timedelta(days=1), "a day later"),
        ("ZZZ", at, "of another"),
    ]
    listed = with_events(prints, pl.DataFrame(rows, schema=EVENTS, orient="row"))
    assert listed.schema == LISTED_PRINTS
    assert listed["event_ids"].to_list() == [["in its minute", "last"]]
    assert with_events(prints, pl.DataFrame(schema=EVENTS))["event_ids"].to_list() == [[]]


def test_the_check_is_a_warning_that_lists_the_bars() -> None:
    both = suspect_prints(with_sixth(11.0, 9.0), PARAMS)
    events = pl.DataFrame([("AEMD", TEN + timedelta(hours=1), "later")], schema=EVENTS, orient="row")
    listed = with_events(both, events)
    # two sides of one bar, and one event of both
    assert count_touched(listed) == (1, 1)
    finding = suspect_print(listed, bars=11)
    assert (finding.holds, finding.severe) == (False, False)
    assert finding.figures == {"bars": 11, "bars_with_a_suspect_print": 1, "events_touched": 1}
    assert finding.examples.select("side", "value", "bound", "events", "event_ids").rows() == [
        ("high", 11.0, 10.1, 1, "later"),
        ("low", 9.0, 10.0, 1, "later"),
    ]
    assert suspect_print(LISTED_PRINTS.to_frame(), bars=11).holds
