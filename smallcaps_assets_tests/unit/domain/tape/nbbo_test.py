"""Thinning of quotes, worked out by hand."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from smallcaps_assets.domain.tables import QUOTES
from smallcaps_assets.domain.tape.nbbo import Thinning, thin

SECOND = 1_000_000_000
START = int(datetime(2025, 11, 5, 15, tzinfo=UTC).timestamp()) * SECOND

# nanoseconds after 15:00 UTC, bid; the ask is a cent above
Quote = tuple[int, float]


def stream(*quotes: Quote, **columns: Any) -> pl.LazyFrame:
    return pl.LazyFrame(
        [
            {
                "timestamp": None,
                "bid_price": bid,
                "bid_size": 100.0,
                "ask_price": bid + 0.01,
                "ask_size": 100.0,
                "bid_exchange": 1,
                "ask_exchange": 2,
                "indicators": None,
                "conditions": None,
                "sequence_number": number,
            }
            for number, (_, bid) in enumerate(quotes)
        ],
        schema=QUOTES,
        orient="row",
    ).with_columns(
        pl.Series("timestamp", [START + at for at, _ in quotes], dtype=pl.Int64).cast(pl.Datetime("ns", "UTC")),
        *(pl.Series(name, values, dtype=QUOTES[name]) for name, values in columns.items()),
    )


def kept(quotes: pl.LazyFrame, max_hz: int, *, by_change_only: bool = False) -> list[int]:
    """Numbers of the rows that stay."""
    return thin(quotes, Thinning(by_change_only=by_change_only, max_hz=max_hz)).collect()["sequence_number"].to_list()


def test_of_every_interval_the_last_row_stays() -> None:
    # 5 Hz: [0, 0.2), [0.2, 0.4), [0.4, 0.6) s
    quotes = stream((0, 1), (199_999_999, 2), (200_000_000, 3), (250_000_000, 4), (399_999_999, 5), (400_000_000, 6))
    assert kept(quotes, 5) == [0, 1, 4, 5]


def test_intervals_are_counted_from_the_epoch_not_from_the_first_row() -> None:
    # 0.19 and 0.21 s lie in two intervals, 0.21 and 0.39 s in one
    assert kept(stream((190_000_000, 1), (210_000_000, 2), (390_000_000, 3)), 5) == [0, 2]


def test_the_first_row_stays_also_where_its_interval_has_later_ones() -> None:
    assert kept(stream((0, 1), (1, 2), (2, 3)), 1) == [0, 2]


def test_intervals_that_are_no_whole_number_of_nanoseconds() -> None:
    # at 3 Hz the second interval begins between 333,333,333 and 333,333,334 ns
    assert kept(stream((1, 1), (333_333_333, 2), (333_333_334, 3), (666_666_666, 4), (666_666_667, 5)), 3) == [
        0,
        1,
        3,
        4,
    ]


def test_without_rate_to_spare_every_row_is_the_last_of_its_interval() -> None:
    assert kept(stream((0, 1), (20_000_000, 1), (40_000_000, 1)), 50) == [0, 1, 2]


def test_a_row_that_repeats_the_book_is_dropped() -> None:
    quotes = stream((0, 1), (1 * SECOND, 1), (2 * SECOND, 2), (3 * SECOND, 2), (4 * SECOND, 1))
    assert kept(quotes, 50, by_change_only=True) == [0, 2, 4]
    assert kept(quotes, 50) == [0, 1, 2, 3, 4]


def test_what_repeats_only_after_the_rate_is_dropped_as_well() -> None:
    # 1, 2 and again 1 within the first fifth of a second: the last equals the first, which stays anyway
    quotes = stream((0, 1), (50_000_000, 2), (150_000_000, 1), (300_000_000, 3))
    assert kept(quotes, 5) == [0, 2, 3]
    assert kept(quotes, 5, by_change_only=True) == [0, 3]


def test_changes_are_judged_before_the_rate() -> None:
    # the change to 2 is at 0.05 s; its repeat at 0.1 s, last of the interval, is no change
    assert kept(stream((0, 1), (50_000_000, 2), (100_000_000, 2)), 5, by_change_only=True) == [0, 1]


@pytest.mark.parametrize("column", ["bid_size", "ask_size", "ask_price"])
def test_each_of_the_four_numbers_of_the_book_is_a_change(column: str) -> None:
    quotes = stream((0, 1), (SECOND, 1), (2 * SECOND, 1), **{column: [5.0, 5.0, 6.0]})
    assert kept(quotes, 5, by_change_only=True) == [0, 2]


def test_another_venue_at_the_same_book_is_no_change() -> None:
    assert kept(stream((0, 1), (SECOND, 1), bid_exchange=[1, 7]), 5, by_change_only=True) == [0]


def test_a_side_that_stays_empty_does_not_change_and_one_that_empties_does() -> None:
    quotes = stream((0, 1), (SECOND, 1), (2 * SECOND, 1), bid_price=[None, None, 1.0])
    assert kept(quotes, 5, by_change_only=True) == [0, 2]
    assert kept(stream((0, 1), (SECOND, 1), ask_size=[1.0, None]), 5, by_change_only=True) == [0, 1]


@pytest.mark.parametrize("by_change_only", [True, False])
def test_short_streams(by_change_only: bool) -> None:
    assert kept(stream(), 5, by_change_only=by_change_only) == []
    assert kept(stream((7, 1)), 5, by_change_only=by_change_only) == [0]
    assert thin(stream(), Thinning(by_change_only=by_change_only, max_hz=5)).collect().schema == QUOTES


def test_rows_at_one_time_count_in_their_order() -> None:
    assert kept(stream((0, 1), (SECOND, 2), (SECOND, 3)), 50) == [0, 2]
