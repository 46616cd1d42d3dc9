"""Tape of any origin: spans of symbols and dates, and what is known of each window."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.research.micro.days import sort_rows, spans_by_day
from smallcaps_assets.domain.research.micro.features import micro_features
from smallcaps_assets.domain.research.micro.params import MicroParams
from smallcaps_assets.domain.research.tape.reading import TapeReading
from smallcaps_assets.domain.tables import QUOTES, TRADES
from smallcaps_assets_tests.unit.domain.research.micro.tapes import RULES, sessions

# 10:00 in New York
AT = datetime(2025, 6, 2, 14, 0, tzinfo=UTC)
PARAMS = MicroParams()


def event(event_id: str, symbol: str, at: datetime = AT, **more: object) -> dict[str, object]:
    return {"event_id": event_id, "symbol": symbol, "timestamp": at, "direction": "up", **more}


def trade(symbol: str, at_s: float, number: int = 0, price: float = 2.0) -> dict[str, object]:
    row = {"timestamp": AT + timedelta(seconds=at_s), "price": price, "size": 100.0, "exchange": 4, "conditions": []}
    return {"symbol": symbol, **row, "sequence_number": number, "trade_id": f"{at_s}"}


def quote(symbol: str, at_s: float, bid: float = 1.99) -> dict[str, object]:
    book = {"bid_price": bid, "bid_size": 2.0, "ask_price": 2.01, "ask_size": 2.0, "bid_exchange": 1}
    rest = {"ask_exchange": 1, "indicators": [], "conditions": [], "sequence_number": 0}
    return {"symbol": symbol, "timestamp": AT + timedelta(seconds=at_s), **book, **rest}


def frame(rows: list[dict[str, object]], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"symbol": pl.String(), **schema})


EVENTS = pl.DataFrame([event("b", "ZED"), event("a", "ABE"), event("c", "ABE", AT + timedelta(days=1))])
TRADE_ROWS = frame([trade("ZED", 5, 2), trade("ABE", 70), trade("NOT", 1), trade("ZED", 5, 1, 1.5)], TRADES)
QUOTE_ROWS = frame([quote("ABE", -3000), quote("ZED", -1)], QUOTES)


def test_states_of_windows() -> None:
    found = spans_by_day(EVENTS, TRADE_ROWS.drop("correction", strict=False), QUOTE_ROWS, PARAMS)
    states = found.windows.select("event_id", "trades_state", "quotes_state", "corrections_known").rows()
    # the quote of ABE is an opening book, not a row of the window; the next day has no rows at all
    assert states == [
        ("b", "complete", "complete", False),
        ("a", "complete", "empty", False),
        ("c", "empty", "empty", False),
    ]
    assert found.windows.select("window_before_min", "window_after_min").unique().rows() == [(3, 7)]
    without = spans_by_day(EVENTS, None, QUOTE_ROWS, PARAMS).windows
    assert without["trades_state"].unique().to_list() == ["missing"]
    corrected = TRADE_ROWS.with_columns(correction=pl.lit(None, pl.Int64))
    assert spans_by_day(EVENTS, corrected, None, PARAMS).windows["corrections_known"].all()


def test_tape_is_sorted_within_symbol_and_date() -> None:
    found = spans_by_day(EVENTS, TRADE_ROWS, QUOTE_ROWS, PARAMS)
    assert found.trades["price"].to_list() == [2.0, 1.5, 2.0]
    assert found.trades["span"].is_sorted()
    assert found.trades["span"].n_unique() == 2


def test_the_order_of_rows_changes_nothing() -> None:
    reading = TapeReading(RULES, sessions(), PARAMS)
    features = micro_features(*spans_by_day(EVENTS, TRADE_ROWS, QUOTE_ROWS, PARAMS), reading)
    reverse = spans_by_day(EVENTS.reverse(), TRADE_ROWS.reverse(), QUOTE_ROWS.reverse(), PARAMS)
    assert_frame_equal(features, micro_features(*reverse, reading), check_exact=True)
    by_segment = features.filter(pl.col("segment") == "bar")
    assert by_segment["trades"].to_list() == [0, 2, 0]
    # the book of an hour before is in force; that of the day before is not
    assert by_segment["normal_share"].to_list() == [1.0, 1.0, 0.0]


def test_the_unit_of_sizes_goes_by_the_date() -> None:
    changes = MicroParams(quote_sizes_in_shares_from=date(2025, 6, 3))
    units = spans_by_day(EVENTS, None, QUOTE_ROWS, changes).windows["quote_size_unit"].to_list()
    assert units == ["lots", "lots", "shares"]
    assert spans_by_day(EVENTS, None, None, PARAMS).windows["quote_size_unit"].unique().to_list() == ["shares"]


def test_windows_of_the_events_are_kept() -> None:
    events = pl.DataFrame([event("a", "ABE", window_before_min=10, window_after_min=20)])
    assert spans_by_day(events, None, None, PARAMS).windows.row(0, named=True)["window_after_min"] == 20


@pytest.mark.parametrize(
    ("first", "second", "is_sorted"),
    [
        ([1, 1, 2], [5, 6, 1], True),
        ([1, 2, 1], [5, 5, 5], False),
        ([1, 1, 1], [6, 5, 7], False),
        ([1, 1, 2], [None, 5, None], True),
        ([1, 1, 2], [5, None, 1], False),
        ([3, 3], [None, None], True),
        ([], [], True),
    ],
)
def test_rows_are_sorted_nulls_first_and_only_where_they_are_not(
    first: list[int], second: list[int | None], is_sorted: bool
) -> None:
    rows = pl.DataFrame({"a": first, "b": second}, {"a": pl.Int64, "b": pl.Int64}).with_row_index("row")
    found = sort_rows(rows, ("a", "b"))
    assert found.equals(rows.sort("a", "b", maintain_order=True))
    assert (found is rows) == is_sorted
