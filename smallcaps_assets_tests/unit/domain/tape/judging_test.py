"""Tape before it is published: which rows are set aside, which answers are wrong as a whole, what stays legal."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from smallcaps_assets.domain.tape.judging import judge_tape
from smallcaps_assets.domain.tape.rules import tape_rules
from smallcaps_assets.domain.tape.schemas import TapeKind
from smallcaps_assets_tests.conftest import quotes_at, trades_at

TEN = datetime(2025, 11, 26, 15, tzinfo=UTC)
ROW = pl.int_range(pl.len())


def moments(number: int) -> list[datetime]:
    return [TEN + timedelta(milliseconds=place) for place in range(number)]


def trades(number: int) -> pl.DataFrame:
    return trades_at(*moments(number)).with_columns(trade_id=pl.format("t{}", ROW))


def quotes(number: int) -> pl.DataFrame:
    return quotes_at(*moments(number)).with_columns(ask_price=pl.col("bid_price") + 1)


def rows_of(kind: TapeKind, number: int) -> pl.DataFrame:
    return trades(number) if kind == "trades" else quotes(number)


def spoil(rows: pl.DataFrame, places: Sequence[int], **values: Any) -> pl.DataFrame:
    """`rows` with other values in the rows at `places`."""
    bad = ROW.is_in(list(places))
    return rows.with_columns(
        pl.when(bad).then(pl.lit(value, rows.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def verified(rows: pl.DataFrame, kind: TapeKind) -> list[str]:
    """What `verify` finds in rows."""
    rules = tape_rules(kind, TEN, TEN + timedelta(minutes=10), rows.columns)
    return [rule.what for rule in rules if rows.select(rule.broken).item()]


FAR = "participant_timestamp is far from timestamp"
Y1970, Y2050 = (datetime(year, 1, 1, tzinfo=UTC) for year in (1970, 2050))
# value, the rule that it breaks
IMPOSSIBLE: list[tuple[TapeKind, dict[str, float | datetime | None], str]] = [
    ("trades", {"price": 0.0}, "price is not above 0"),
    ("trades", {"price": -1.0}, "price is not above 0"),
    ("trades", {"price": None}, "price is not above 0"),
    ("trades", {"price": float("nan")}, "price is not a finite number"),
    ("trades", {"price": float("inf")}, "price is not a finite number"),
    ("trades", {"price": 1e308}, "price is above 1,000,000"),
    ("trades", {"price": 4.9e-7}, "price is below half a micro-dollar"),
    ("trades", {"price": 5e-324}, "price is below half a micro-dollar"),
    (
        "trades",
        {"participant_timestamp": Y1970},
        "participant_timestamp is far from timestamp",
    ),
    (
        "trades",
        {"participant_timestamp": Y2050},
        "participant_timestamp is far from timestamp",
    ),
    ("trades", {"participant_timestamp": TEN - timedelta(days=8)}, FAR),
    ("trades", {"trf_timestamp": TEN + timedelta(days=2)}, "trf_timestamp is far from timestamp"),
    ("trades", {"size": -100.0}, "size is below 0"),
    ("trades", {"size": float("nan")}, "size is not a finite number"),
    ("trades", {"size": 1e308}, "size is above 2,000,000,000"),
    ("quotes", {"bid_price": -1.0}, "bid_price is below 0"),
    ("quotes", {"ask_price": float("nan")}, "ask_price is not a finite number"),
    ("quotes", {"ask_price": 1e308}, "ask_price is above 1,000,000"),
    ("quotes", {"ask_price": 1e-9}, "ask_price is below half a micro-dollar"),
    ("quotes", {"bid_price": 1e-308}, "bid_price is below half a micro-dollar"),
    (
        "quotes",
        {"participant_timestamp": Y2050},
        "participant_timestamp is far from timestamp",
    ),
    ("quotes", {"ask_size": -1.0}, "ask_size is below 0"),
    ("quotes", {"bid_size": 1e308}, "bid_size is above 2,000,000,000"),
    ("quotes", {"bid_price": None, "ask_price": None}, "both sides are missing"),
]


@pytest.mark.parametrize(("kind", "values", "reason"), IMPOSSIBLE, ids=str)
def test_one_impossible_row_is_set_aside_with_its_reason(
    kind: TapeKind, values: dict[str, float | datetime | None], reason: str
) -> None:
    rows = rows_of(kind, 50)
    bad = spoil(rows, [7], **values)
    judged = judge_tape(bad, kind)
    assert judged.fault is None
    assert_frame_equal(judged.rows, pl.concat([rows[:7], rows[8:]]))
    assert_frame_equal(judged.rejected, bad[7:8].with_columns(reason=pl.lit(reason)))
    assert (verified(judged.rows, kind), verified(bad, kind)) == ([], [reason])


@pytest.mark.parametrize(("kind", "values", "reason"), IMPOSSIBLE, ids=str)
def test_an_answer_of_such_rows_is_wrong_as_a_whole(
    kind: TapeKind, values: dict[str, float | datetime | None], reason: str
) -> None:
    for number in (1, 2, 50):
        fault = judge_tape(spoil(rows_of(kind, number), range(number), **values), kind).fault
        assert fault is not None
        assert fault.what == reason
        assert fault.sentence.startswith(f"{reason}: {number} of {number}, expected ")


@pytest.mark.parametrize(
    "values",
    [
        {"price": 5e-7},
        {"price": 0.0001},
        {"participant_timestamp": TEN - timedelta(days=6)},
        {"participant_timestamp": TEN + timedelta(hours=23)},
        {"participant_timestamp": None, "trf_timestamp": TEN},
    ],
    ids=str,
)
def test_unusual_values_are_legal(values: dict[str, Any]) -> None:
    rows = spoil(trades(50), range(50), **values)
    assert judge_tape(rows, "trades").rows.equals(rows)
    # of release 0.1
    assert judge_tape(rows.drop("participant_timestamp", "trf_timestamp"), "trades").fault is None


@pytest.mark.parametrize(("bad", "is_fault"), [(10, False), (11, True)])
def test_one_row_in_a_hundred_may_be_impossible(*, bad: int, is_fault: bool) -> None:
    judged = judge_tape(spoil(trades(1_000), range(0, 90 * bad, 90), price=-1.0), "trades")
    assert (judged.fault is not None) == is_fault
    assert judged.rejected.height == bad


def test_a_fault_names_the_rule_the_count_and_a_row() -> None:
    fault = judge_tape(spoil(trades(3), [1, 2], price=-1.0), "trades").fault
    assert fault is not None
    assert fault.sentence == (
        "price is not above 0: 2 of 3, expected more than 0; such as 2025-11-26 15:00:00.001000000 UTC, "
        "sequence_number 2, price -1.0, size 100.0"
    )


@pytest.mark.parametrize(
    "values",
    [
        {"bid_price": 0.0, "bid_size": 0.0},
        {"ask_price": 0.0, "ask_size": 0.0},
        {"bid_price": None, "bid_size": None},
        {"ask_price": None, "ask_size": None, "ask_exchange": None},
        {"bid_size": 0.0, "ask_size": 0.0},
        {"bid_exchange": 99, "ask_exchange": -1},
        {"ask_price": 199_999.99},
    ],
    ids=str,
)
def test_what_the_vendor_sends_of_one_side_is_legal_in_every_row(values: dict[str, float | None]) -> None:
    rows = spoil(quotes(40), range(40), **values)
    judged = judge_tape(rows, "quotes")
    assert (judged.fault, judged.rejected.height, verified(rows, "quotes")) == (None, 0, [])
    assert_frame_equal(judged.rows, rows)


@pytest.mark.parametrize(
    ("empty", "of", "is_fault"), [(90, 100, False), (91, 100, True), (50, 50, False), (51, 51, True), (3, 3, False)]
)
def test_a_book_may_be_empty_for_long_and_throughout_a_short_window(*, empty: int, of: int, is_fault: bool) -> None:
    rows = spoil(quotes(of), range(empty), bid_price=0.0, bid_size=0.0, ask_price=0.0, ask_size=0.0)
    judged = judge_tape(rows, "quotes")
    assert (judged.fault is not None, judged.rejected.height) == (is_fault, 0)
    assert verified(rows, "quotes") == ["the book is empty"] * is_fault


@pytest.mark.parametrize("kind", ["trades", "quotes"])
@pytest.mark.parametrize(("number", "is_fault"), [(5, True), (0, False), (None, False)])
def test_one_number_for_all_rows(kind: TapeKind, number: int | None, *, is_fault: bool) -> None:
    """Null and 0 are no number."""
    for rows in (rows_of(kind, 2), rows_of(kind, 50)):
        judged = judge_tape(rows.with_columns(sequence_number=pl.lit(number, pl.Int64)), kind)
        assert (judged.fault is not None) == is_fault
        if judged.fault is not None:
            assert judged.fault.sentence.startswith(f"all rows have one sequence_number: {rows.height} of")


@pytest.mark.parametrize("kind", ["trades", "quotes"])
@pytest.mark.parametrize(
    ("numbers", "is_fault"),
    [
        (range(100, 0, -1), True),
        ([1 + place // 2 for place in range(100)], True),  # each number twice, at different times
        ([place + (1_000 if place % 10 == 5 else 0) for place in range(1, 101)], False),  # ten late rows
        ([place + (1_000 if place % 9 == 5 else 0) for place in range(1, 101)], True),  # eleven
    ],
    ids=["backwards", "twice", "ten late", "eleven late"],
)
def test_numbers_rise_with_the_time(kind: TapeKind, numbers: Sequence[int], *, is_fault: bool) -> None:
    judged = judge_tape(rows_of(kind, 100).with_columns(sequence_number=pl.Series(list(numbers))), kind)
    assert (judged.fault is not None) == is_fault
    if judged.fault is not None:
        assert judged.fault.what == "sequence_number contradicts the order of time"


def test_rows_of_one_identity_that_differ_are_all_set_aside() -> None:
    rows = trades(50)
    bad = pl.concat([rows[:8], rows[7:8].with_columns(price=pl.lit(3.0)), rows[8:]])
    judged = judge_tape(bad, "trades")
    assert judged.fault is None
    assert judged.rejected["price"].to_list() == [rows["price"][7], 3.0]
    assert judged.rejected["reason"].unique().to_list() == ["rows more than once"]
    assert judged.rows.height == 49
    # of one number, but of different ids
    other = bad.with_columns(trade_id=pl.when(ROW == 8).then(pl.lit("other")).otherwise("trade_id"))
    assert judge_tape(other, "trades").rejected.is_empty()
    # without identity nothing is repeated
    unnamed = bad.with_columns(sequence_number=pl.lit(0, pl.Int64), trade_id=pl.lit(None, pl.String))
    assert judge_tape(unnamed, "trades").rejected.is_empty()


@pytest.mark.parametrize(("crossed", "is_fault"), [(10, False), (11, True)])
def test_a_book_may_be_crossed_for_moments(*, crossed: int, is_fault: bool) -> None:
    """The rows that are set aside do not count."""
    rows = spoil(spoil(quotes(101), range(crossed), bid_price=99.0), [100], ask_size=-1.0)
    judged = judge_tape(rows, "quotes")
    assert judged.rejected["reason"].to_list() == ["ask_size is below 0"]
    assert (None if judged.fault is None else judged.fault.what) == ("the book is crossed" if is_fault else None)


@pytest.mark.parametrize(
    ("crossed", "of", "is_fault"),
    [(2, 5, False), (3, 5, True), (10, 20, False), (11, 20, True), (10, 60, False), (11, 60, True)],
)
def test_of_a_few_rows_up_to_ten_but_not_most_may_be_crossed(*, crossed: int, of: int, is_fault: bool) -> None:
    rows = spoil(quotes(of), range(crossed), bid_price=99.0)
    assert (judge_tape(rows, "quotes").fault is not None) == is_fault
    assert verified(rows, "quotes") == ["the book is crossed"] * is_fault


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_no_rows_break_no_rule(kind: TapeKind) -> None:
    judged = judge_tape(rows_of(kind, 0), kind)
    assert (judged.fault, judged.rows.height, judged.rejected.height) == (None, 0, 0)


values = st.sampled_from([-1.0, 0.0, None, float("nan"), float("inf"), 1e308, 5.0])


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["trades", "quotes"]),
    spoiled=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 3), values), max_size=6),
    numbers=st.lists(st.tuples(st.integers(0, 399), st.integers(0, 500)), max_size=4),
)
def test_what_is_published_breaks_no_rule_and_nothing_is_lost(
    kind: TapeKind, spoiled: list[tuple[int, int, float | None]], numbers: list[tuple[int, int]]
) -> None:
    rows = rows_of(kind, 400)
    columns = ("price", "size") if kind == "trades" else ("bid_price", "ask_price", "bid_size", "ask_size")
    for place, column, value in spoiled:
        rows = spoil(rows, [place], **{columns[column % len(columns)]: value})
    for place, number in numbers:
        rows = spoil(rows, [place], sequence_number=number)
    rows = rows.sort("timestamp", "sequence_number")
    judged = judge_tape(rows, kind)
    assert judged.rows.height + judged.rejected.height == 400
    assert judged.rejected["reason"].null_count() == 0
    if judged.fault is None:
        assert verified(judged.rows, kind) == []
