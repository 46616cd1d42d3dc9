"""Which sizes of quotes contradict their unit (research specification, 0.7)."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from smallcaps_assets.domain.research.tape.quote_sizes import (
    SPAN_SIZES,
    contradictions_by_month,
    contradicts_unit,
    span_sizes,
    with_unit,
)


def test_sizes_of_a_span_are_those_of_both_sides_that_are_positive() -> None:
    rows = [("a", 100.0, 5.0), ("a", 0.0, 200.0), ("a", None, 7.0), ("b", 0.0, None)]
    quotes = pl.LazyFrame(
        rows, schema={"path": pl.String, "bid_size": pl.Float64, "ask_size": pl.Float64}, orient="row"
    )
    found = span_sizes(quotes).collect()
    assert found.schema == SPAN_SIZES
    # 100, 5, 200 and 7
    assert found.rows() == [("a", 4, 2, 53.5)]


@pytest.mark.parametrize(
    ("unit", "sizes", "hundreds", "median", "contradicts"),
    [
        ("lots", 10, 9, 300.0, True),
        ("lots", 10, 8, 300.0, False),
        ("shares", 10, 4, 99.0, True),
        ("shares", 10, 5, 99.0, False),
        # large sizes that are not whole hundreds are shares
        ("shares", 10, 0, 100.0, False),
        ("shares", 10, 10, 300.0, False),
        ("lots", 10, 0, 3.0, False),
    ],
)
def test_nine_in_ten_hundreds_are_no_lots_and_small_odd_sizes_no_shares(
    unit: str,
    sizes: int,
    hundreds: int,
    median: float,
    contradicts: bool,
) -> None:
    span = pl.DataFrame({"unit": [unit], "sizes": [sizes], "hundreds": [hundreds], "median": [median]})
    assert span.select(contradicts_unit()).item() is contradicts


def test_the_unit_goes_by_the_setting_and_the_month_by_new_york() -> None:
    # 23:30 of 31 October in New York, and 10:00 of 3 November
    starts = [datetime(2025, 11, 1, 3, 30, tzinfo=UTC), datetime(2025, 11, 3, 15, tzinfo=UTC)]
    spans = pl.DataFrame({"start": starts, "quote_size_unit": ["lots", None]})
    assert with_unit(spans, None).select("month", "unit").rows() == [("2025-10", "lots"), ("2025-11", "shares")]
    assert with_unit(spans, date(2025, 11, 3))["unit"].to_list() == ["lots", "shares"]
    assert with_unit(spans, date(2025, 11, 4))["unit"].to_list() == ["lots", "lots"]


def test_contradictions_are_counted_by_month() -> None:
    rows = [("2025-11", "shares", 10, 1, 5.0), ("2025-11", "shares", 10, 9, 200.0), ("2025-10", "lots", 10, 10, 200.0)]
    spans = pl.DataFrame(rows, schema=["month", "unit", "sizes", "hundreds", "median"], orient="row")
    assert contradictions_by_month(spans).rows() == [("2025-10", "lots", 1, 1), ("2025-11", "shares", 2, 1)]
